"""The trials as a table in the terminal, with as many columns as its width has room for."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from dashboards.levels import label, varies
from dashboards.ranking import STATES, best, ranked

GAP = 2
HEADINGS = {"number": "trial", "epochs_run": "epochs"}


class Column(NamedTuple):
    """A column of the table. A compact one breaks its heading and cuts its texts short."""

    heading: str
    cells: list[str]
    is_number: bool

    @property
    def width(self) -> int:
        return max(Text(text).cell_len for text in [*self.heading.split("\n"), *self.cells]) + GAP


def print_results(
    trials: pd.DataFrame, axes: Sequence[str], metric: str, mode: str, top: int | None, console: Console
) -> None:
    """The trials by rank, the best one starred, with the columns that matter most and fit."""
    shown = trials.loc[ranked(trials, metric, mode)[:top]]
    names = [name for name in _candidates(trials, axes, metric) if name in trials.columns]
    columns, dropped = fitting(shown, names, console.width - 1 - GAP)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    table.add_column("")
    for column in columns:
        justify: JustifyMethod = "right" if column.is_number else "left"
        table.add_column(Text(column.heading), justify=justify, no_wrap=True, vertical="bottom")
    winner = best(trials, metric, mode)
    for place, row in enumerate(shown.index):
        style = "bold green" if row == winner else "" if shown.loc[row, "state"] == "complete" else "dim"
        cells = (Text(column.cells[place]) for column in columns)
        table.add_row("*" if row == winner else "", *cells, style=style)
    if len(trials):
        console.print(table)
    for line in _notes(trials, len(shown), f"{metric} ({mode})", dropped):
        console.print(Text(line, style="dim"))


def _notes(trials: pd.DataFrame, shown: int, ranking: str, dropped: Sequence[str]) -> list[str]:
    states = trials["state"].value_counts()
    counts = ", ".join(f"{states[state]} {state}" for state in STATES if state in states)
    number = f"{len(trials)} trial{'' if len(trials) == 1 else 's'}"
    cut = f"The first {shown}" if shown < len(trials) else "All"
    lines = [f"{number}: {counts}. {cut} by {ranking}; * is best." if counts else "No trials yet."]
    return [*lines, f"Too narrow for {', '.join(dropped)}."] if dropped else lines


def _candidates(trials: pd.DataFrame, axes: Sequence[str], metric: str) -> list[str]:
    """Columns from left to right: the axes that vary, how the trial ended, validation before test."""
    changing = [axis for axis in (*axes, "seed") if varies(trials[axis])]
    return ["number", *changing, "state", "epochs_run", *dict.fromkeys([metric, "val/top1", "test/top1"]), "key"]


def fitting(shown: pd.DataFrame, names: Sequence[str], width: int) -> tuple[list[Column], list[str]]:
    """The columns that fit, compact where all would not, and the headings of those that do not even then.

    Identity, state and measures are given room first, then the axes, then the rest.
    """
    columns = {name: _column(shown[name], name, compact=False) for name in names}
    if sum(column.width for column in columns.values()) > width:
        columns = {name: _column(shown[name], name, compact=True) for name in names}
    last = ("epochs_run", "key")
    first = [name for name in names if name in ("number", "state") or "/" in name]
    kept: set[str] = set()
    for name in [*first, *(name for name in names if name not in (*first, *last)), *last]:
        if columns[name].width <= width:
            kept.add(name)
            width -= columns[name].width
    left_out = [name.removeprefix("train.") for name in names if name not in kept and name not in last]
    return [column for name, column in columns.items() if name in kept], left_out


def _column(values: "pd.Series[Any]", name: str, compact: bool) -> Column:
    is_number = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    heading = HEADINGS.get(name, name.removeprefix("train."))
    if compact:
        heading = "#" if name == "number" else re.sub(r"(?<=[_/.])(?=.)", "\n", heading, count=1)
    cells = [_cell(value, 4 if "/" in name else None, 10 if compact and name != "key" else 24) for value in values]
    return Column(heading, cells, is_number)


def _cell(value: object, digits: int | None, longest: int) -> str:
    if isinstance(value, float):
        text = "-" if value != value else f"{value:.{digits}f}" if digits and abs(value) < 1000 else f"{value:.4g}"
    else:
        text = label(value)
    text = "".join(character if character.isprintable() else " " for character in text)
    return text if len(text) <= longest else text[: longest - 1] + "…"
