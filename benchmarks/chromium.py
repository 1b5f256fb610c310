"""A real headless Chromium, spoken to through a pipe (the DevTools protocol), for measuring and testing pages."""

import itertools
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)
TELLING = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
OWN_SCHEMES = ("file:", "data:", "about:", "blob:")
PAINTED = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"


def program() -> str | None:
    """Where Chromium is; None when it is not installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


class Browser:
    """One page of a browser. `browser("Page.navigate", url=...)` sends a command and gives its result."""

    def __init__(self, program: str, profile: Path) -> None:
        (hear, self.say), (self.listen, speak) = os.pipe(), os.pipe()

        def as_three_and_four() -> None:
            for source, to in ((hear, 20), (speak, 21), (20, 3), (21, 4)):
                os.dup2(source, to)

        self.process = subprocess.Popen(
            [program, *OPTIONS, f"--user-data-dir={profile}"],
            preexec_fn=as_three_and_four,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(hear)
        os.close(speak)
        self.numbers, self.events, self.session = itertools.count(1), list[dict[str, Any]](), ""
        self.answers = os.fdopen(self.listen, "rb")
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self.session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")

    def __call__(self, method: str, **params: Any) -> Any:
        message = {"id": next(self.numbers), "method": method, "params": params}
        os.write(self.say, json.dumps(message | ({"sessionId": self.session} if self.session else {})).encode() + b"\0")
        while (answer := self.read()).get("id") != message["id"]:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def read(self) -> Any:
        text = b"".join(iter(lambda: self.answers.read(1), b"\0"))
        return json.loads(text)

    def do(self, script: str) -> Any:
        """The value of an expression in the page; that of a promise when it is kept."""
        answer = self("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def open(self, url: str) -> None:
        """Go to an address and wait until it is loaded; an address that differs after the # only loads nothing."""
        if "loaderId" in self("Page.navigate", url=url):
            self.wait("Page.loadEventFired")

    def wait(self, event: str) -> None:
        while (heard := self.read()).get("method") != event:
            self.events.append(heard)

    def looks(self, width: int, height: int, scheme: str = "light", medium: str = "") -> None:
        """The window's size in CSS pixels and what the user prefers: "light" or "dark"; medium "print" or ""."""
        mobile = width < 600
        self("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        self("Emulation.setEmulatedMedia", media=medium, features=[{"name": "prefers-color-scheme", "value": scheme}])

    def click(self, selector: str) -> None:
        """Press the mouse in the middle of an element, as a person would."""
        found = f"document.querySelector({json.dumps(selector)})"
        self.do(f"{found}.scrollIntoView({{block: 'nearest', inline: 'nearest'}})")
        box = self.do(f"{found}.getBoundingClientRect().toJSON()")
        at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2, "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self("Input.dispatchMouseEvent", type=kind, **at)

    def press(self, key: str, modifiers: int = 0) -> None:
        """A key down and up; `modifiers` is 8 for shift."""
        codes = {"Tab": 9, "Enter": 13, "ArrowLeft": 37, "ArrowRight": 39, "Home": 36, "End": 35}
        self("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=codes[key], modifiers=modifiers)
        self("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=codes[key], modifiers=modifiers)

    def complaints(self) -> list[Any]:
        """What the console said since the last time this was asked, and every request that left the page."""
        heard, self.events = self.events, []
        spoken = [event for event in heard if event["method"] in TELLING]
        asked = [e["params"]["request"]["url"] for e in heard if e["method"] == "Network.requestWillBeSent"]
        return [*spoken, *(url for url in asked if not url.startswith(OWN_SCHEMES))]

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)
