"""The numbers of the page: views have what the folder says."""

import csv
import itertools
import math
import statistics
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from folders import SPACE, write_sweep
from hypothesis import given
from hypothesis import strategies as st
from pages import Elements, tables

from sweeper.dashboards import classes, effects, levels, page, predictions, views
from sweeper.reading import read_experiment
from sweeper.showing import facts
from sweeper.store import Sweep

pytest_plugins = ("page_fixtures",)


def test_the_overview_counts(sweep: Sweep) -> None:
    view, records = views.overview(tables(sweep)), sweep.records()
    assert dict(view.states) == {s: sum(r.state == s for r in records) for s in {str(r.state) for r in records}}
    assert view.epochs_run == sum(len(record.history) for record in records)
    assert view.epochs_saved == sum(10 - len(record.history) for record in records if record.state == "pruned")
    top = max((r for r in records if r.state == "complete" and r.result), key=lambda r: r.result.summary["val/top1"])
    assert view.best is not None
    assert view.best["key"] == top.trial.key


def test_the_overview_tells_the_models_of_the_trials_and_not_the_file_s_own(tmp_path: Path) -> None:
    sweep = write_sweep(str(tmp_path), space={"model": [{"name": "vgg11"}, {"name": "resnet18", "stem": "small"}]})
    text = "name: synthetic\ndata: {name: digits}\nmodel: alexnet\nsearch: {space: {model: [vgg11, resnet18]}}\n"
    assert facts(sweep, read_experiment(text, "f.yaml"), sweep.records())["model"] == "vgg11, resnet18"


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


def test_a_page_has_rows_curves_and_answers_of_the_best_trials_and_says_so(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (views, page, predictions):
        monkeypatch.setattr(module, "MOST_TRIALS", 3)
    table, records = tables(sweep), sweep.records()
    frame = pd.DataFrame({"split": "test", "sample": ["a", "b"], "label": [0, 1], "prediction": [0, 0]})
    table = replace(table, predictions={record.trial.key: frame for record in records})
    ranked = list(views.by_rank(table)["key"])
    assert [row[-1] for row in views.leaderboard(table).rows] == ranked[:3]
    drawn = views.curves(table)
    assert len(drawn.offsets) == len(records) + 1
    assert set(drawn.offsets[3:]) == {len(drawn.epochs)}
    (images,) = predictions.image_sets(table, 1000)
    assert (images.trials, images.left_out) == ([0, 1, 2], list(range(3, len(records))))
    words = Elements(page.render([table])).text
    assert f"Curves are of the 3 best of {len(records)} trials" in words
    assert f"These are the 3 best of {len(records)} trials; for all: sweeper export {sweep.name}." in words


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
            rows = [row for row in csv.DictReader(path.read_text().splitlines()) if row["split"] == view.split]
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


def test_each_seed_is_a_level_of_its_own_however_many(tmp_path: Path) -> None:
    seeds = [*range(11), 1234567890]
    table = tables(write_sweep(str(tmp_path), space={"lr": [0.01, 0.1]}, seeds=seeds, endings=("complete",)), ["lr"])
    correct = table.per_class["key"].map(table.trials.set_index("key")["seed"] * 7 % 12)
    table = replace(table, per_class=table.per_class.assign(correct=correct))
    found = views.trial_levels(table)["seed"]
    assert found.labels == tuple(str(seed) for seed in seeds)
    assert [seeds[level] for level in found.of_trial] == views.by_rank(table)["seed"].tolist()
    assert not found.ordered
    by_axis = {effect.axis: effect for effect in effects.effects(table, classes.class_counts(table)[0])}
    assert set(by_axis["seed"].share) == {1.0}
    assert set(by_axis["lr"].share) == {0.0}


def test_a_setting_is_labelled_for_people() -> None:
    settings = {
        "not set": None, "0.333333": 1 / 3, "true": True, "focal": {"name": "focal"}, '{"train": 0.6}': {"train": 0.6},
        "resnet18(stem=small)": {"stem": "small", "name": "resnet18"},
        "hue, mixup(alpha=1)": ["hue", {"name": "mixup", "alpha": 1}],
        "my.nets:net(act=null, deep=true, width=[1, 2])": {"name": "my.nets:net", "width": [1, 2], "deep": True, "act": None},
    }  # fmt: skip
    assert [levels.label(value) for value in settings.values()] == list(settings)


def test_the_share_of_variance_between_groups() -> None:
    assert views.explained(pd.Series([1.0, 1.0, 3.0, 3.0]), [0, 0, 1, 1]) == 1
    assert views.explained(pd.Series([1.0, 3.0, 1.0, 3.0]), [0, 0, 1, 1]) == 0
    assert views.explained(pd.Series([1.0, 2.0, 3.0, 6.0]), [0, 0, 1, 1]) == pytest.approx(9 / 14)
    assert views.explained(pd.Series([math.nan, 1.0]), [0, 1]) == 0
