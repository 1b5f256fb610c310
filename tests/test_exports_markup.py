"""Exports for people: rounded, aligned, and texts that stay texts."""

import math
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from hostile import CLASSES
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from sweeper.exports.markup import to_html, to_latex, to_markdown

SPECIAL = {"\\": "textbackslash", "^": "textasciicircum", "~": "textasciitilde", "<": "textless", ">": "textgreater"}
cells = st.text(st.characters(exclude_categories=("Cs",)), max_size=12) | st.sampled_from([*CLASSES, "|", "\\|", "\\"])


class Cells(HTMLParser):
    """The texts of a page's table cells by row, and every tag and attribute there is."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def seen(text: str) -> str:
    """The text as a reader sees it on one line."""
    kept = re.sub("[\u202a-\u202e\u2066-\u2069]", "", text)
    return " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", " ", kept).split())


@given(st.lists(cells, max_size=5), cells)
def test_html_shows_every_text_and_runs_none(texts: list[str], title: str) -> None:
    page = Cells(to_html(pd.DataFrame({"te<b>xt": texts, "n": 1.5}), title))
    assert [[cell.strip() for cell in row] for row in page.rows] == [
        ["te<b>xt", "n"],
        *([seen(t), "1.5"] for t in texts),
    ]
    assert page.tags <= {"html", "meta", "title", "style", "table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert page.attributes <= {"lang", "charset", "name", "content", "scope", "class", "dir"}


def test_html_needs_nothing_from_elsewhere() -> None:
    assert not re.search(r"https?:|url\(|src=|href=|@import", to_html(pd.DataFrame({"a": [1]}), "t"))


@given(st.lists(cells, max_size=5))
def test_markdown_renders_as_a_table_of_the_texts_themselves(texts: list[str]) -> None:
    markdown = to_markdown(pd.DataFrame({"te|xt": texts, "float": 0.25}))
    page = Cells(MarkdownIt("commonmark", {"html": True}).enable("table").enable("strikethrough").render(markdown))
    assert [[cell.strip() for cell in row] for row in page.rows] == [
        ["te|xt", "float"],
        *([seen(text), "0.25"] for text in texts),
    ]
    assert page.tags <= {"table", "thead", "tbody", "tr", "th", "td"}


@pytest.mark.parametrize("character", '\\{}$&#%_^~<>|`"[]*')
def test_latex_escapes_every_special_character(character: str) -> None:
    source = to_latex(pd.DataFrame({f"a{character}b": [character]}), "t")
    header, cell = (line.removesuffix(r" \\") for line in source.splitlines() if line.endswith(r"\\"))
    escaped = cell.removeprefix("{").removesuffix("}") if character in "[*" else cell
    if character in "{}$&#%_":
        assert escaped == f"\\{character}"
    elif character in SPECIAL:
        assert escaped == rf"\{SPECIAL[character]}{{}}"
    assert not re.search(r"(?<!\\)[$&#%_^~]", cell)
    assert header == f"a{cell}b"


def test_latex_is_a_booktabs_table_with_numbers_on_the_right() -> None:
    table = pd.DataFrame(
        {
            "name": ["a--b", "[c"],
            "lr": [1e-5, -2.5e-7],
            "val/top1_mean": [0.8125, math.inf],
            "val/top1_std": [0.01234, math.nan],
            "seed": pd.Series([3, None], dtype="Int64"),
            "flag": [True, False],
        }
    )
    assert to_latex(table, "digits cells").splitlines() == [
        r"% digits cells: needs \usepackage{booktabs}",
        r"\begin{tabular}{lrrrl}",
        r"\toprule",
        r"name & lr & val/top1 & seed & flag \\",
        r"\midrule",
        r"a-{}-b & $10^{-5}$ & $0.8125 \pm 0.0123$ & 3 & true \\",
        r"{[}c & $-2.5 \times 10^{-7}$ & $\infty$ & -- & false \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


@pytest.mark.skipif(not (shutil.which("pdflatex") and shutil.which("pdftotext")), reason="needs pdflatex and pdftotext")
def test_latex_compiles_and_shows_every_text(tmp_path: Path) -> None:
    texts = [seen(text) for text in CLASSES if text.isascii()] + [
        "[1ex] -- --- ?` !` ''",
        "* starred",
        "\\\\ %",
        "a\n\n\nb",
    ]
    (tmp_path / "table.tex").write_text(to_latex(pd.DataFrame({"te%xt_": texts, "n": 1e-5}), "t\n\\undefined"))
    (tmp_path / "page.tex").write_text(
        r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage[paperwidth=200cm]{geometry}\usepackage{booktabs}"
        r"\begin{document}\ttfamily\noindent\input{table}\end{document}"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    shown = subprocess.run(
        ["pdftotext", "-layout", "page.pdf", "-"], cwd=tmp_path, check=True, capture_output=True, text=True, timeout=60
    )
    plain = shown.stdout.translate(str.maketrans("’‘", "'`"))
    for text in ["te%xt_", *map(seen, texts)]:
        assert text in plain


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("val/top1", 0.123456789, "0.1235"),
        ("val/loss", 0.000123456, "0.000123"),
        ("val/loss", 12345.678, "12345.7"),
        ("lr", 0.000123456, "0.000123456"),
        ("time", 1800000020.5, "1800000020"),
        ("val/loss", -math.inf, "-inf"),
        ("val/loss", 0.0, "0.0000"),
    ],
)
def test_numbers_are_rounded_for_people(name: str, value: float, shown: str) -> None:
    assert to_markdown(pd.DataFrame({name: [value]})).splitlines()[2] == f"| {shown} |"
