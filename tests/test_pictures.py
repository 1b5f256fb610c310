"""Pictures that trials left come to the page whole, in order, within a budget, and only those that were asked for."""

import base64
import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from folders import write_sweep
from page_checks import OVERFLOWING
from pages import Elements, tables
from PIL import Image

from benchmarks.chromium import Browser
from sweeper.dashboards import page, views
from sweeper.dashboards.pictures import KINDS, albums
from sweeper.pictures import find_keys
from sweeper.store import Sweep
from sweeper.trial import UnknownTrialError
from tests.command import here

pytest_plugins = ("page_fixtures",)


def png(width: int = 4, height: int = 3) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(file, "PNG")
    return file.getvalue()


def with_pictures(sweep: Sweep, pictures: Mapping[str, Mapping[str, bytes]]) -> views.SweepTables:
    return replace(tables(sweep), pictures=pictures)


def keys_by_rank(sweep: Sweep) -> list[str]:
    return list(views.by_rank(tables(sweep))["key"])


def test_pictures_are_in_the_page_as_they_are_in_the_folder(sweep: Sweep) -> None:
    best, other = keys_by_rank(sweep)[0], keys_by_rank(sweep)[3]
    files = {"own_idea": png(2, 2), "calibration": png(20, 10), "predictions": png(400, 200)}
    found = albums(with_pictures(sweep, {other: {"mistakes": png()}, best: files}))
    assert [album.trial for album in found.shown] == [0, 3]
    pictures = found.shown[0].pictures
    assert [picture.heading for picture in pictures] == ["Sample predictions", "Calibration", "Own idea"]
    assert [(picture.width, picture.height) for picture in pictures] == [(400, 200), (20, 10), (2, 2)]
    assert base64.b64decode(pictures[0].png) == files["predictions"]
    assert found.left_out == ()


def test_the_best_trials_pictures_come_first_when_there_is_not_room_for_all(sweep: Sweep) -> None:
    best, other = keys_by_rank(sweep)[0], keys_by_rank(sweep)[1]
    one = len(png())
    given = {other: {"mistakes": png(), "confusion": png()}, best: {"mistakes": png(), "kernels": b"GIF89a"}}
    found = albums(with_pictures(sweep, given), budget=2 * one)
    assert [(album.trial, len(album.pictures)) for album in found.shown] == [(0, 1), (1, 1)]
    assert any(sentence.startswith("kernels of trial") and "not a PNG" in sentence for sentence in found.left_out)
    assert any(
        sentence.startswith("Confusion of trial") and "keep the page small" in sentence for sentence in found.left_out
    )


def test_every_kind_has_a_caption_and_words_for_who_cannot_see_it() -> None:
    assert all(kind.heading and kind.caption and kind.alt for kind in KINDS.values())


@pytest.mark.parametrize(
    ("endings", "sentence"),
    [
        (("running", "pruned"), "No pictures yet"),
        (("complete",), "No pictures are in the sweep's folder"),
    ],
)
def test_a_sweep_without_pictures_says_why(tmp_path: Path, endings: tuple[str, ...], sentence: str) -> None:
    sweep = write_sweep(str(tmp_path), space={"lr": [0.1, 0.2]}, endings=endings)
    assert sentence in Elements(page.render([tables(sweep, ["lr"])])).text


def test_a_trial_is_found_by_the_beginning_of_its_key(sweep: Sweep) -> None:
    keys = sorted(keys_by_rank(sweep))
    assert find_keys([sweep], [keys[3], keys[5].upper(), keys[3]]) == [keys[3], keys[5]]
    with pytest.raises(UnknownTrialError, match="no trial has a key that begins with 'zz'") as unknown:
        find_keys([sweep], ["zz"])
    assert f"`sweeper export {sweep.name} --storage {sweep.storage.url}` lists them" in str(unknown.value)
    first = max("0123456789abcdef", key=lambda digit: sum(key.startswith(digit) for key in keys))
    with pytest.raises(UnknownTrialError, match="give more of it"):
        find_keys([sweep], [first])
    with pytest.raises(UnknownTrialError, match="no trial"):
        find_keys([sweep], [""])


def test_pictures_are_loaded_when_their_tab_is_opened_and_changed_by_the_picker(
    browser: Browser, sweep: Sweep, tmp_path: Path
) -> None:
    best, other = keys_by_rank(sweep)[0], keys_by_rank(sweep)[2]
    given = {other: {"mistakes": png(1000, 50)}, best: {"kernels": png(5, 5), "calibration": png(30, 20)}}
    (tmp_path / "page.html").write_text(page.render([with_pictures(sweep, given)]))
    browser.looks(390, 800)
    browser.open((tmp_path / "page.html").as_uri())
    loaded = "Promise.all([...document.images].map(i => i.decode().then(() => [i.naturalWidth, i.alt])))"
    assert browser.do(loaded) == []
    browser.click("#s1-tab-pictures")
    assert [width for width, _ in browser.do(loaded)] == [5, 30]
    browser.do("p = document.querySelector('[data-album]'); p.value = 1; p.dispatchEvent(new Event('change'))")
    ((width, alt),) = browser.do(loaded)
    assert width == 1000
    assert alt.startswith("Photographs that were classified wrongly; trial ")
    assert browser.do("document.querySelector('.frame').tabIndex") == 0
    assert browser.do(OVERFLOWING) == []
    assert browser.complaints() == []


EXPERIMENT = (
    "name: {name}\ndata: {{name: digits}}\nmodel: {{name: alexnet}}\nsearch: {{space: {{lr: [0.1, 0.2, 0.3]}}}}\n"
)


@pytest.fixture
def storage_with_sweeps(tmp_path: Path) -> Path:
    """Two sweeps with other trials; every complete trial has one picture but the first."""
    for name, rates in (("one", [0.1, 0.2]), ("two", [0.3, 0.2])):
        sweep = write_sweep(str(tmp_path), name, {"lr": rates}, endings=("complete",))
        sweep.folder.write("experiment.yaml", EXPERIMENT.format(name=name).encode())
        for record in sweep.records()[1:]:
            sweep.trial(record.trial.key).artifacts.write("pictures/mistakes.png", png())
    return tmp_path


def keys(storage: Path, name: str) -> list[str]:
    return [record.trial.key for record in Sweep(str(storage), name).records()]


def test_the_command_shows_pictures_that_are_asked_for(storage_with_sweeps: Path) -> None:
    first, second = keys(storage_with_sweeps, "one")
    file = storage_with_sweeps / "missing" / "page.html"
    asked = ["dashboard", "one", "two", "one", "--storage", storage_with_sweeps, "-o", file]
    assert here(*asked, "--pictures", second[:6]).stdout.strip() == str(file)
    text = Elements(file.read_text()).text
    assert "trial 1: lr=0.2" in text
    file.unlink()
    assert f"trial {first} left no pictures" in here(*asked, "--pictures", first, expect=2).stderr
    assert "no trial has a key that begins with 'xyz'" in here(*asked, "--pictures", "xyz", expect=2).stderr
    assert not file.exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nosweep"], "unknown sweep `nosweep`; allowed: one, two"),
        (["one", "tow"], "did you mean"),
        (["one", "-o", "{storage}"], "is a folder"),
        (["one", "-o", "/proc/none/page.html"], "/proc/none"),
    ],
)
def test_the_command_says_what_is_wrong(storage_with_sweeps: Path, words: list[str], sentence: str) -> None:
    given = [word.format(storage=storage_with_sweeps) for word in words]
    error = here("dashboard", *given, "--storage", storage_with_sweeps, expect=2).stderr
    assert sentence in error
    assert "Traceback" not in error
