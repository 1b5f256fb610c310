"""`per_class.csv`, the table of classes that a trial leaves."""

import csv
import io
from collections.abc import Callable
from typing import Any

COLUMNS = {"split": str, "class_index": int, "class": str, "id": str, "images": int, "correct": int, "top1": float}
"""One row a split and class; a class without images has no top1, in the file an empty cell and NaN in `rows_of`."""


def rows_of(content: bytes) -> list[dict[str, Any]]:
    """The rows of the file, by COLUMNS. Raises ValueError when that is not what it holds."""
    lines = csv.reader(io.StringIO(content.decode(), newline=""))
    try:
        head = next(lines, [])
        at = [(name, head.index(name), kind) for name, kind in COLUMNS.items()]
        return [{name: _parsed(line[place], kind) for name, place, kind in at} for line in lines if line]
    except (IndexError, csv.Error) as error:
        raise ValueError(str(error)) from error


def _parsed(text: str, kind: Callable[[str], Any]) -> Any:
    return kind(text or "nan") if kind is float else kind(text)
