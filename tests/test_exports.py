"""Exports for programs keep what the tables say, and are read back by other libraries."""

import csv
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pytest
from folders import SPACE, write_sweep
from hostile import CLASSES
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from sweeper import exports
from sweeper.exports.workbook import to_xlsx
from sweeper.results import trials_table

cells = st.text(max_size=12) | st.sampled_from([*CLASSES, "@x", "+1", "-1", "\tx", "\rx", "a,b", 'a"b', "a\nb", "a\rb"])
floats = st.floats(allow_nan=True, allow_infinity=True)
NUMBERS = [0.1 + 0.2, 1 / 3, 5e-324, 1.7976931348623157e308, -2.0, 1e22, 123456789.12345679]


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    endings = ("complete", "pruned", "complete", "diverged", "failed", "running", "waiting", "complete")
    return trials_table(write_sweep(str(tmp_path_factory.mktemp("sweeps")), endings=endings).records(), tuple(SPACE))


def opened(content: bytes) -> Any:
    return openpyxl.load_workbook(io.BytesIO(content)).active


def unescaped(text: str) -> str:
    """A cell's text without the escapes of ECMA-376 part 1, 22.9.2.19, which openpyxl leaves."""
    return re.sub("_x([0-9A-F]{4})_", lambda found: chr(int(found[1], 16)), text)


def is_formula(text: str) -> bool:
    """Whether a spreadsheet that trims what is invisible would run the text."""
    return text.lstrip(" \0\u200b\ufeff\u202e\xa0\u3000").startswith(tuple("=+-@＝＋－＠\t\r\n"))


@given(st.lists(st.tuples(cells, floats, st.integers(-(2**60), 2**60), st.booleans()), max_size=5))
def test_csv_keeps_numbers_exactly_and_runs_no_formula(rows: list[tuple[Any, ...]]) -> None:
    table = pd.DataFrame(rows, columns=["text", "float", "int", "bool"])
    read = list(csv.reader(io.StringIO(exports.to_csv(table), newline="")))
    assert read[0] == ["text", "float", "int", "bool"]
    for (text, number, whole, flag), line in zip(rows, read[1:], strict=True):
        assert line[0].replace("'", "") == text.replace("'", "")
        assert not any(is_formula(part) for part in line[0].split(";"))
        assert line[1] == "" if math.isnan(number) else float(line[1]) == number
        assert line[2:] == [str(whole), str(flag)]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ('=HYPERLINK("http://x")', '"\'=HYPERLINK(""http://x"")"'),
        ("  =1+1", "'  =1+1"),
        ("\u00a0@x", "'\u00a0@x"),
        ("\u200b+1", "'\u200b+1"),
        ("\ufeff-1", "'\ufeff-1"),
        ("＝1+1", "'＝1+1"),
        ("frog;=1+1", '"frog;\'=1+1"'),
        ("semi-aquatic = wet", "semi-aquatic = wet"),
        ("'quoted'", "'quoted'"),
    ],
)
def test_a_formula_is_text_in_csv_as_a_cell_and_as_a_heading(text: str, cell: str) -> None:
    assert exports.to_csv(pd.DataFrame({text: [text]})) == f"{cell}\n{cell}\n"


@given(st.lists(st.tuples(cells, floats, st.integers(0, 9) | st.none()), max_size=5))
def test_json_is_strict_and_exact(rows: list[tuple[Any, ...]]) -> None:
    table = pd.DataFrame(rows, columns=["text", "float", "int"]).astype({"int": "Int64", "float": float})

    def forbidden(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    read = json.loads(exports.to_json(table), parse_constant=forbidden)
    exact = [None if math.isnan(number) else str(number) if math.isinf(number) else number for _, number, _ in rows]
    expected = [{"text": t, "float": x, "int": n} for (t, _, n), x in zip(rows, exact, strict=True)]
    assert read == expected


def test_parquet_keeps_types_and_bits(trials: pd.DataFrame, tmp_path: Path) -> None:
    table = trials.assign(mixed=[None, True, "a", ["b"]] * 3, lists=[["flip"]] * 12)
    exports.export(table, "parquet", str(tmp_path / "t.parquet"))
    read = pd.read_parquet(tmp_path / "t.parquet")
    assert_frame_equal(read.drop(columns=["mixed", "lists"]), trials)
    assert [value if pd.isna(value) else json.loads(value) for value in read["mixed"][1:4]] == [True, "a", ["b"]]


def test_xlsx_keeps_types_and_bits_and_the_header_in_sight(trials: pd.DataFrame) -> None:
    table = trials.assign(exact=(NUMBERS * 2)[: len(trials)], flag=True)
    sheet = opened(to_xlsx(table, "digits trials"))
    assert (sheet.title, sheet.freeze_panes) == ("digits trials", "A2")
    read = list(sheet.iter_rows(values_only=True))
    assert list(read[0]) == list(table.columns)
    for row, known in zip(read[1:], table.itertuples(index=False), strict=True):
        for value, expected in zip(row, known, strict=True):
            if pd.isna(expected):
                assert value is None
            elif expected == math.inf:
                assert value == "inf"
            else:
                assert value == expected
                assert isinstance(value, bool) == isinstance(expected, bool)
                assert isinstance(value, int) or not isinstance(expected, int)
                assert isinstance(value, str) == isinstance(expected, str)


def test_no_text_of_a_workbook_is_a_formula_and_each_comes_back() -> None:
    texts = [*CLASSES, "{=1}", "https://example.org", "12345", "TRUE", "", " padded "]
    sheet = opened(to_xlsx(pd.DataFrame({text or "none": [text, "b"] for text in texts}), "[a]:b?"))
    for column, text in zip(sheet.iter_cols(), texts, strict=True):
        assert {cell.data_type for cell in column} <= {"s", "n" if text == "" else "s"}
        assert column[1].hyperlink is None
        assert unescaped(column[1].value or "") == text


def test_what_excel_has_no_number_for_is_text_in_a_workbook() -> None:
    table = pd.DataFrame({"x": [math.inf, -math.inf, math.nan], "n": [2**53, 2**60, -(2**60)], "l": [["a"], [], None]})
    rows = list(opened(to_xlsx(table, "t")).iter_rows(min_row=2, values_only=True))
    assert rows == [("inf", 2**53, '["a"]'), ("-inf", str(2**60), "[]"), (None, str(-(2**60)), None)]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pd.DataFrame({"a": np.zeros(1_048_576)}), r"1,048,576 rows and 1 columns do not fit .* csv or parquet"),
        (pd.DataFrame(np.zeros((1, 16_385))), "do not fit into a sheet of 1,048,576 by 16,384"),
        (pd.DataFrame({"class": ["x" * 32_768]}), "a text of 32,768 characters in column 'class'"),
    ],
)
def test_what_does_not_fit_into_a_workbook_is_told(table: pd.DataFrame, message: str) -> None:
    with pytest.raises(exports.ExportError, match=message):
        to_xlsx(table, "t")


@pytest.mark.parametrize("format", exports.FORMATS)
@pytest.mark.parametrize("rows", [0, 1])
def test_every_format_takes_small_tables(trials: pd.DataFrame, format: str, rows: int) -> None:
    content = exports.FORMATS[format](trials.head(rows), "small trials")
    assert (
        ("best_epoch" in content.replace("\\", "")) == (rows or format != "json")
        if isinstance(content, str)
        else content
    )


def test_an_export_is_written_whole(trials: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = [name for name in exports.FORMATS if name not in ("parquet", "xlsx")]
    for format in texts:
        path = tmp_path / "new" / f"table.{format}"
        exports.export(trials, format, str(path))
        exports.export(trials, format, None)
        assert path.read_text() == capsys.readouterr().out != ""
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(f"table.{format}" for format in texts)


@pytest.mark.parametrize(
    ("format", "path", "message"),
    [
        ("cvs", None, "did you mean `csv`"),
        ("excel", None, "allowed: csv, html, json, latex, markdown, parquet, xlsx"),
        ("parquet", "-", "give it a file"),
        ("xlsx", None, "give it a file"),
        ("csv", "/", "is a folder"),
        ("csv", "/proc/none/t.csv", "cannot write /proc/none/t.csv"),
    ],
)
def test_what_cannot_be_exported_is_explained(
    trials: pd.DataFrame, format: str, path: str | None, message: str
) -> None:
    with pytest.raises(exports.ExportError, match=message):
        exports.export(trials, format, path)


@pytest.mark.parametrize(
    ("path", "format"),
    [(None, "csv"), ("-", "csv"), ("a.b/T.XLSX", "xlsx"), ("t.tex", "latex"), ("t.md", "markdown"), ("t.htm", "html")],
)
def test_a_format_is_guessed_from_the_files_ending(path: str | None, format: str) -> None:
    assert exports.format_of(path) == format


@pytest.mark.parametrize(("path", "message"), [("t.xls", "did you mean `.xlsx`"), ("table", "table has no ending")])
def test_an_ending_that_names_no_format_is_told(path: str, message: str) -> None:
    with pytest.raises(exports.ExportError, match=f"{message}.*--format"):
        exports.format_of(path)
