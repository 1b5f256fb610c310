"""Cells: what the trials that differ by nothing but the seed have in common."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sweeper.dashboards.levels import label, varies
from sweeper.dashboards.ranking import STATES, objective, ranked
from sweeper.dashboards.views import Column, SweepTables, axis_kind, metric_columns, plain_values


class Spread(NamedTuple):
    """A mean and its standard deviation (None: one trial), or None for both."""

    mean: float | None
    deviation: float | None


class CellBoard(NamedTuple):
    """Cells by their mean objective. Under Validation and Test a row has a Spread; `labels` are "lr=0.1 momentum=0.9"."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    labels: tuple[str, ...]
    keys: tuple[str | None, ...]
    left_out: int


NOT_METRICS = ("key", "number", "name", "state", "seed", "epochs_run", "best_epoch")


def cells_table(trials: pd.DataFrame, axes: Sequence[str], metric: str, mode: str) -> pd.DataFrame:
    """One row a cell, best first by the mean objective over its complete trials; cells without one come last.

    `trials` is the trials table. Columns: the axes; `seeds` and `complete`, how many trials the cell has and how many
    count; `states`, how many are in each; `best_key` and `best_number`, its best trial; then of each metric
    `<metric>_mean` and `<metric>_std` (ddof 1, NaN for one seed) over the complete trials, NaN where one of them lacks
    the metric.
    """
    cell = cell_numbers(trials, axes)
    complete = trials[trials["state"] == "complete"]
    metrics = [name for name in trials.columns if name not in NOT_METRICS and name not in axes]
    first = trials[~cell.duplicated()].set_index(cell[~cell.duplicated()])
    table = first[list(axes)].copy()
    table["seeds"] = cell.value_counts()
    table["complete"] = cell[complete.index].value_counts().reindex(table.index, fill_value=0)
    table["states"] = _states(trials["state"], cell).reindex(table.index)
    winners = _winners(trials, cell, metric, mode).reindex(table.index)
    table["best_key"], table["best_number"] = winners["key"], winners["number"].astype("Int64")
    table = pd.concat([table, _moments(complete[metrics], cell[complete.index]).reindex(table.index)], axis=1)
    order = objective(table, f"{metric}_mean").sort_values(ascending=mode == "min", kind="stable", na_position="last")
    return table.loc[order.index].reset_index(drop=True)


def _states(states: "pd.Series[str]", cell: "pd.Series[int]") -> "pd.Series[str]":
    """Of each cell "2 complete, 1 pruned"."""
    counts = pd.crosstab(cell, states)
    counts = counts.reindex(columns=[state for state in STATES if state in counts])
    rows = (
        ", ".join(f"{count} {state}" for state, count in zip(counts.columns, row, strict=True) if count)
        for row in counts.to_numpy().tolist()
    )
    return pd.Series(list(rows), counts.index, "str")


def _winners(trials: pd.DataFrame, cell: "pd.Series[int]", metric: str, mode: str) -> pd.DataFrame:
    """Key and number of each cell's best trial, by the rule of `ranking.best`; none where that trial has no number."""
    ended = trials[trials["state"].isin(["complete", "pruned"])]
    first = ended.loc[ranked(ended, metric, mode)].assign(cell=cell).drop_duplicates("cell")
    return first[objective(first, metric).notna()].set_index("cell")[["key", "number"]]


def cell_numbers(trials: pd.DataFrame, axes: Sequence[str]) -> "pd.Series[int]":
    """The number of each trial's cell, from 0 in the order of appearance; trials are of one cell when every axis agrees."""
    columns = [trials[axis].tolist() for axis in axes]
    cells = [json.dumps([_plain(column[row]) for column in columns], sort_keys=True) for row in range(len(trials))]
    return pd.Series(pd.factorize(np.array(cells, dtype=object))[0], index=trials.index, dtype="int64")


def _plain(value: Any) -> Any:
    """A value that JSON writes one way only: lists for tuples and arrays, None for what is missing."""
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(item) for item in value]
    return None if value is pd.NA or value != value else value


def _moments(values: pd.DataFrame, cell: "pd.Series[int]") -> pd.DataFrame:
    """Mean and standard deviation of each column by cell, side by side."""
    groups = values.astype(float).groupby(cell)
    known = groups.count().eq(groups.size(), axis=0)
    with np.errstate(invalid="ignore"):
        moments = {"mean": groups.mean().where(known), "std": groups.std(ddof=1).where(known)}
    parts = {f"{name}_{what}": moments[what][name] for name in values.columns for what in moments}
    return pd.DataFrame(parts, index=groups.size().index)


def cell_board(tables: SweepTables) -> CellBoard | None:
    """The leaderboard of cells; None where every trial has the same seed, as trials then are cells."""
    if not varies(tables.trials["seed"]):
        return None
    cells = cells_table(tables.trials, tables.axes, tables.metric, tables.mode)
    changing = [axis for axis in tables.axes if varies(cells[axis])]
    settings = [Column(axis, axis.removeprefix("train."), "Settings", axis_kind(cells[axis])) for axis in changing]
    seeds = [Column("complete", "complete", "Seeds", "count"), Column("seeds", "all", "Seeds", "count")]
    metrics = metric_columns(tables.trials, tables)
    parts = [plain_values(cells[column.name]) for column in (*settings, *seeds)]
    parts += [_spreads(cells, column.name) for column in metrics]
    parts += [plain_values(cells[name]) for name in ("states", "best_number")]
    last = [Column("states", "states", "", "text"), Column("best_number", "best trial", "", "count")]
    names = [[f"{axis.removeprefix('train.')}={label(value)}" for value in cells[axis]] for axis in changing]
    return CellBoard(
        (*settings, *seeds, *metrics, *last),
        tuple(zip(*parts, strict=True)),
        tuple(map(" ".join, zip(*names, strict=True))) if names else ("every trial",) * len(cells),
        tuple(plain_values(cells["best_key"])),
        left_out=int((cells["seeds"] - cells["complete"]).sum()),
    )


def _spreads(cells: pd.DataFrame, metric: str) -> list[Spread]:
    means, deviations = plain_values(cells[f"{metric}_mean"]), plain_values(cells[f"{metric}_std"])
    return [Spread(mean, deviation) for mean, deviation in zip(means, deviations, strict=True)]


def best_cell(board: CellBoard, metric: str) -> Mapping[str, Any] | None:
    """The first cell's values by column; None where no cell has a finite mean objective."""
    for row in board.rows[:1]:
        found = dict(zip((column.name for column in board.columns), row, strict=True))
        mean = found[metric].mean if metric in found else None
        return found if mean is not None and np.isfinite(mean) else None
    return None
