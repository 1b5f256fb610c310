"""Formats for people: rounded numbers on the right, texts that stay texts whatever they hold."""

import re
from collections.abc import Callable

import jinja2
import pandas as pd

from sweeper.exports.values import PLUS_MINUS, ReadableColumn, one_line, readable

MARKDOWN = str.maketrans(
    {character: f"\\{character}" for character in "\\|`*[]~$"} | {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
)
LATEX = str.maketrans(
    {character: f"\\{character}" for character in "{}$&#%_"}
    | {
        "\\": r"\textbackslash{}",
        "^": r"\textasciicircum{}",
        "~": r"\textasciitilde{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "`": r"\textasciigrave{}",
        '"': r"\char34{}",  # babel's shorthand in several languages
        "[": "{[}",  # the row's end before it would take it for its own argument
        "*": "{*}",
    }
)
PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{ title }}</title>
<style>
:root { color-scheme: light dark; font: 14px/1.4 system-ui, sans-serif }
table { width: max-content; border-collapse: collapse; border-block: 2px solid }
caption { font-weight: bold; text-align: start; padding-block: .5em }
thead { border-bottom: 1px solid; vertical-align: bottom }
th, td { padding: .2em .7em; text-align: left; max-width: 30em; overflow-wrap: break-word }
td:not(.n), th { unicode-bidi: isolate }
.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
tbody tr:nth-child(even) { background: #8881 }
</style>
<table>
<caption>{{ title }}</caption>
<thead><tr>
{%- for column in columns %}<th scope="col"{% if column.is_number %} class="n"{% endif %}>{{ column.name }}</th>{% endfor -%}
</tr></thead>
<tbody>
{% for row in rows -%}
<tr>
{%- for column, cell in zip(columns, row) %}
{%- if column.is_number %}<td class="n">{{ cell }}</td>{% else %}<td dir="auto">{{ cell }}</td>{% endif %}
{%- endfor -%}
</tr>
{% endfor -%}
</tbody>
</table>
</html>
"""


def to_markdown(table: pd.DataFrame) -> str:
    """A pipe table; what Markdown or HTML would take for markup is escaped."""
    columns = readable(table)
    rule = ["---:" if column.is_number else "---" for column in columns]
    lines = [[_markdown(column.name) for column in columns], rule, *_rows(columns, _markdown, str)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _markdown(words: str) -> str:
    """The escaped text; an underscore inside a word is no markup."""
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", words.translate(MARKDOWN))


def to_latex(table: pd.DataFrame, title: str) -> str:
    """A `tabular` with the rules of booktabs, to paste into a document (any engine; names beyond Latin: LuaLaTeX)."""
    columns = readable(table)
    alignment = "".join("r" if column.is_number else "l" for column in columns)
    header, *body = (
        " & ".join(line) + " \\\\\n"
        for line in [[latex(column.name) for column in columns], *_rows(columns, latex, _latex_number)]
    )
    content = f"\\toprule\n{header}\\midrule\n{''.join(body)}\\bottomrule\n"
    needs = "\\usepackage{booktabs}" + ("" if content.isascii() else ", and LuaLaTeX or XeLaTeX for its letters")
    return f"% {one_line(title)}: needs {needs}\n\\begin{{tabular}}{{{alignment}}}\n{content}\\end{{tabular}}\n"


def latex(words: str) -> str:
    """The text with every special character of LaTeX escaped, and without ligatures of punctuation."""
    return re.sub(r"(?<=([-',]))(?=\1)", "{}", words.translate(LATEX))


def _latex_number(words: str) -> str:
    if re.fullmatch(r"[0-9.]*", words):
        return words or "--"
    return "$" + r" \pm ".join(map(_latex_scalar, words.split(PLUS_MINUS))) + "$"


def _latex_scalar(words: str) -> str:
    mantissa, _, exponent = words.replace("inf", r"\infty").partition("e")
    if not exponent:
        return mantissa
    factor = {"1": "", "-1": "-"}.get(mantissa, rf"{mantissa} \times ")
    return f"{factor}10^{{{int(exponent)}}}"


def to_html(table: pd.DataFrame, title: str) -> str:
    """One page with one table, which needs nothing else; dark where the reader prefers it."""
    columns = readable(table)
    page = jinja2.Environment(autoescape=True).from_string(PAGE)
    return page.render(title=title, columns=columns, rows=_rows(columns, str, str), zip=zip)


def _rows(columns: list[ReadableColumn], words: Callable[[str], str], number: Callable[[str], str]) -> list[list[str]]:
    """The rows, each cell as its kind is written."""
    cells = [[(number if column.is_number else words)(cell) for cell in column.cells] for column in columns]
    return [list(row) for row in zip(*cells, strict=True)]
