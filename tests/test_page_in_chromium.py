"""The page works in a real browser, runs nothing that a name says and asks for nothing."""

from pathlib import Path

from pages import tables

from benchmarks.chromium import Browser
from dashboards import page, views
from sweeper.store import Sweep

pytest_plugins = ("page_fixtures",)


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
