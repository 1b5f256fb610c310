"""Hyper-parameters as numbers: scales, means along axes and over pairs, and when a sweep is too small to say."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sweeper.dashboards.parameters import caution, dimensions, is_log_like, pairs, parameters
from sweeper.dashboards.views import SweepTables, by_rank


def sweep(states: Sequence[str], objectives: Sequence[float], **axes: Sequence[Any]) -> SweepTables:
    count = len(states)
    fixed = {
        "key": [f"k{i}" for i in range(count)],
        "number": range(count),
        "name": "",
        "state": states,
        "seed": 0,
        "epochs_run": 1,
        "best_epoch": 1,
    }
    trials = pd.DataFrame(fixed | {name: pd.Series(values) for name, values in axes.items()})
    trials["val/top1"] = objectives
    none = pd.DataFrame()
    return SweepTables("s", "", tuple(axes), "val/top1", "max", trials, none, none, {})


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1e-4, 1e-3, 5e-3], True),
        ([16, 32, 64, 128], True),
        ([0.01, 0.1], True),
        ([0.5, 0.9], False),
        ([1, 2, 3, 4], False),
        ([0, 1, 10, 100], False),
        ([-1, 1], False),
        ([5], False),
        ([], False),
        (np.sort(np.random.default_rng(0).uniform(0, 1, 50)), False),
        (np.sort(10 ** np.random.default_rng(0).uniform(-5, -1, 50)), True),
    ],
)
def test_numbers_whose_logarithms_are_even_go_on_a_logarithmic_scale(values: Sequence[float], expected: bool) -> None:
    assert is_log_like(np.array(values, dtype=float)) is expected


def test_means_are_those_of_complete_trials_at_each_value() -> None:
    states = ["complete", "complete", "pruned", "complete", "diverged"]
    tables = sweep(
        states,
        [0.5, 0.7, 0.1, 0.9, 0.0],
        lr=[0.1, 0.1, 0.1, 0.2, 0.2],
        augment=[["flip"], [], ["flip"], ["flip"], []],
        fixed=[1, 1, 1, 1, 1],
    )
    lr, augment = dimensions(tables)
    assert (lr.axis, lr.scale, lr.ticks, lr.is_binned) == ("lr", "linear", [0.1, 0.2], False)
    assert [mean.at for mean in lr.means] == [0.1, 0.2]
    assert [mean.mean for mean in lr.means] == pytest.approx([0.6, 0.9])
    assert [mean.trials for mean in lr.means] == [2, 1]
    assert lr.at == by_rank(tables)["lr"].tolist()
    assert lr.unset is None
    assert (augment.scale, augment.labels) == ("category", ("flip", "none"))
    assert [(mean.at, mean.trials) for mean in augment.means] == [(0, 2), (1, 1)]
    assert [mean.mean for mean in augment.means] == pytest.approx([0.7, 0.7])


def test_many_values_are_averaged_in_ranges_of_as_many_trials() -> None:
    draw = np.random.default_rng(1)
    lr, values = 10 ** draw.uniform(-4, -1, 60), draw.uniform(size=60)
    (axis,) = dimensions(sweep(["complete"] * 60, list(values), lr=lr))
    in_order = np.array_split(np.argsort(lr), 6)
    assert axis.is_binned
    assert axis.scale == "log"
    assert [mean.trials for mean in axis.means] == [10] * 6
    assert [mean.mean for mean in axis.means] == pytest.approx([values[part].mean() for part in in_order])
    assert [mean.at for mean in axis.means] == pytest.approx([np.median(lr[part]) for part in in_order])


@pytest.mark.parametrize(
    ("values", "scale", "unset"),
    [
        (pd.Series([0.5, 0.9, np.nan]), "linear", 0.1),
        (pd.Series([1, None, 1], dtype="Int64"), "linear", 0),
        (pd.Series([np.nan, 56.0]), "linear", 55),
        (pd.Series([0.01, np.nan, 0.1, 0.001]), "log", 1e-4),
        (pd.Series([*range(15), np.nan]), "linear", -2),
    ],
)
def test_trials_without_a_number_have_their_own_place_and_mean_before_the_numbers(
    values: "pd.Series[float]", scale: str, unset: float
) -> None:
    in_order = np.linspace(0.9, 0.1, len(values)).tolist()
    (axis,) = dimensions(sweep(["complete"] * len(values), in_order, axis=values))
    assert (axis.scale, axis.unset) == (scale, pytest.approx(unset))
    assert axis.at == values.astype(float).fillna(axis.unset).tolist()
    lacking = [value for value, is_lacking in zip(in_order, values.isna(), strict=True) if is_lacking]
    assert axis.means[0] == (axis.unset, pytest.approx(np.mean(lacking)), len(lacking))
    assert sum(mean.trials for mean in axis.means) == len(values)
    assert axis.unset not in axis.ticks


def test_pairs_hold_means_over_everything_else_and_leave_empty_fields_empty() -> None:
    draw, frame = np.random.default_rng(2), []
    for lr in (0.1, 0.2, 0.3):
        frame += [(lr, m, s) for m in (0.5, 0.9) for s in range(3) if (lr, m) != (0.3, 0.5)]
    lr, momentum, other = zip(*frame, strict=True)
    states = ["pruned" if i == 4 else "complete" for i in range(len(frame))]
    values = draw.uniform(size=len(frame))
    tables = sweep(states, list(values), lr=lr, momentum=momentum, other=other)
    pair = next(pair for pair in pairs(tables) if (pair.across, pair.down) == ("lr", "momentum"))
    complete = tables.trials[tables.trials["state"] == "complete"]
    expected = complete.pivot_table(index="momentum", columns="lr", values="val/top1", aggfunc=["mean", "count"])
    assert np.array(pair.mean, dtype=float) == pytest.approx(expected["mean"].to_numpy(), nan_ok=True)
    assert pair.mean[0][2] is None
    assert pair.trials == expected["count"].fillna(0).astype(int).to_numpy().tolist()
    assert len(pairs(tables)) == 3


@pytest.mark.parametrize(
    ("complete", "axes", "is_small"), [(19, 1, True), (20, 1, False), (20, 2, False), (29, 3, True), (30, 3, False)]
)
def test_importances_of_fewer_than_twenty_trials_or_ten_an_axis_come_with_a_caution(
    complete: int, axes: int, is_small: bool
) -> None:
    values = {f"a{axis}": range(complete + 5) for axis in range(axes)}
    tables = sweep(["complete"] * complete + ["pruned"] * 5, [0.5] * (complete + 5), **values)
    told = caution(tables)
    assert (told is not None) is is_small
    if told:
        assert f"{complete} complete trials for {axes} {'axis' if axes == 1 else 'axes'}, where" in told


@pytest.mark.parametrize("states", [[], ["waiting"], ["diverged", "failed"]])
def test_sweeps_with_nothing_to_draw_say_so(states: list[str]) -> None:
    view = parameters(sweep(states, [0.9] * len(states), lr=range(len(states))))
    assert not view.is_drawable
    assert all(not dimension.means for dimension in view.dimensions)
