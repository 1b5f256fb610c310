"""Comma-separated values as spreadsheets take them: a text is never run as a formula."""

import csv
import io
import re

# A spreadsheet may trim what is blank or invisible, and split at a semicolon or tab as its country does.
BLANK = r"[\s\0\u200b-\u200f\u2060-\u2069\ufeff]*"
FORMULA = re.compile(rf"^(?=[\t\r\n])|(^|[;\t\r\n])(?={BLANK}[=+\-@＝＋－＠])")


def harmless(words: str) -> str:
    """The text with an apostrophe before what a spreadsheet would run as a formula."""
    return FORMULA.sub(r"\1'", words)


def cell(words: str) -> str:
    """The text as a cell of a CSV file, quoted where it must be."""
    is_quoted = any(character in words for character in ',;"\t\r\n') or words != words.strip()
    return '"' + words.replace('"', '""') + '"' if is_quoted else words


def harmless_csv(table: bytes) -> bytes:
    """A CSV file of texts and numbers from 0 up, each of its cells harmless. Raises ValueError when it is none."""
    try:
        lines = list(csv.reader(io.StringIO(table.decode(), newline="")))
    except csv.Error as error:
        raise ValueError(str(error)) from error
    return "".join(",".join(map(_harmless_cell, line)) + "\n" for line in lines).encode()


def _harmless_cell(words: str) -> str:
    return words if words.isdigit() else cell(harmless(words))
