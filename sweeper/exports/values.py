"""A table's cells as Python values, and as texts for people."""

import math
import unicodedata
from typing import Any, NamedTuple

import pandas as pd

from sweeper.dashboards.levels import holds_numbers, label
from sweeper.trial import canonical_json

BIDIRECTIONAL = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
PLUS_MINUS = " ± "


class ExportError(ValueError):
    """Why a table cannot be written, for the person who asked."""


class ReadableColumn(NamedTuple):
    """A column for people: rounded numbers, one line a text, nothing for what is missing."""

    name: str
    is_number: bool
    cells: list[str]


def is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def rows(table: pd.DataFrame) -> list[tuple[Any, ...]]:
    """The rows as Python values, None for what is missing."""
    columns = [[None if is_missing(value) else value for value in values.tolist()] for _, values in table.items()]
    return list(zip(*columns, strict=True))


def text(value: Any) -> str:
    """A value in full: numbers as Python writes them, lists as JSON, nothing for None."""
    if value is None:
        return ""
    return canonical_json(value) if isinstance(value, list | tuple | dict) else str(value)


def readable(table: pd.DataFrame) -> list[ReadableColumn]:
    """The columns for people; a mean and its standard deviation share one."""
    columns = {str(name): _readable(str(name), values) for name, values in table.items()}
    for name in [name for name in columns if name.endswith("_mean")]:
        measure = name.removesuffix("_mean")
        deviation = columns.pop(f"{measure}_std", None)
        if deviation and measure not in columns:
            columns[name] = _with_deviation(measure, columns[name], deviation)
    return list(columns.values())


def _with_deviation(name: str, mean: ReadableColumn, deviation: ReadableColumn) -> ReadableColumn:
    pairs = zip(mean.cells, deviation.cells, strict=True)
    return ReadableColumn(name, True, [f"{one}{PLUS_MINUS}{other}" if other else one for one, other in pairs])


def _readable(name: str, values: "pd.Series[Any]") -> ReadableColumn:
    is_metric = "/" in name or name == "top1" or name.endswith(("_mean", "_std"))
    cells = (value for (value,) in rows(values.to_frame()))
    texts = [_readable_cell(value, is_metric) for value in cells]
    return ReadableColumn(one_line(name), holds_numbers(values), [one_line(cell) for cell in texts])


def _readable_cell(value: Any, is_metric: bool) -> str:
    if value is None:
        return ""
    return _rounded(value, is_metric) if isinstance(value, float) else label(value)


def _rounded(value: float, is_metric: bool) -> str:
    """Metrics with four decimals, very small ones with three digits; other numbers with six digits, or whole."""
    if is_metric and abs(value) < 1000:
        return f"{value:.4f}" if value == 0 or abs(value) >= 1e-3 else f"{value:.3g}"
    return f"{value:.0f}" if 1e6 <= abs(value) < 1e15 else f"{value:.6g}"


def one_line(words: str) -> str:
    """The text with single spaces for breaks and control characters, and no marks that turn what follows around."""
    kept = (character for character in words if unicodedata.bidirectional(character) not in BIDIRECTIONAL)
    return " ".join("".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in kept).split())
