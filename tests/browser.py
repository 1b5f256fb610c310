"""A real Chromium for the tests of the page."""

import itertools
import json
import os
import subprocess
from pathlib import Path
from typing import Any


class Browser:
    """A headless Chromium, spoken to through a pipe (the DevTools protocol)."""

    def __init__(self, program: str, profile: Path) -> None:
        (hear, self.say), (self.listen, speak) = os.pipe(), os.pipe()

        def as_three_and_four() -> None:
            for source, to in ((hear, 20), (speak, 21), (20, 3), (21, 4)):
                os.dup2(source, to)

        options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
        ]
        self.process = subprocess.Popen(
            [program, *options],
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
        answer = self("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def open(self, url: str) -> None:
        self("Page.navigate", url=url)
        while self.do("location.href + document.readyState") != url + "complete":
            continue

    def complaints(self) -> list[Any]:
        """What the console said, and every request that is not for a file."""
        telling = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
        spoken = [event for event in self.events if event["method"] in telling]
        asked = [e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"]
        return [*spoken, *(url for url in asked if not url.startswith(("file:", "data:", "about:", "blob:")))]
