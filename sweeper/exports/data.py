"""Formats for programs: every value in full, under one name a column."""

import json
import math
from typing import Any

import pandas as pd

from sweeper.exports.values import is_missing, rows, text
from sweeper.text.spreadsheet import cell, harmless


def to_csv(table: pd.DataFrame) -> str:
    """Comma-separated values; texts that a spreadsheet would run as formulas begin with an apostrophe."""
    lines = [tuple(table.columns), *rows(table)]
    return "".join(",".join(map(_csv_cell, line)) + "\n" for line in lines)


def _csv_cell(value: Any) -> str:
    words = text(value)
    return cell(words if isinstance(value, bool | int | float) else harmless(words))


def to_json(table: pd.DataFrame) -> str:
    """Objects, one a row, in a list. Strict JSON: null for missing and NaN, the texts "inf" and "-inf"."""
    objects = ({name: _finite(value) for name, value in zip(table.columns, row, strict=True)} for row in rows(table))
    return "[" + ",\n ".join(json.dumps(row, ensure_ascii=False, allow_nan=False) for row in objects) + "]\n"


def _finite(value: Any) -> Any:
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def to_parquet(table: pd.DataFrame) -> bytes:
    """Parquet with the columns' types; a column of lists or of mixed values becomes JSON texts."""
    columns = {name: _parquet_column(values) for name, values in table.items()}
    return bytes(pd.DataFrame(columns).to_parquet(index=False))


def _parquet_column(values: "pd.Series[Any]") -> "pd.Series[Any]":
    if values.dtype != object or all(is_missing(value) or isinstance(value, str) for value in values):
        return values
    texts = [None if is_missing(value) else json.dumps(value, ensure_ascii=False) for value in values]
    return pd.Series(texts, dtype="str", index=values.index)
