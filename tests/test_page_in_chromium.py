"""The page works in a real browser, runs nothing that a name says and asks for nothing."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from folders import write_sweep
from page_checks import FAINT, FOCUSABLE, FOCUSED, HEADINGS, ODD_WORDS, OVERFLOWING, UNNAMED
from pages import HOSTILE, tables

from benchmarks.chromium import PAINTED, Browser
from sweeper.dashboards import page, views
from sweeper.store import Sweep

pytest_plugins = ("page_fixtures",)

WIDTHS = (1440, 390)
SCHEMES = ("light", "dark")
DEGENERATE = {
    "one trial": {"space": {"lr": [0.1]}, "endings": ("complete",)},
    "none ended": {"endings": ("waiting", "running", "waiting")},
    "all waiting": {"endings": ("waiting",)},
    "all diverged": {"endings": ("diverged",)},
    "all failed": {"endings": ("failed",)},
    "all pruned": {"endings": ("pruned",)},
    "one class": {"classes": ("only",), "endings": ("complete",)},
    "one epoch": {"epochs": 1, "endings": ("complete", "failed")},
}


@pytest.fixture(scope="module")
def hostile_page(sweep: Sweep, hostile: views.SweepTables, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page of an honest sweep and of one with a hostile name for each of the hostile texts."""
    named = [replace(hostile, name=text or " ", description=text, facts={text or "empty": text}) for text in HOSTILE]
    return written(tmp_path_factory.mktemp("hostile"), [tables(sweep), *named])


@pytest.fixture(scope="module")
def degenerate_page(storage: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page of sweeps that are hardly there."""
    hardly = [tables(write_sweep(storage, name, **how)) for name, how in DEGENERATE.items()]  # type: ignore[arg-type]
    whole = tables(write_sweep(storage, "whole", endings=("complete",)))
    without_test = replace(
        whole,
        name="no test set",
        trials=whole.trials.drop(columns=[name for name in whole.trials if name.startswith("test/")]),
        per_class=whole.per_class[whole.per_class["split"] == "val"],
    )
    without_artifacts = replace(whole, name="no artifacts", per_class=whole.per_class.iloc[:0])
    empty = tables(Sweep(storage, "no trials"))
    return written(tmp_path_factory.mktemp("degenerate"), [*hardly, without_test, without_artifacts, empty])


def written(folder: Path, sweeps: list[views.SweepTables]) -> str:
    (folder / "page.html").write_text(page.render(sweeps))
    return (folder / "page.html").as_uri()


def tabs(browser: Browser, sweep: int) -> Iterator[str]:
    """Open each tab of a sweep by a click, painted; yields where it is."""
    browser.do(f"location.hash = '#s{sweep}'; {PAINTED}")
    for name in browser.do(f"[...document.querySelectorAll('#s{sweep} [role=tab]')].map(tab => tab.id)"):
        browser.click(f"#s{sweep}-tab-{name.rpartition('-')[2]}")
        browser.do(PAINTED)
        yield f"sweep {sweep}, {name}"


def count_of_sweeps(browser: Browser) -> int:
    return int(browser.do("document.querySelectorAll('main.sweep').length"))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_no_name_runs_or_widens_the_page_in_any_tab(
    browser: Browser, hostile_page: str, width: int, scheme: str
) -> None:
    browser.looks(width, 900, scheme)
    browser.open(hostile_page)
    for sweep in (
        (1, 2, 4, 6) if (width, scheme) == (390, "light") else (2,)
    ):  # plain, a script, 300 letters, right to left
        for place in tabs(browser, sweep):
            assert browser.do(OVERFLOWING) == [], place
            assert browser.complaints() == [], place
            assert browser.do(FAINT) == [], place


def test_a_sweep_that_is_hardly_there_is_shown_sensibly(browser: Browser, degenerate_page: str) -> None:
    browser.looks(390, 900)
    browser.open(degenerate_page)
    for sweep in range(1, count_of_sweeps(browser) + 1):
        for place in tabs(browser, sweep):
            assert len(browser.do("document.querySelector('main:not([hidden]) .panel:not([hidden])').innerText")) > 20
            assert browser.do(ODD_WORDS) == [], place
            assert browser.do(OVERFLOWING) == [], place
            assert browser.complaints() == [], place


def test_everything_is_named_and_headings_are_in_order(browser: Browser, hostile_page: str) -> None:
    browser.looks(1440, 900)
    browser.open(hostile_page)
    assert browser.do(UNNAMED) == []
    for sweep in (1, 2):
        browser.do(f"location.hash = '#s{sweep}'; {PAINTED}")
        levels = browser.do(HEADINGS)
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(level <= before + 1 for before, level in pairwise(levels)), levels


def test_the_keyboard_reaches_every_control_and_is_never_trapped(browser: Browser, hostile_page: str) -> None:
    browser.looks(1440, 900)
    browser.open(hostile_page)
    for place in tabs(browser, 1):
        browser.do("document.activeElement.blur(); document.body.tabIndex = -1; document.body.focus(); scrollTo(0, 0)")
        browser.do("document.querySelectorAll('[data-visited]').forEach(e => delete e.dataset.visited)")
        reached, wanted = 0, browser.do(FOCUSABLE)
        for _ in range(wanted + 5):
            browser.press("Tab")
            focus = browser.do(FOCUSED)
            if focus is None:
                break
            reached += 1
            assert focus["seen"], f"{place}: no visible focus on {focus['what']}"
        assert reached >= wanted, f"{place}: {reached} of {wanted}"


def test_arrows_home_and_end_move_among_the_tabs(browser: Browser, hostile_page: str) -> None:
    browser.looks(1440, 900)
    browser.open(hostile_page)
    chosen = "document.querySelector('#s1 [role=tab][aria-selected=true]').id.replace('s1-tab-', '')"
    names = [name for name, _ in page.TABS]
    browser.click("#s1-tab-overview")
    for key, name in (("ArrowRight", names[1]), ("End", names[-1]), ("ArrowRight", names[0]), ("ArrowLeft", names[-1])):
        browser.press(key)
        assert browser.do(chosen) == name
        assert browser.do("document.activeElement.id").endswith(f"tab-{name}")


def test_trials_that_lack_a_number_are_drawn_beside_the_numbers(browser: Browser, storage: str, tmp_path: Path) -> None:
    space = {"train.ema": [None, 0.5, 0.9], "dropout": [None, *(n / 20 for n in range(10))]}
    browser.looks(1440, 900)
    browser.open(
        written(tmp_path, [tables(write_sweep(storage, "lacking", space, endings=("complete",)), list(space))])
    )
    browser.click("#s1-tab-parameters")
    browser.do(PAINTED)
    few, many = browser.do(
        """[...document.querySelectorAll("[data-chart=slice]")].map(({ data: [points, , means], layout: { xaxis } }) => ({
            points: points.x.length, means: means.x, place: xaxis.tickvals[0], ticks: xaxis.ticktext}))"""
    )
    assert few["ticks"] == ["not set", "0.5", "0.9"]
    assert many["ticks"] == ["not set", "0", "0.11", "0.23", "0.34", "0.45"]
    for axis in (few, many):
        assert axis["points"] == 33
        assert axis["means"][:2] == [axis["place"], None]
    heights = "document.querySelector('[data-chart=parallel]').data.flatMap(line => line.y)"
    assert browser.do(f"{heights}.filter(y => y === null).length") == 34  # the ends of lines, of the best one twice
    texts = "document.querySelector('[data-chart=parallel]').layout.annotations.map(mark => mark.text)"
    assert sum("not set" in text for text in browser.do(texts)) == 2
    assert browser.complaints() == []


def test_the_table_sorts_and_filters(browser: Browser, hostile_page: str, sweep: Sweep) -> None:
    browser.looks(1440, 900)
    browser.open(hostile_page)
    browser.click("#s1-tab-trials")
    heading = "[...document.querySelectorAll('#s1 [data-trials] th')].find(t => t.title === 'val/loss')"
    browser.do(f"{heading}.querySelector('button').click()")
    column = browser.do(f"{heading}.cellIndex")
    cells = (
        "[...document.querySelectorAll('#s1 [data-trials] tbody tr:not([hidden])')].map(r => r.cells[{}].textContent)"
    )
    shown = browser.do(cells.format(column))
    finite = [float(text) for text in shown if text not in ("–", "∞")]
    assert finite == sorted(finite)
    assert len(shown) == 24
    browser.do(
        "f = document.querySelector('#s1 [data-filter]'); f.value = 'lr=0.01 Pruned'; f.dispatchEvent(new Event('input'))"
    )
    kept = browser.do(cells.format(2))
    assert len(kept) == sum(r.state == "pruned" and r.trial.cell["lr"] == 0.01 for r in sweep.records())
    assert browser.do("document.querySelectorAll('.modebar-btn[data-title*=loud]').length") == 0
    assert browser.complaints() == []
