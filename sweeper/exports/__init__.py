"""Tables as files: exact for programs, readable for people."""

import io
import os
import sys
from collections.abc import Callable
from pathlib import PurePath

import pandas as pd

from sweeper.exports.data import to_csv as to_csv
from sweeper.exports.data import to_json as to_json
from sweeper.exports.data import to_parquet
from sweeper.exports.markup import to_html, to_latex, to_markdown
from sweeper.exports.values import ExportError as ExportError
from sweeper.exports.workbook import to_xlsx
from sweeper.reading.mistakes import unknown
from sweeper.store import Folder
from sweeper.text.terminal import printable

FORMATS: dict[str, Callable[[pd.DataFrame, str], str | bytes]] = {
    "csv": lambda table, _: to_csv(table),
    "json": lambda table, _: to_json(table),
    "parquet": lambda table, _: to_parquet(table),
    "markdown": lambda table, _: to_markdown(table),
    "latex": to_latex,
    "html": to_html,
    "xlsx": to_xlsx,
}
ENDINGS = {f".{name}": name for name in FORMATS} | {
    ".htm": "html",
    ".md": "markdown",
    ".pq": "parquet",
    ".tex": "latex",
}


def format_of(path: str | None) -> str:
    """The format that a file's ending names; csv for stdout. Raises ExportError for another ending."""
    if path is None or path == "-":
        return "csv"
    ending = PurePath(path).suffix.lower()
    if ending not in ENDINGS:
        if ending:
            raise ExportError(f"{unknown(ending, ENDINGS, 'ending')}; or name the format with --format")
        raise ExportError(f"{path} has no ending that names a format; give --format {'|'.join(FORMATS)}")
    return ENDINGS[ending]


def export(table: pd.DataFrame, format: str, path: str | None, title: str = "table") -> None:
    """Write a table to a file: whole, or not at all. No path, or "-": text to stdout.

    csv, json, parquet and xlsx keep types and every digit; markdown, latex and html are for reading. Raises ExportError.
    """
    format = ENDINGS.get(f".{format}", format)
    if format not in FORMATS:
        raise ExportError(unknown(format, FORMATS, "format"))
    content = FORMATS[format](table, title)
    if path is not None and path != "-":
        _write(os.path.realpath(path), content if isinstance(content, bytes) else content.encode())
    elif isinstance(content, bytes):
        raise ExportError(f"{format} is not text; give it a file with -o FILE")
    else:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")  # data are UTF-8 whatever the terminal is
        sys.stdout.write(printable(content) if sys.stdout.isatty() else content)


def _write(path: str, content: bytes) -> None:
    if os.path.isdir(path):
        raise ExportError(f"{path} is a folder; give the name of a file")
    try:
        Folder(os.path.dirname(path)).write(os.path.basename(path), content)
    except OSError as error:
        raise ExportError(f"cannot write {path}: {error.strerror}") from error
