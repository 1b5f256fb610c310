"""The views have the folder's numbers; the page shows them, holds everything, and runs nothing that a name says."""

import csv
import itertools
import json
import math
import os
import shutil
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from folders import SPACE, write_sweep
from hypothesis import given
from hypothesis import strategies as st

from dashboards import classes, levels, page, views
from sweeper import results
from sweeper.store import Sweep

HOSTILE = (
    "<script>alert(1)</script>",
    '=HYPERLINK("http://x")',
    "x" * 300,
    "🐟",
    "سمكة ذهبية",
    "a|b\\c",
    "</script><img src=x onerror=alert(2)>",
    "&amp;",
    '<b>b</b><a href="javascript:alert(3)">x</a>',
    "",
)
FACTS = {"data": "digits <b>", "mlflow": "http://127.0.0.1:5000/#/experiments/1", "bad": "javascript:alert(4)"}


def tables(
    sweep: Sweep, axes: Sequence[str] = tuple(SPACE), metric: str = "val/top1", mode: str = "max"
) -> views.SweepTables:
    records = sweep.records()
    return views.SweepTables(
        sweep.name,
        "one & only",
        tuple(axes),
        metric,
        mode,
        results.trials_table(records, axes),
        results.history_table(records),
        results.per_class_table(sweep, records),
        FACTS,
    )


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("sweeps"))


@pytest.fixture(scope="module")
def sweep(storage: str) -> Sweep:
    return write_sweep(storage, seeds=(0, 1), endings=("complete", "complete", "pruned", "diverged", "complete"))


@pytest.fixture(scope="module")
def hostile(storage: str) -> views.SweepTables:
    space = {"loss": ["<script>alert(9)</script>", "cross_entropy"], "model.name": ["y" * 300, "סוג"], "lr": [0.01]}
    return tables(write_sweep(storage, "hostile", space, classes=HOSTILE), list(space))


def test_the_overview_counts(sweep: Sweep) -> None:
    view, records = views.overview(tables(sweep)), sweep.records()
    assert dict(view.states) == {s: sum(r.state == s for r in records) for s in {str(r.state) for r in records}}
    assert view.epochs_run == sum(len(record.history) for record in records)
    assert view.epochs_saved == sum(10 - len(record.history) for record in records if record.state == "pruned")
    top = max((r for r in records if r.state == "complete" and r.result), key=lambda r: r.result.summary["val/top1"])
    assert view.best is not None
    assert view.best["key"] == top.trial.key


def test_the_leaderboard_ranks_and_keeps_validation_and_test_apart(sweep: Sweep) -> None:
    board = views.leaderboard(tables(sweep, (*SPACE, "batch_size")))
    names = [column.name for column in board.columns]
    groups = [group for group, _ in itertools.groupby(column.group for column in board.columns)]
    assert groups == ["", "Settings", "Validation", "Test", "Epochs", "Cost", ""]
    complete = [row[names.index("val/top1")] for row in board.rows if row[names.index("state")] == "complete"]
    assert complete == sorted(complete, reverse=True)
    assert [row[names.index("state")] for row in board.rows[: len(complete)]] == ["complete"] * len(complete)
    assert board.best == 0
    assert board.constant == (("batch_size", None),)


def test_curves_hold_each_history(sweep: Sweep) -> None:
    table = tables(sweep)
    drawn, keys = views.curves(table), list(views.by_rank(table)["key"])
    for record in sweep.records():
        at = keys.index(record.trial.key)
        part = slice(drawn.offsets[at], drawn.offsets[at + 1])
        assert drawn.epochs[part] == [row["epoch"] for row in record.history]
        for name in ("val/top1", "train/loss"):
            assert drawn.metrics[name][part] == pytest.approx([row[name] for row in record.history], nan_ok=True)
    assert [family.label for family in views.families(list(drawn.metrics), "val/top1")][:2] == ["top-1", "loss"]


def test_class_counts_are_those_of_the_files(sweep: Sweep) -> None:
    table = tables(sweep)
    counts, keys = classes.class_counts(table), list(views.by_rank(table)["key"])
    assert [view.split for view in counts] == ["test", "val"]
    for view in counts:
        shares: dict[str, list[float]] = {}
        for place, trial in enumerate(view.trials):
            path = Path(sweep.trial(keys[trial]).artifacts.path) / "per_class.csv"
            rows = [row for row in csv.DictReader(path.open()) if row["split"] == view.split]
            assert view.names == [row["class"] for row in rows]
            assert view.correct[place] == [int(row["correct"]) for row in rows]
            assert view.images[place] == [int(row["images"]) for row in rows]
            for row in rows:
                shares.setdefault(row["class"], []).append(int(row["correct"]) / int(row["images"]))
        assert view.mean == pytest.approx([statistics.fmean(shares[name]) for name in view.names])
        assert [view.names[i] for i in view.hardest] == sorted(view.names, key=lambda n: statistics.fmean(shares[n]))


def test_trials_may_have_different_classes_and_classes_no_images() -> None:
    rows = [
        ("k0", 0, "test", 0, "a", "n0", 4, 1, 0.25),
        ("k0", 0, "test", 1, "b", "n1", 0, 0, math.nan),
        ("k1", 1, "test", 0, "b", "n1", 2, 2, 1.0),
        ("k1", 1, "test", 1, "a", "n9", 2, 1, 0.5),
    ]
    columns = ["key", "number", "split", "class_index", "class", "id", "images", "correct", "top1"]
    trials = pd.DataFrame(
        {
            "key": ["k0", "k1", "k2"],
            "number": [0, 1, 2],
            "name": ["t"] * 3,
            "state": ["complete"] * 3,
            "seed": [0] * 3,
            "epochs_run": [1] * 3,
            "best_epoch": [1] * 3,
            "val/top1": [0.9, 0.8, 0.7],
        }
    )
    history = pd.DataFrame({"key": [], "number": [], "epoch": []})
    table = views.SweepTables("t", "", (), "val/top1", "max", trials, history, pd.DataFrame(rows, columns=columns), {})
    (view,) = classes.class_counts(table)
    assert view.trials == [0, 1]
    found = dict(zip(zip(view.names, view.ids, strict=True), zip(*view.correct, strict=True), strict=True))
    assert found == {("a", "n0"): (1, None), ("b", "n1"): (0, 2), ("a", "n9"): (None, 1)}
    means = dict(zip(zip(view.names, view.ids, strict=True), view.mean, strict=True))
    assert means == {("a", "n0"): 0.25, ("b", "n1"): 1.0, ("a", "n9"): 0.5}


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_numbers_fall_into_at_most_eight_ordered_levels(values: list[float]) -> None:
    found = levels.axis_levels(pd.Series(values))
    assert len(found.labels) <= levels.MOST
    ordered = [level for _, level in sorted(zip(values, found.of_trial, strict=True))]
    assert ordered == sorted(ordered)
    assert set(ordered) <= set(range(len(found.labels)))


@given(st.lists(st.none() | st.text(max_size=3), min_size=1, max_size=30))
def test_texts_fall_into_at_most_eight_levels(values: list[str | None]) -> None:
    found = levels.axis_levels(pd.Series(values, dtype=object))
    assert len(found.labels) <= levels.MOST
    for value, level in zip(values, found.of_trial, strict=True):
        assert found.labels[level] in (levels.label(value), "other")


def test_the_share_of_variance_between_groups() -> None:
    assert views.explained(pd.Series([1.0, 1.0, 3.0, 3.0]), [0, 0, 1, 1]) == 1
    assert views.explained(pd.Series([1.0, 3.0, 1.0, 3.0]), [0, 0, 1, 1]) == 0
    assert views.explained(pd.Series([1.0, 2.0, 3.0, 6.0]), [0, 0, 1, 1]) == pytest.approx(9 / 14)
    assert views.explained(pd.Series([math.nan, 1.0]), [0, 1]) == 0


@given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3), max_leaves=5))
def test_embedded_json_says_the_same_and_closes_nothing(value: object) -> None:
    text = page.embedded(value)
    assert json.loads(text) == value
    assert not set("<>&\u2028\u2029") & set(text)


class Elements(HTMLParser):
    """Every element of a page with its attributes; the texts of scripts apart."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.lasttag not in ("script", "style"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def test_a_page_loads_nothing_and_no_name_becomes_an_element(hostile: views.SweepTables) -> None:
    elements = Elements(page.render([hostile]))
    links = [
        value
        for _, attrs in elements.found
        for name, value in attrs.items()
        if name in ("src", "href", "data", "action")
    ]
    assert links == [FACTS["mlflow"]]
    assert [tag for tag, _ in elements.found].count("script") == 3
    assert not {"img", "link", "iframe", "object", "form"} & {tag for tag, _ in elements.found}
    assert not any(name.startswith("on") for _, attrs in elements.found for name in attrs)
    policy = next(
        attrs["content"] for _, attrs in elements.found if attrs.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "<script>alert(9)</script>" in elements.text


@pytest.mark.parametrize(
    ("endings", "sentence"),
    [
        (("waiting",), "No trial has ended yet."),
        (("running", "waiting"), "No trial has ended yet."),
        (("diverged",), "No trial has completed (diverged so far), so none is best."),
        (("failed", "diverged"), "No trial has completed (diverged or failed so far)"),
        (("pruned",), "so far, though pruned: no trial is complete"),
        (("complete",), "has the best validation top-1."),
    ],
)
def test_the_page_of_any_sweep_says_how_it_stands(storage: str, endings: tuple[str, ...], sentence: str) -> None:
    sweep = write_sweep(storage, "-".join(endings), {"lr": [0.1, 0.2]}, endings=endings, epochs=1, classes=("only",))
    text = Elements(page.render([tables(sweep, ["lr"])])).text
    assert sentence in text
    assert ("No trial has left per-class results yet" in text) == ("complete" not in endings)


def test_a_sweep_without_trials_or_a_finite_objective(storage: str) -> None:
    assert "This sweep has no trials yet." in Elements(page.render([tables(Sweep(storage, "none"))])).text
    lossless = tables(write_sweep(storage, "lossless"), metric="val/ece", mode="min")
    assert "No trial has a finite validation calibration error" in Elements(page.render([lossless])).text


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


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("chromium is not installed")
    opened = Browser(program, tmp_path_factory.mktemp("profile"))
    yield opened
    opened.process.terminate()
    opened.process.wait(20)


def test_in_chromium_the_page_works_and_asks_for_nothing(
    browser: Browser, sweep: Sweep, hostile: views.SweepTables, tmp_path: Path
) -> None:
    (tmp_path / "page.html").write_text(page.render([tables(sweep), hostile]))
    browser.do("window.alert = () => { throw new Error('a name ran') }")
    browser.open(f"file://{tmp_path}/page.html")
    for tab in ("curves", "classes", "trials"):
        browser.do(f"document.getElementById('s1-tab-{tab}').click()")
        assert browser.do(f"document.getElementById('s1-{tab}').offsetParent !== null")
    sort = "[...document.querySelectorAll('#s1 th')].find(t => t.title === 'val/loss').querySelector('button').click()"
    cells = "[...document.querySelectorAll('#s1 tbody tr:not([hidden])')].map(r => r.cells[8].textContent)"
    browser.do(sort)
    column = browser.do("[...document.querySelectorAll('#s1 th')].find(t => t.title === 'val/loss').cellIndex")
    shown = browser.do(cells.replace("cells[8]", f"cells[{column}]"))
    finite = [float(text) for text in shown if text not in ("–", "∞")]
    assert finite == sorted(finite)
    assert len(shown) == 24
    browser.do(
        "f = document.querySelector('#s1 [data-filter]'); f.value = 'lr=0.01 Pruned'; f.dispatchEvent(new Event('input'))"
    )
    kept = browser.do(cells.replace("cells[8]", "cells[2]"))
    assert len(kept) == sum(r.state == "pruned" and r.trial.cell["lr"] == 0.01 for r in sweep.records())
    for place in ("#s2-classes", "#s2-curves", "#s2-overview"):
        browser.do(f"location.hash = {place!r}; new Promise(done => setTimeout(done, 100))")
        assert browser.do("document.querySelectorAll('#s2 .panel:not([hidden]) .main-svg').length") > 0
    assert browser.do("document.querySelectorAll('.modebar-btn[data-title*=loud]').length") == 0
    assert browser.complaints() == []
