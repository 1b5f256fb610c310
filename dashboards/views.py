"""What the page shows, as numbers: DataFrames in, named tuples out. Rows are trials by rank, best first."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sweeper.dashboards.levels import Levels, axis_levels, holds_numbers, label, seed_levels, varies
from sweeper.dashboards.ranking import STATES, best, objective, ranked
from sweeper.dashboards.spending import epoch_seconds, epochs_saved, seconds_saved, wall_seconds

GROUPS = {"val": "Validation", "test": "Test", "train": "Training"}
COSTS = ("epoch_seconds", "peak_memory_mib")
SHORT = {"top1": "top-1 %", "top5": "top-5 %", "ece": "ECE", "epoch_seconds": "s / epoch", "peak_memory_mib": "MiB"}
FAMILY_ORDER = ("loss", "top1", "top5", "ece")
NOT_CURVES = ("key", "number", "epoch", "time")


@dataclass(frozen=True)
class SweepTables:
    """One sweep: its tables as `sweeper.results` makes them, and facts about it worth a line each.

    `trials` has key number name state seed epochs_run best_epoch, the axes and the metrics; `history` key number epoch
    and the metrics; `per_class` key number split class_index class id images correct top1. By trial key: `predictions`
    has split sample label prediction confidence, one row an image; `pictures` PNG files by title; `links` the address
    of the trial's run in MLflow. `importances` are axes' shares of the objective's variance, by what `sweeper.search` says.
    """

    name: str
    description: str
    axes: tuple[str, ...]
    metric: str
    mode: str
    trials: pd.DataFrame
    history: pd.DataFrame
    per_class: pd.DataFrame
    facts: Mapping[str, str]
    predictions: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    importances: Mapping[str, float] = field(default_factory=dict)
    pictures: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)


MOST_TRIALS = 1000
"""The best-ranked trials, of which a page has rows, curves and answers; cells, classes and parameters are of them all."""


class Column(NamedTuple):
    """A column of the leaderboard; `kind` is count, text, percent or number."""

    name: str
    label: str
    group: str
    kind: str


class Leaderboard(NamedTuple):
    """The first trials by rank. `best` is the position of the best one; `constant` holds the axes that have one value only."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    best: int | None
    constant: tuple[tuple[str, Any], ...]


class Overview(NamedTuple):
    """Counts by state, the best trial's row, epochs trained, and epochs that pruning left out (None: cannot say).

    `wall_seconds` goes from the first epoch's begin to the last one's end, pauses included; `trial_seconds` is the sum
    over all epochs; `seconds_saved` takes each pruned trial's epochs to come as long as those that it trained.
    """

    total: int
    states: tuple[tuple[str, int], ...]
    best: Mapping[Hashable, Any] | None
    epochs_run: int
    epochs_saved: int | None
    wall_seconds: float
    trial_seconds: float
    seconds_saved: float


class Curves(NamedTuple):
    """Histories laid end to end: trial i owns the rows `offsets[i]:offsets[i + 1]` of `epochs` and of each metric."""

    offsets: list[int]
    epochs: list[int]
    metrics: dict[str, list[float]]


class Family(NamedTuple):
    """Metrics drawn together: the validation metric (or one that has no split) and the training metric of one name."""

    label: str
    kind: str
    main: str | None
    train: str | None


def by_rank(tables: SweepTables) -> pd.DataFrame:
    """The trials, best first, numbered from 0."""
    return tables.trials.loc[ranked(tables.trials, tables.metric, tables.mode)].reset_index(drop=True)


def overview(tables: SweepTables) -> Overview:
    trials = tables.trials
    counts = trials["state"].value_counts()
    saved, seconds = epochs_saved(trials, tables.axes), epoch_seconds(tables.history)
    winner = best(trials, tables.metric, tables.mode)
    return Overview(
        total=len(trials),
        states=tuple((state, int(counts[state])) for state in STATES if state in counts),
        best=None if winner is None else trials.loc[[winner]].to_dict("records")[0],
        epochs_run=int(trials["epochs_run"].sum()),
        epochs_saved=None if saved is None else int(saved.sum()),
        wall_seconds=wall_seconds(tables.history),
        trial_seconds=float(seconds.sum()),
        seconds_saved=0.0 if saved is None else seconds_saved(saved, seconds),
    )


def metric_label(metric: str) -> str:
    """A metric's name for people: "val/top1" is "validation top-1"."""
    split, _, what = metric.rpartition("/")
    what = {"top1": "top-1", "top5": "top-5", "ece": "calibration error"}.get(what, what.replace("_", " "))
    return f"{GROUPS[split].lower()} {what}" if split in GROUPS else what


def metric_kind(metric: str) -> str:
    return "percent" if metric.endswith(("/top1", "/top5")) else "number"


def leaderboard(tables: SweepTables) -> Leaderboard:
    """The trials table: who, the settings that vary, how it went, validation and test apart."""
    trials = by_rank(tables)
    changing = [axis for axis in tables.axes if varies(trials[axis])]
    columns = [Column("number", "trial", "", "count"), Column("state", "state", "", "text")]
    columns += [Column(axis, axis.removeprefix("train."), "Settings", axis_kind(trials[axis])) for axis in changing]
    columns += [Column("seed", "seed", "Settings", "count")] if varies(trials["seed"]) else []
    columns += metric_columns(trials, tables)
    columns += [Column("epochs_run", "run", "Epochs", "count"), Column("best_epoch", "best", "Epochs", "count")]
    columns += [*_costs(trials), Column("key", "key", "", "text")]
    shown = trials.head(MOST_TRIALS)
    rows = tuple(zip(*(plain_values(shown[column.name]) for column in columns), strict=True))
    winner = best(trials, tables.metric, tables.mode)
    constant = ((axis, plain_values(trials[axis])[0]) for axis in tables.axes if axis not in changing and len(trials))
    return Leaderboard(tuple(columns), rows, winner, tuple(constant))


def metric_columns(trials: pd.DataFrame, tables: SweepTables) -> list[Column]:
    training = [tables.metric] if tables.metric.startswith("train/") else []
    names = [*training, *(f"{split}/{what}" for split in ("val", "test") for what in ("top1", "top5", "loss", "ece"))]
    known = [name for name in names if name in trials.columns]
    return [Column(name, _short(name), GROUPS[name.partition("/")[0]], metric_kind(name)) for name in known]


def _costs(trials: pd.DataFrame) -> list[Column]:
    return [Column(name, _short(name), "Cost", "number") for name in COSTS if name in trials.columns]


def _short(metric: str) -> str:
    what = metric.rpartition("/")[2]
    return SHORT.get(what, what)


def axis_kind(values: pd.Series) -> str:
    return "number" if holds_numbers(values) else "text"


def plain_values(values: pd.Series) -> list[Any]:
    """The values as Python objects, None for those that are missing."""
    return [None if value is pd.NA or value is None or value != value else value for value in values.tolist()]


def trial_levels(tables: SweepTables) -> dict[str, Levels]:
    """What trials can be coloured by: each axis that varies, the seed, the state. First the axis that tells most."""
    trials = by_rank(tables)
    axes = [axis for axis in (*tables.axes, "seed") if varies(trials[axis])]
    levels = {axis: (seed_levels if axis == "seed" else axis_levels)(trials[axis]) for axis in axes}
    values = objective(trials, tables.metric).where(trials["state"].isin(["complete", "pruned"]))
    telling = sorted(axes, key=lambda axis: -explained(values, levels[axis].of_trial))
    return {axis: levels[axis] for axis in telling} | {"state": axis_levels(trials["state"])}


def explained(values: pd.Series, groups: Sequence[int]) -> float:
    """The share of the variance of the finite values that lies between groups (eta squared); 0 when there is none."""
    frame = pd.DataFrame({"value": list(values), "group": list(groups)}).dropna()
    total = ((frame["value"] - frame["value"].mean()) ** 2).sum()
    if not total > 0:
        return 0.0
    means = frame.groupby("group")["value"].transform("mean")
    return float(((means - frame["value"].mean()) ** 2).sum() / total)


def curves(tables: SweepTables) -> Curves:
    """Every metric of every epoch, trials by rank; those after the first MOST_TRIALS have no rows."""
    trials = by_rank(tables)
    position = pd.Series(trials.index, index=trials["key"]).head(MOST_TRIALS)
    rows = tables.history.assign(position=tables.history["key"].map(position)).dropna(subset=["position"])
    rows = rows.sort_values(["position", "epoch"])
    counts = np.bincount(rows["position"].astype(int), minlength=len(trials))
    metrics = [name for name in tables.history.columns if name not in NOT_CURVES]
    return Curves(
        offsets=[0, *np.cumsum(counts).tolist()],
        epochs=rows["epoch"].astype(int).tolist(),
        metrics={name: rows[name].astype(float).tolist() for name in metrics},
    )


def families(metrics: Sequence[str], objective_metric: str) -> tuple[Family, ...]:
    """The metrics of the curves by what they measure, the objective's first."""
    whats = dict.fromkeys(name.rpartition("/")[2] for name in (objective_metric, *FAMILY_ORDER, *metrics))
    found = (_family(what, set(metrics)) for what in whats)
    return tuple(family for family in found if family.main or family.train)


def _family(what: str, metrics: set[str]) -> Family:
    main = next((name for name in (f"val/{what}", what) if name in metrics), None)
    train = f"train/{what}" if f"train/{what}" in metrics else None
    name = main or train or what
    return Family(metric_label(name.rpartition("/")[2]), metric_kind(name), main, train)


def trial_labels(tables: SweepTables) -> list[str]:
    """Each trial's settings that vary, "lr=0.1 momentum=0.9", by rank; its name where nothing varies."""
    trials = by_rank(tables)
    changing = [axis for axis in (*tables.axes, "seed") if varies(trials[axis])]
    parts = [[f"{axis.removeprefix('train.')}={label(value)}" for value in trials[axis]] for axis in changing]
    return [" ".join(values) for values in zip(*parts, strict=True)] if parts else list(trials["name"])


def swept(tables: SweepTables) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Each axis and the seeds with their values in order, as texts; of more than twelve numbers the least and the most."""
    trials = tables.trials
    return tuple((axis, _values(trials[axis])) for axis in (*tables.axes, "seed")) if len(trials) else ()


def _values(values: pd.Series) -> tuple[str, ...]:
    is_number = holds_numbers(values)
    in_order = values.dropna().sort_values() if is_number else values
    texts = tuple(dict.fromkeys(label(value) for value in in_order.tolist()))
    if is_number and len(texts) > 12:
        return (f"{len(texts)} values from {texts[0]} to {texts[-1]}",)
    return (*texts, "not set") if is_number and values.isna().any() else texts
