"""The sweep folder's records as tidy tables, and their exports. How they look is the business of `dashboards`."""

import csv
import io
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import pandas as pd

from dashboards.ranking import best as best
from dashboards.terminal import print_results as print_results
from dashboards.views import SweepTables
from sweeper.experiment import Experiment
from sweeper.pictures import read_pictures
from sweeper.space import Space, setting_steps
from sweeper.store import Folder, Record, StoreError, Sweep
from sweeper.trial import Trial, canonical_json

FIXED = {
    "key": "str",
    "number": "int64",
    "name": "str",
    "state": "str",
    "seed": "int64",
    "epochs_run": "int64",
    "best_epoch": "Int64",
}
PER_CLASS = {"split": str, "class_index": int, "class": str, "id": str, "images": int, "correct": int, "top1": float}
SPLIT_METRICS = [f"{split}/{what}" for split in ("val", "test", "train") for what in ("loss", "top1", "top5", "ece")]
METRICS = (*SPLIT_METRICS, "lr", "epoch_seconds", "images_per_second", "peak_memory_mib")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
MARKUP = str.maketrans({"\\": "\\\\", "|": "\\|", "&": "&amp;", "<": "&lt;", ">": "&gt;"})


class ExportError(ValueError):
    """Why a table cannot be written, for the person who asked."""


def trials_table(records: Sequence[Record], axes: Sequence[str]) -> pd.DataFrame:
    """One row a trial, by number: who it is, its axes under their names in the file, its summary metrics.

    A metric that has the name of an axis (the learning rate `lr`) is in the column `metrics.<name>`.
    """
    records = sorted(records, key=lambda record: record.trial.number)
    summaries = [record.result.summary if record.result else {} for record in records]
    table = pd.DataFrame([_fixed(record) for record in records], columns=list(FIXED)).astype(FIXED)
    columns = {axis: _column([_axis_value(record.trial, axis) for record in records]) for axis in axes}
    for name in ordered_metrics(summaries):
        values = pd.Series([summary.get(name, math.nan) for summary in summaries], dtype=float)
        columns[f"metrics.{name}" if name in columns else name] = values
    return pd.concat([table, pd.DataFrame(columns, index=table.index)], axis=1)


def _fixed(record: Record) -> tuple[Any, ...]:
    trial, epochs_run = record.trial, int(record.history[-1]["epoch"]) if record.history else 0
    best_epoch = record.result.best_epoch if record.result else None
    return (trial.key, trial.number, trial.name, str(record.state), trial.seed, epochs_run, best_epoch)


def _axis_value(trial: Trial, axis: str) -> Any:
    """The trial's value of an axis; from its settings when its cell does not name the axis."""
    if axis in trial.cell:
        return trial.cell[axis]
    value: Any = trial.config
    for step in setting_steps(axis):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


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
    trials = [record.trial for record in sorted(records, key=lambda record: record.trial.number)]
    rows = [(trial.key, trial.number, *row) for trial in trials for row in _per_class(sweep.trial(trial.key).artifacts)]
    kinds = {"key": str, "number": int, **PER_CLASS}
    dtypes = {str: "str", int: "int64", float: "float64"}
    return pd.DataFrame(rows, columns=list(kinds)).astype({name: dtypes[kind] for name, kind in kinds.items()})


def _per_class(artifacts: Folder) -> list[tuple[Any, ...]]:
    try:
        lines = csv.DictReader(io.StringIO(artifacts.read("per_class.csv").decode(), newline=""))
        return [tuple(_parsed(line[name], kind) for name, kind in PER_CLASS.items()) for line in lines]
    except FileNotFoundError:
        return []
    except (KeyError, ValueError, TypeError) as error:
        where, remedy = artifacts.at("per_class.csv"), "Restore it, or remove the trial's folder to do its work again."
        raise StoreError(f"{where} is damaged ({error!r}). {remedy}") from error


def _parsed(text: str, kind: Callable[[str], Any]) -> Any:
    return kind(text or "nan") if kind is float else kind(text)


def sweep_tables(
    sweep: Sweep, experiment: Experiment, facts: Mapping[str, str], pictures: Sequence[str] = ()
) -> SweepTables:
    """Everything that the dashboard shows of a sweep; pictures of the best trial and of those with the given keys."""
    records, axes, objective = sweep.records(), Space.of(experiment.search).names, experiment.objective
    trials = trials_table(records, axes)
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
        pictures=read_pictures(sweep, sorted(pictured.intersection(trials["key"]))),
    )


def export(table: pd.DataFrame, format: str, path: str | None) -> None:
    """Write a table as csv, json, parquet or markdown: whole, or not at all. No path, or "-": text to stdout.

    csv, json and parquet keep full precision; markdown is for reading and has six significant digits.
    Raises ExportError.
    """
    if format not in FORMATS:
        nearest = "".join(f"; did you mean {name}?" for name in get_close_matches(format, FORMATS, 1))
        raise ExportError(f"no format {format!r}; allowed {', '.join(FORMATS)}{nearest}")
    content = FORMATS[format](table)
    if path is not None and path != "-":
        _write(os.path.realpath(path), content if isinstance(content, bytes) else content.encode())
    elif isinstance(content, bytes):
        raise ExportError(f"{format} is not text; give it a file with -o FILE")
    else:
        sys.stdout.write(content)


def _write(path: str, content: bytes) -> None:
    if os.path.isdir(path):
        raise ExportError(f"{path} is a folder; give the name of a file")
    try:
        Folder(".").write(path, content)
    except OSError as error:
        raise ExportError(f"cannot write {path}: {error.strerror}") from error


def _rows(table: pd.DataFrame) -> list[tuple[Any, ...]]:
    """The rows as Python values, None for what is missing."""
    columns = [[None if _is_missing(value) else value for value in values.tolist()] for _, values in table.items()]
    return list(zip(*columns, strict=True))


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def to_csv(table: pd.DataFrame) -> str:
    """Comma-separated values; texts that a spreadsheet would run as formulas begin with an apostrophe."""
    rows = [tuple(table.columns), *_rows(table)]
    return "".join(",".join(map(_csv_cell, row)) + "\n" for row in rows)


def _csv_cell(value: Any) -> str:
    text = _text(value)
    if isinstance(value, str) and text.startswith(FORMULA_STARTS):
        text = "'" + text
    is_quoted = any(character in text for character in ',"\r\n') or text != text.strip()
    return '"' + text.replace('"', '""') + '"' if is_quoted else text


def _text(value: Any) -> str:
    if value is None:
        return ""
    return canonical_json(value) if isinstance(value, list | tuple | dict) else str(value)


def to_json(table: pd.DataFrame) -> str:
    """Objects, one a row, in a list. Strict JSON: null for missing and NaN, the texts "inf" and "-inf"."""
    rows = [{name: _finite(value) for name, value in zip(table.columns, row, strict=True)} for row in _rows(table)]
    return json.dumps(rows, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def to_parquet(table: pd.DataFrame) -> bytes:
    """Parquet with the columns' types; a column of lists or of mixed values becomes JSON texts."""
    columns = {name: _parquet_column(values) for name, values in table.items()}
    return bytes(pd.DataFrame(columns).to_parquet(index=False))


def _parquet_column(values: "pd.Series[Any]") -> "pd.Series[Any]":
    if values.dtype != object or all(_is_missing(value) or isinstance(value, str) for value in values):
        return values
    texts = [None if _is_missing(value) else json.dumps(value, ensure_ascii=False) for value in values]
    return pd.Series(texts, dtype="str", index=values.index)


def to_markdown(table: pd.DataFrame) -> str:
    """A pipe table; what Markdown or HTML would take for markup is escaped."""
    rule = ["---:" if pd.api.types.is_numeric_dtype(dtype) else "---" for dtype in table.dtypes]
    lines = [map(_markdown_cell, table.columns), rule, *(map(_markdown_cell, row) for row in _rows(table))]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _markdown_cell(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else _text(value)
    return " ".join(text.translate(MARKUP).split())


FORMATS: dict[str, Callable[[pd.DataFrame], str | bytes]] = {
    "csv": to_csv,
    "json": to_json,
    "parquet": to_parquet,
    "markdown": to_markdown,
}
