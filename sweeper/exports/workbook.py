"""Excel workbooks."""

import io
import math
import re
from typing import Any

import pandas as pd
import xlsxwriter

from sweeper.exports.values import ExportError, rows, text

# https://support.microsoft.com/office/1672b34d-7043-467e-8e27-269d656771c3
MOST_ROWS, MOST_COLUMNS, LONGEST_TEXT = 1_048_576, 16_384, 32_767
LARGEST_EXACT = 2**53
WIDEST = 40  # characters
INSTEAD = "export it as csv or parquet"


class _Exact(float):
    """A number that is written with all its digits, where Excel's writers stop at sixteen."""

    def __format__(self, _: str) -> str:
        return repr(float(self))


def to_xlsx(table: pd.DataFrame, title: str) -> bytes:
    """A workbook of one sheet with a frozen header.

    Numbers and truth values keep their types and every digit; missing ones are empty cells; infinite numbers, whole
    numbers that a double cannot hold and lists are texts. No text is a formula. Raises ExportError beyond Excel's limits.
    """
    lines = [tuple(map(str, table.columns)), *rows(table)]
    _check(table, lines)
    content = io.BytesIO()
    with xlsxwriter.Workbook(content, {"in_memory": True}) as workbook:
        sheet = workbook.add_worksheet(_sheet_name(title))
        header = workbook.add_format({"bold": True, "bottom": 1})
        for number, line in enumerate(lines):
            for column, value in enumerate(line):
                _write(sheet, number, column, value, header if number == 0 else None)
        for column, width in enumerate(_widths(lines)):
            sheet.set_column(column, column, width)
        sheet.freeze_panes(1, 0)
        sheet.autofilter(0, 0, len(table), len(table.columns) - 1)
        sheet.ignore_errors({"number_stored_as_text": f"A1:XFD{MOST_ROWS}"})
    return content.getvalue()


def _check(table: pd.DataFrame, lines: list[tuple[Any, ...]]) -> None:
    if len(lines) > MOST_ROWS or len(table.columns) > MOST_COLUMNS:
        size = f"{len(table):,} rows and {len(table.columns):,} columns"
        raise ExportError(f"{size} do not fit into a sheet of {MOST_ROWS:,} by {MOST_COLUMNS:,}; {INSTEAD}")
    for line in lines:
        for name, value in zip(table.columns, line, strict=True):
            if not isinstance(value, bool | int | float) and len(text(value)) > LONGEST_TEXT:
                length = f"a text of {len(text(value)):,} characters in column {str(name)[:60]!r}"
                raise ExportError(f"{length} does not fit into a cell of {LONGEST_TEXT:,}; {INSTEAD}")


def _sheet_name(title: str) -> str:
    return re.sub(r"[\[\]:*?/\\\x00-\x1f]+", " ", title)[:31].strip("' ")


def _write(sheet: Any, row: int, column: int, value: Any, style: Any) -> None:
    if isinstance(value, bool):
        sheet.write_boolean(row, column, value, style)
    elif _is_number(value):
        sheet.write_number(row, column, value if isinstance(value, int) else _Exact(value), style)
    elif value is not None:
        sheet.write_string(row, column, text(value), style)


def _is_number(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and abs(value) <= LARGEST_EXACT


def _widths(lines: list[tuple[Any, ...]]) -> list[int]:
    """Each column's width in characters, by its header and first rows; room for the filter's arrow."""
    return [
        min(WIDEST, 3 + max(len(text(value)[:WIDEST]) for value in column)) for column in zip(*lines[:200], strict=True)
    ]
