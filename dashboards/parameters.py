"""Hyper-parameters as numbers: where trials lie on each axis, and what the objective does along it. Trials by rank."""

from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from sweeper.dashboards.levels import BINS, MOST, Levels, holds_numbers, label, varies
from sweeper.dashboards.ranking import objective
from sweeper.dashboards.views import SweepTables, by_rank, trial_levels

FEW, FEW_AN_AXIS = 20, 10


class Mean(NamedTuple):
    """The mean objective of complete trials, where on the axis it lies, and of how many trials it is."""

    at: float
    mean: float
    trials: int


class Dimension(NamedTuple):
    """An axis that varies. `at` is where each trial lies: its number, or on a category scale the position of its label.

    `scale` is linear, log or category. `ticks` are the values themselves where there are few, else empty. `means` has
    one entry a value, or a range of values with about as many trials in each where there are many (then `is_binned`).
    `unset` is the place before the numbers of trials that have none, or None where all have one.
    """

    axis: str
    scale: str
    at: list[float]
    labels: tuple[str, ...]
    ticks: list[float]
    means: tuple[Mean, ...]
    is_binned: bool
    unset: float | None


class Pair(NamedTuple):
    """Two axes by their levels: the mean objective of complete trials in each field, `down` x `across`, and their number."""

    across: str
    down: str
    mean: list[list[float | None]]
    trials: list[list[int]]


class Parameters(NamedTuple):
    """All of the above; importances from the largest; how many trials are complete, pruned, and ended without a result.

    `is_drawable` says whether any trial has an objective to draw.
    """

    dimensions: tuple[Dimension, ...]
    pairs: tuple[Pair, ...]
    importances: list[tuple[str, float]]
    caution: str | None
    complete: int
    pruned: int
    lost: int
    is_drawable: bool


def parameters(tables: SweepTables) -> Parameters:
    trials = tables.trials
    states = trials["state"]
    known = objective(trials, tables.metric).notna()
    return Parameters(
        dimensions(tables),
        pairs(tables),
        sorted(tables.importances.items(), key=lambda item: -item[1]),
        caution(tables),
        complete=int((states == "complete").sum()),
        pruned=int((states == "pruned").sum()),
        lost=int(states.isin(["diverged", "failed"]).sum()),
        is_drawable=bool((known & states.isin(["complete", "pruned"])).any()),
    )


def dimensions(tables: SweepTables) -> tuple[Dimension, ...]:
    """Every axis that varies, in the order of the file."""
    trials = by_rank(tables)
    values = objective(trials, tables.metric).where(trials["state"] == "complete")
    return tuple(_dimension(trials[axis], axis, values) for axis in varying_axes(tables))


def varying_axes(tables: SweepTables) -> list[str]:
    return [axis for axis in tables.axes if varies(tables.trials[axis])]


def _dimension(values: pd.Series, axis: str, objectives: "pd.Series[float]") -> Dimension:
    if not holds_numbers(values):
        names = [label(value) for value in values]
        labels = tuple(sorted(set(names)))
        at = pd.Series([float(labels.index(name)) for name in names], index=values.index)
        return Dimension(axis, "category", at.tolist(), labels, [], _means(at, objectives), False, None)
    numbers = values.astype(float)
    distinct = np.sort(numbers.dropna().unique())
    scale, is_binned = "log" if is_log_like(distinct) else "linear", len(distinct) > MOST
    is_set, before = numbers.notna(), _place_before(distinct, scale)
    at, unset = numbers.fillna(before), None if is_set.all() else before
    means = _binned_means(at[is_set], objectives) if is_binned else _means(at[is_set], objectives)
    means = (*_means(at[~is_set], objectives), *means)
    return Dimension(axis, scale, at.tolist(), (), [] if is_binned else distinct.tolist(), means, is_binned, unset)


def _place_before(distinct: np.ndarray, scale: str) -> float:
    """As far before sorted distinct numbers as they are apart on their scale, were they even and at most MOST."""
    places = np.log(distinct) if scale == "log" else distinct
    gaps = min(len(distinct), MOST) - 1
    before = places[0] - ((places[-1] - places[0]) / gaps if gaps else 1)
    return float(np.exp(before) if scale == "log" else before)


def is_log_like(distinct: np.ndarray) -> bool:
    """Whether sorted distinct numbers belong on a logarithmic scale: positive, over a factor of ten or, for three and
    more, of three, and with gaps that are more even between their logarithms (by coefficient of variation)."""
    if len(distinct) < 2 or distinct[0] <= 0 or distinct[-1] / distinct[0] < (10 if len(distinct) == 2 else 3):
        return False
    return bool(_unevenness(np.log(distinct)) <= _unevenness(distinct))


def _unevenness(places: np.ndarray) -> float:
    gaps = np.diff(places)
    return float(gaps.std() / gaps.mean())


def _means(at: "pd.Series[float]", objectives: "pd.Series[float]") -> tuple[Mean, ...]:
    frame = pd.DataFrame({"at": at, "value": objectives}).dropna()
    groups = frame.groupby("at")["value"]
    return tuple(
        Mean(float(place), float(mean), int(count))
        for place, mean, count in zip(groups.size().index, groups.mean(), groups.size(), strict=True)
    )


def _binned_means(at: "pd.Series[float]", objectives: "pd.Series[float]") -> tuple[Mean, ...]:
    """Means of equally many trials each, as far as that goes, placed at the median of their values."""
    frame = pd.DataFrame({"at": at, "value": objectives}).dropna()
    if frame.empty:
        return ()
    bins = frame.groupby(pd.qcut(frame["at"], BINS, duplicates="drop"), observed=True)
    return tuple(Mean(float(part["at"].median()), float(part["value"].mean()), len(part)) for _, part in bins)


def pairs(tables: SweepTables) -> tuple[Pair, ...]:
    """Every pair of axes that vary, over everything else; the levels are those of `trial_levels`."""
    trials, levels = by_rank(tables), trial_levels(tables)
    values = objective(trials, tables.metric).where(trials["state"] == "complete")
    axes = combinations(varying_axes(tables), 2)
    return tuple(Pair(across, down, *_fields(levels[across], levels[down], values)) for across, down in axes)


def _fields(
    across: Levels, down: Levels, values: "pd.Series[float]"
) -> tuple[list[list[float | None]], list[list[int]]]:
    """Mean and number of the finite values in each field of two axes' levels."""
    known, shape = values.notna().to_numpy(), (len(down.labels), len(across.labels))
    fields = np.array(down.of_trial, dtype=int)[known], np.array(across.of_trial, dtype=int)[known]
    total, count = np.zeros(shape), np.zeros(shape, dtype=int)
    np.add.at(total, fields, values.to_numpy()[known])
    np.add.at(count, fields, 1)
    filled = [[t / n if n else None for t, n in zip(*row, strict=True)] for row in zip(total, count, strict=True)]
    return [[None if mean is None else float(mean) for mean in row] for row in filled], count.tolist()


def caution(tables: SweepTables) -> str | None:
    """Why importances of this sweep say little, or None: fewer than twenty complete trials, or than ten for each axis
    that varies, the rule of thumb for regressions (Harrell, Regression Modeling Strategies, 2015, section 4.4)."""
    complete, axes = int((tables.trials["state"] == "complete").sum()), len(varying_axes(tables))
    needed = max(FEW, FEW_AN_AXIS * axes)
    if complete >= needed:
        return None
    trials = f"{complete} complete trial{'' if complete == 1 else 's'}"
    varying = f"{axes} ax{'i' if axes == 1 else 'e'}s"
    return (
        f"This sweep is too small to say: {trials} for {varying}, where about {needed} would be "
        "needed. Take the order as a hint; a few more trials may turn it around."
    )
