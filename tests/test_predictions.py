"""Predictions travel whole from the sweep folder to the page, and the page's tables say what pandas makes of them."""

import base64
import io
import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from folders import CLASSES, SPACE, write_sweep
from pages import tables
from scipy.stats import binomtest, f_oneway

from benchmarks.chromium import Browser
from sweeper.dashboards import classes, effects, page, predictions, views
from sweeper.predictions import StoredPredictions
from sweeper.store import StoreError, Sweep

pytest_plugins = ("page_fixtures",)

IMAGES = 40


def write_predictions(sweep: Sweep, splits: Sequence[str] = ("val", "test"), names: Sequence[str] = CLASSES) -> None:
    """What a trial makes of each image: right about as often as its number says."""
    for record in sweep.records():
        if record.state != "complete":
            continue
        draw, frames = random.Random(record.trial.key), []
        for split in splits:
            labels = [c for c in range(len(names)) for _ in range(IMAGES)]
            skill = 0.3 + 0.04 * (record.trial.number % 9)
            guesses = [c if draw.random() < skill * (c % 3) else draw.randrange(len(names)) for c in labels]
            samples = [f"{split}/{n}" for n in range(len(labels))]
            columns = {"split": split, "sample": samples, "label": labels, "prediction": guesses, "confidence": 0.5}
            frames.append(pd.DataFrame(columns).astype({"confidence": "float32"}))
        buffer = io.BytesIO()
        pd.concat(frames).to_parquet(buffer, index=False)
        sweep.trial(record.trial.key).artifacts.write("predictions.parquet", buffer.getvalue())


def predicted(sweep: Sweep) -> views.SweepTables:
    return replace(tables(sweep), predictions=StoredPredictions(sweep, sweep.records()))


@pytest.fixture(scope="module")
def judged(storage: str) -> Sweep:
    sweep = write_sweep(storage, "judged", seeds=(0, 1))
    write_predictions(sweep)
    return sweep


def unpacked(text: str, width: int) -> list[int]:
    values: list[int] = np.frombuffer(base64.b64decode(text), dtype=f"<u{width}").tolist()
    return values


def test_the_page_holds_each_complete_trials_test_predictions(judged: Sweep) -> None:
    table = predicted(judged)
    (images,) = predictions.image_sets(table, 10**6)
    keys = list(views.by_rank(table)["key"])
    assert (images.split, images.width, tuple(images.names), images.left_out) == ("test", 1, CLASSES, [])
    assert [keys[trial] for trial in images.trials] == [key for key in keys if key in table.predictions]
    for trial, text in zip(images.trials, images.predicted, strict=True):
        rows = pd.read_parquet(Path(judged.trial(keys[trial]).artifacts.path) / "predictions.parquet")
        rows = rows[rows["split"] == "test"]
        assert unpacked(text, 1) == rows["prediction"].tolist()
        assert unpacked(images.labels, 1) == rows["label"].tolist()


def test_the_runner_up_is_of_another_cell(judged: Sweep) -> None:
    table = predicted(judged)
    (images,) = predictions.image_sets(table, 10**6)
    trials = views.by_rank(table).iloc[images.trials].reset_index(drop=True)
    cells = trials[list(SPACE)].apply(tuple, axis=1)
    assert images.pair == (0, next(place for place, cell in enumerate(cells) if cell != cells[0]))


def test_beyond_the_budget_the_best_trials_are_kept(judged: Sweep) -> None:
    (every,) = predictions.image_sets(predicted(judged), 10**6)
    (images,) = predictions.image_sets(predicted(judged), len(every.labels) + 3 * len(every.predicted[0]) + 5)
    assert images.trials == every.trials[:3]
    assert images.left_out == every.trials[3:]


def frame(split: str, samples: Sequence[str], labels: Sequence[int], guesses: Sequence[int]) -> pd.DataFrame:
    return pd.DataFrame({"split": split, "sample": samples, "label": labels, "prediction": guesses, "confidence": 1.0})


def test_trials_of_other_images_labels_or_classes_are_apart(judged: Sweep) -> None:
    table = tables(judged)
    keys = list(views.by_rank(table)["key"])[:5]
    frames = (
        frame("test", ["a", "b"], [0, 1], [0, 0]),
        frame("test", ["a", "c"], [0, 1], [0, 0]),
        frame("test", ["a", "b"], [0, 1], [300, 1]),
        frame("val", ["a", "b"], [0, 1], [1, 1]),
        frame("test", ["a", "b"], [0, 1], [1, 1]),
    )
    found = predictions.image_sets(replace(table, predictions=dict(zip(keys, frames, strict=True))), 10**6)
    assert [(images.split, images.trials, images.pair) for images in found] == [
        ("test", [0, 4], (0, 1)),
        ("test", [1], None),
        ("test", [2], None),
        ("val", [3], None),
    ]
    assert found[2].width == 2
    assert unpacked(found[2].predicted[0], 2) == [300, 1]
    assert found[2].names[-1] == "300"


def test_predictions_are_read_when_asked_for_and_trials_without_any_are_not_there(judged: Sweep) -> None:
    records = judged.records()
    stored = StoredPredictions(judged, records)
    with_file = [r.trial.key for r in records if judged.trial(r.trial.key).artifacts.exists("predictions.parquet")]
    assert 0 < len(with_file) < len(records)
    assert (list(stored), len(stored)) == (with_file, len(with_file))
    for key in (record.trial.key for record in records):
        path = Path(judged.trial(key).artifacts.path, "predictions.parquet")
        found = stored.get(key)
        assert found is None if key not in with_file else found is not None and found.equals(pd.read_parquet(path))


@pytest.mark.parametrize(
    "content",
    [b"", b"PAR1 nonsense", pd.DataFrame({"split": ["val"]}).to_parquet(), frame("val", ["a"], [-1], [0]).to_parquet()],
)
def test_damaged_predictions_are_named(storage: str, content: bytes) -> None:
    sweep = write_sweep(storage, "damaged", {"lr": [0.1]}, endings=("complete",))
    key = sweep.records()[0].trial.key
    sweep.trial(key).artifacts.write("predictions.parquet", content)
    with pytest.raises(StoreError, match=r"predictions\.parquet is damaged"):
        StoredPredictions(sweep, sweep.records())[key]


def test_a_torn_file_of_predictions_is_named_wherever_it_is_torn(judged: Sweep, storage: str) -> None:
    records = judged.records()
    key = next(iter(StoredPredictions(judged, records)))
    whole = judged.trial(key).artifacts.read("predictions.parquet")
    other = Sweep(storage, "torn").trial(key).artifacts
    for at in range(0, len(whole), 97):
        other.write("predictions.parquet", whole[:at])
        with pytest.raises(StoreError, match="damaged"):
            StoredPredictions(Sweep(storage, "torn"), records)[key]


def test_shares_of_variance_follow_from_scipys_analysis_of_variance(judged: Sweep) -> None:
    table = tables(judged)
    counts = classes.class_counts(table)[0]
    trials = views.by_rank(table).iloc[counts.trials].reset_index(drop=True)
    complete = (trials["state"] == "complete").to_numpy()
    accuracy = (np.array(counts.correct) / np.array(counts.images))[complete]
    trials = trials[complete]
    found = {effect.axis: effect for effect in effects.effects(table, counts)}
    assert set(found) == {*SPACE, "seed"}
    for axis, effect in found.items():
        groups = [accuracy[(trials[axis] == value).to_numpy()] for value in sorted(trials[axis].unique())]
        assert effect.trials == [len(group) for group in groups]
        assert np.allclose(effect.means, [group.mean(axis=0) for group in groups], atol=1e-4)
        between, within = len(groups) - 1, len(trials) - len(groups)
        for column, share in enumerate(effect.share):
            ratio = f_oneway(*(group[:, column] for group in groups)).statistic
            assert share == pytest.approx(ratio * between / (ratio * between + within), abs=1e-4)
        assert effect.chance == between / (len(trials) - 1)


def shown(browser: Browser, chart: str) -> list[list[str]]:
    """The cells of a table on the page."""
    rows: list[list[str]] = browser.do(
        f"[...document.querySelectorAll('#s1 [data-chart={chart}] tbody tr')].map(r => [...r.cells].map(c => c.textContent))"
    )
    return rows


def choose(browser: Browser, panel: str, which: str, words: str) -> None:
    """Open a chooser, search, and take the first trial found, as a reader would."""
    chooser = f"document.querySelector('#s1-{panel} [data-{which}]')"
    browser.do(f"{chooser}.open = true; new Promise(done => setTimeout(done, 50))")
    browser.do(f"i = {chooser}.querySelector('input'); i.value = {words!r}; i.dispatchEvent(new Event('input'))")
    assert words in browser.do(f"{chooser}.querySelector('li').textContent")
    browser.do(f"{chooser}.querySelector('li input').click()")
    assert browser.do(f"!{chooser}.open")


def by_holm(p: pd.Series) -> pd.Series:
    ordered = p.sort_values(kind="stable")
    steps = pd.Series(range(len(p), 0, -1), index=ordered.index)
    return (ordered * steps).clip(upper=1).cummax().reindex(p.index)


@pytest.mark.parametrize("split", ["test", "val"])
def test_two_trials_that_a_reader_picks_are_compared_as_pandas_compares_them(
    browser: Browser, storage: str, tmp_path: Path, split: str
) -> None:
    sweep = write_sweep(storage, f"compared-{split}", seeds=(0, 1), endings=("complete",))
    write_predictions(sweep, ["val", "test"] if split == "test" else ["val"])
    (tmp_path / "page.html").write_text(page.render([predicted(sweep)]))
    browser.open(f"file://{tmp_path}/page.html#s1-classes")
    picked = [record.trial for record in sweep.records() if record.trial.number in (8, 13)]
    for which, trial in zip("ab", picked, strict=True):
        choose(browser, "classes", which, f"trial {trial.number}:")
    a, b = (
        pd.read_parquet(Path(sweep.trial(trial.key).artifacts.path) / "predictions.parquet").query(
            f"split == '{split}'"
        )
        for trial in picked
    )
    rows = pd.DataFrame({"class": a["label"].map(dict(enumerate(CLASSES)))})
    rows["A"], rows["B"] = a["prediction"] == a["label"], b["prediction"] == b["label"]
    rows["b"], rows["c"] = rows["A"] & ~rows["B"], rows["B"] & ~rows["A"]
    per_class = rows.groupby("class")[["A", "B", "b", "c"]].sum()
    per_class["p"] = [
        binomtest(b, b + c).pvalue if b + c else 1.0 for b, c in zip(per_class.b, per_class.c, strict=True)
    ]
    per_class["holm"] = by_holm(per_class["p"])
    table = shown(browser, "comparison")
    assert {row[0] for row in table} == set(CLASSES)
    for name, difference, holm, verdict, _, only_a, only_b, p, right_a, right_b, images in table:
        expected = per_class.loc[name]
        assert float(difference.replace("−", "-")) == pytest.approx(100 * (expected.A - expected.B) / IMAGES, abs=0.051)
        assert (int(only_a), int(only_b), int(images)) == (expected.b, expected.c, IMAGES)
        assert float(right_a) == pytest.approx(100 * expected.A / IMAGES, abs=0.051)
        assert float(right_b) == pytest.approx(100 * expected.B / IMAGES, abs=0.051)
        assert number(p) == pytest.approx(expected.p, rel=0.05)
        assert number(holm) == pytest.approx(expected.holm, rel=0.05)
        better = "A better" if expected.b > expected.c else "B better"
        assert verdict == (better if expected.holm <= 0.05 else "")
    text = browser.do("document.querySelector('#s1 [data-chart=comparison]').textContent")
    total = per_class.sum()
    assert f"right on {total.A:.0f} of {len(a)} {'test' if split == 'test' else 'validation'} images" in text
    assert f"{total.b:.0f} images only A has right, {total.c:.0f} images only B" in text
    assert browser.complaints() == []


def number(text: str) -> float:
    """A p as the page writes it."""
    digits, _, power = text.partition(" × 10")
    exponent = power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
    return float(digits) * 10 ** int(exponent or 0)


def test_confusion_on_the_page_is_that_of_pandas(browser: Browser, judged: Sweep, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(page.render([predicted(judged)]))
    browser.open(f"file://{tmp_path}/page.html#s1-confusion")
    trials = [record.trial for record in judged.records() if record.state == "complete"][2:4]
    for which, trial in zip("ab", trials, strict=True):
        choose(browser, "confusion", which, f"trial {trial.number}:")
    counts = []
    for trial in trials:
        rows = pd.read_parquet(Path(judged.trial(trial.key).artifacts.path) / "predictions.parquet")
        rows = rows[rows["split"] == "test"]
        counts.append(
            pd.crosstab(rows["label"], rows["prediction"]).reindex(range(10), axis=1, fill_value=0).to_numpy()
        )
    z = "document.querySelector('#s1 [data-chart={}]').data[0].z"
    assert np.allclose(browser.do(z.format("confusion")), counts[0] / IMAGES)
    assert np.allclose(browser.do(z.format("confusionChange")), (counts[0] - counts[1]) / IMAGES)
    unit = "s = document.querySelector('#s1 [data-unit]'); s.value = 'count'; s.dispatchEvent(new Event('change'))"
    browser.do(unit)
    assert browser.do(z.format("confusion")) == counts[0].tolist()
    pairs = {(CLASSES[r], CLASSES[c]): counts[0][r, c] for r, c in itertools.permutations(range(10), 2)}
    most = shown(browser, "confusedPairs")
    assert [int(row[2]) for row in most] == sorted(pairs.values(), reverse=True)[: len(most)]
    assert all(pairs[row[0], row[1]] == int(row[2]) for row in most)
    change = {
        (CLASSES[r], CLASSES[c]): counts[0][r, c] - counts[1][r, c] for r, c in itertools.permutations(range(10), 2)
    }
    changed = shown(browser, "changedPairs")
    assert all(change[row[0], row[1]] == int(row[4].replace("−", "-")) for row in changed)
    assert [abs(int(row[4].replace("−", "-"))) for row in changed] == sorted(map(abs, change.values()), reverse=True)[
        : len(changed)
    ]
    assert browser.complaints() == []


def test_bars_reach_as_far_as_scipys_intervals(browser: Browser, judged: Sweep, tmp_path: Path) -> None:
    table = predicted(judged)
    (tmp_path / "page.html").write_text(page.render([table]))
    browser.open(f"file://{tmp_path}/page.html#s1-classes")
    counts = classes.class_counts(table)[0]
    drawn: list[dict[str, Any]] = browser.do(
        "document.querySelector('#s1 [data-chart=bars]').data.map("
        "t => ({x: t.x, up: t.error_x.array, down: t.error_x.arrayminus}))"
    )
    assert len(drawn) == 2
    for row, trace in enumerate(drawn):
        for place, at in enumerate(counts.hardest):
            correct, images = counts.correct[row][at], counts.images[row][at]
            assert correct is not None
            assert images
            interval = binomtest(correct, images).proportion_ci(method="wilson")
            assert trace["x"][place] == pytest.approx(correct / images)
            assert trace["x"][place] + trace["up"][place] == pytest.approx(interval.high)
            assert trace["x"][place] - trace["down"][place] == pytest.approx(interval.low, abs=1e-12)


def test_of_many_classes_twenty_have_bars_until_all_are_asked_for(
    browser: Browser, storage: str, tmp_path: Path
) -> None:
    names = [f"class {index}" for index in range(30)]
    sweep = write_sweep(storage, "many", {"lr": [0.1, 0.01]}, endings=("complete",), classes=names)
    (tmp_path / "page.html").write_text(page.render([tables(sweep, ["lr"])]))
    browser.open(f"file://{tmp_path}/page.html#s1-classes")
    bars = "document.querySelector('#s1 [data-chart=bars]').data.map(trace => trace.x.length)"
    assert browser.do(bars) == [20, 20]
    browser.do(
        "s = document.querySelector('#s1 select[data-most]'); s.value = '0'; s.dispatchEvent(new Event('change'))"
    )
    assert browser.do(bars) == [30, 30]
