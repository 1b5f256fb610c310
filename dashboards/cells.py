"""Cells: what the trials that differ by nothing but the seed have in common."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from dashboards.ranking import STATES, objective, ranked

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
