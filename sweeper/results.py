"""The sweep folder's records as tidy tables. `sweeper.exports` writes them, `dashboards` shows them."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import pandas as pd

from sweeper.dashboards.cells import cells_table
from sweeper.dashboards.ranking import best, ranked
from sweeper.dashboards.views import SweepTables
from sweeper.experiment import Experiment, Train
from sweeper.pictures import read_pictures
from sweeper.predictions import StoredPredictions
from sweeper.space import Space
from sweeper.store import Record, StoreError, Sweep
from sweeper.store.left import Artifacts, remedy
from sweeper.store.per_class import COLUMNS, rows_of

FIXED = {
    "key": "str",
    "number": "int64",
    "name": "str",
    "state": "str",
    "seed": "int64",
    "epochs_run": "int64",
    "best_epoch": "Int64",
}
SPLIT_METRICS = [f"{split}/{what}" for split in ("val", "test", "train") for what in ("loss", "top1", "top5", "ece")]
METRICS = (*SPLIT_METRICS, "lr", "epoch_seconds", "images_per_second", "peak_memory_mib")
SETTINGS = {field.name for field in fields(Train)}
TABLES = ("trials", "cells", "history", "per-class")


def trials_table(records: Sequence[Record], axes: Sequence[str]) -> pd.DataFrame:
    """One row a trial, by number: who it is, its axes under their names in the file, its summary metrics.

    A metric that has the name of a setting (`lr`, the rate of the last step) is in the column `metrics.<name>`.
    """
    records = sorted(records, key=lambda record: record.trial.number)
    summaries = [record.result.summary if record.result else {} for record in records]
    table = pd.DataFrame([_fixed(record) for record in records], columns=list(FIXED)).astype(FIXED)
    columns = {axis: _column([record.trial.value(axis) for record in records]) for axis in axes}
    for name in ordered_metrics(summaries):
        values = pd.Series([summary.get(name, math.nan) for summary in summaries], dtype=float)
        columns[f"metrics.{name}" if name in columns or name in SETTINGS else name] = values
    return pd.concat([table, pd.DataFrame(columns, index=table.index)], axis=1)


def trials_now(sweep: Sweep, records: Sequence[Record], axes: Sequence[str]) -> pd.DataFrame:
    """The trials table for people: trials that nothing runs any more are `interrupted`."""
    table = trials_table(records, axes)
    return table if sweep.is_running() else table.assign(state=table["state"].replace("running", "interrupted"))


def _fixed(record: Record) -> tuple[Any, ...]:
    trial, epochs_run = record.trial, int(record.history[-1]["epoch"]) if record.history else 0
    best_epoch = record.result.best_epoch if record.result else None
    return (trial.key, trial.number, trial.name, str(record.state), trial.seed, epochs_run, best_epoch)


def _column(values: list[Any]) -> "pd.Series[Any]":
    """A column of the values' own type, which pandas sees except for whole numbers with gaps."""
    if {type(value) for value in values} == {int, type(None)}:
        return pd.Series(values, dtype="Int64")
    return pd.Series(values, dtype=None if values else object)


def ordered_metrics(rows: Iterable[Mapping[str, float]]) -> list[str]:
    """The metrics that occur: validation, test and training, then the others, always in the same order."""
    found = {name for row in rows for name in row}
    return [name for name in METRICS if name in found] + sorted(found.difference(METRICS))


def history_table(records: Sequence[Record]) -> pd.DataFrame:
    """One row an epoch of every trial, by number and epoch: key, number, epoch, then the metrics as reported."""
    rows: list[dict[str, Any]] = []
    for record in sorted(records, key=lambda record: record.trial.number):
        rows += [{"key": record.trial.key, "number": record.trial.number, **row} for row in record.history]
    kinds = {"key": "str", "number": "int64", "epoch": "int64"}
    metrics = [name for name in ordered_metrics(rows) if name not in kinds]
    return pd.DataFrame(rows, columns=[*kinds, *metrics]).astype(kinds)


def per_class_table(sweep: Sweep, records: Sequence[Record]) -> pd.DataFrame:
    """One row a class, split and trial, from each trial's `artifacts/per_class.csv` where it left one."""
    rows: list[tuple[Any, ...]] = []
    records = sorted(records, key=lambda record: record.trial.number)
    paths = (f"{record.trial.key}/artifacts/per_class.csv" for record in records)
    for record, content in zip(records, sweep.folder.sub("trials").read_each(paths), strict=True):
        left = sweep.trial(record.trial.key).left(record.result)
        rows += [(record.trial.key, record.trial.number, *row.values()) for row in _per_class(left, content)]
    kinds = {"key": str, "number": int, **COLUMNS}
    dtypes = {str: "str", int: "int64", float: "float64"}
    return pd.DataFrame(rows, columns=list(kinds)).astype({name: dtypes[kind] for name, kind in kinds.items()})


def _per_class(artifacts: Artifacts, content: bytes | None) -> list[dict[str, Any]]:
    content = artifacts.checked("per_class.csv", content)
    try:
        return [] if content is None else rows_of(content)
    except ValueError as error:
        raise StoreError(f"{artifacts.told('per_class.csv')} is damaged ({error}). {remedy(artifacts)}") from error


def sweep_tables(
    sweep: Sweep,
    experiment: Experiment,
    records: Sequence[Record],
    facts: Mapping[str, str],
    pictures: Sequence[str] = (),
) -> SweepTables:
    """Everything that the dashboard shows of a sweep; pictures of the best trial and of those with the given keys."""
    from sweeper.search.importance import importances

    axes, objective = Space.of(experiment.search).names, experiment.objective
    trials = trials_now(sweep, records, axes)
    winner = best(trials, objective.metric, objective.mode)
    pictured = {*pictures, *(() if winner is None else (str(trials["key"][winner]),))}
    return SweepTables(
        sweep.name,
        experiment.description,
        axes,
        objective.metric,
        objective.mode,
        trials,
        history_table(records),
        per_class_table(sweep, records),
        facts,
        importances=importances(experiment, records),
        pictures=read_pictures(sweep, sorted(pictured.intersection(trials["key"]))),
        predictions=StoredPredictions(sweep, records),
    )


def named_table(name: str, sweep: Sweep, experiment: Experiment) -> pd.DataFrame:
    """One of TABLES. Raises KeyError for another name."""
    records, axes, objective = sweep.records(), Space.of(experiment.search).names, experiment.objective
    makers: dict[str, Callable[[], pd.DataFrame]] = {
        "trials": lambda: trials_table(records, axes),
        "cells": lambda: cells_table(trials_table(records, axes), axes, objective.metric, objective.mode),
        "history": lambda: history_table(records),
        "per-class": lambda: per_class_table(sweep, records),
    }
    return makers[name]()


def ranked_table(name: str, sweep: Sweep, experiment: Experiment, top: int | None) -> pd.DataFrame:
    """The cells, or the trials or the per-class table of the trials: of the best `top` (all when None), best first."""
    table, objective = named_table(name, sweep, experiment), experiment.objective
    if name == "cells":
        return table[:top]
    trials = table if name == "trials" else named_table("trials", sweep, experiment)
    order = trials.loc[ranked(trials, objective.metric, objective.mode)[:top], "key"].tolist()
    place = {key: position for position, key in enumerate(order)}
    kept = table[table["key"].isin(order)]
    return kept.sort_values("key", key=lambda keys: keys.map(place), kind="stable", ignore_index=True)
