"""The trials as a table in the terminal, with as many columns as its width has room for."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dashboards.levels import label, varies
from dashboards.ranking import STATES, best, ranked

GAP = 2
LONGEST_CELL = 24
HEADINGS = {"number": "trial", "epochs_run": "epochs"}


class Column(NamedTuple):
    """A column of the table."""

    heading: str
    cells: list[str]
    is_number: bool

    @property
    def width(self) -> int:
        return max(Text(text).cell_len for text in [self.heading, *self.cells]) + GAP


def print_results(
    trials: pd.DataFrame, axes: Sequence[str], metric: str, mode: str, top: int | None, console: Console
) -> None:
    """The trials by rank, the best one starred, with the columns that matter most and fit."""
    shown = trials.loc[ranked(trials, metric, mode)[:top]]
    names, dropped = fitting(_candidates(shown, trials, axes, metric), console.width)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    table.add_column("")
    for column in names.values():
        table.add_column(Text(column.heading), justify="right" if column.is_number else "left", no_wrap=True)
    winner = best(trials, metric, mode)
    for place, row in enumerate(shown.index):
        style = "bold green" if row == winner else "" if shown.loc[row, "state"] == "complete" else "dim"
        cells = (Text(column.cells[place]) for column in names.values())
        table.add_row("*" if row == winner else "", *cells, style=style)
    if len(trials):
        console.print(table)
    for line in _notes(trials, shown, metric, mode, dropped):
        console.print(Text(line, style="dim"))


def _notes(trials: pd.DataFrame, shown: pd.DataFrame, metric: str, mode: str, dropped: Sequence[str]) -> list[str]:
    states = trials["state"].value_counts()
    counts = ", ".join(f"{states[state]} {state}" for state in STATES if state in states)
    cut = f", the best {len(shown)} shown" if len(shown) < len(trials) else ""
    number = f"{len(trials)} trial{'' if len(trials) == 1 else 's'}"
    line = f"{number} ({counts}){cut}, ranked by {metric} ({mode}), * best" if counts else "no trials yet"
    return [line, f"No room for {', '.join(dropped)}."] if dropped else [line]


def _candidates(shown: pd.DataFrame, trials: pd.DataFrame, axes: Sequence[str], metric: str) -> dict[str, Column]:
    """Columns from left to right; the axes that vary, how it went, validation before test."""
    changing = [axis for axis in (*axes, "seed") if varies(trials[axis])]
    measures = [name for name in dict.fromkeys([metric, "val/top1", "test/top1"]) if name in trials.columns]
    names = ["number", *changing, "state", "epochs_run", *measures, "key"]
    return {name: _column(shown[name], name) for name in names}


def _column(values: pd.Series, name: str) -> Column:
    is_number = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    cells = [_cell(value, 4 if "/" in name else None) for value in values]
    return Column(HEADINGS.get(name, name.removeprefix("train.")), cells, is_number)


def _cell(value: object, digits: int | None) -> str:
    if isinstance(value, float):
        text = "-" if value != value else f"{value:.{digits}f}" if digits and abs(value) < 1000 else f"{value:.4g}"
    else:
        text = label(value)
    text = "".join(character if character.isprintable() else " " for character in text)
    return text if len(text) <= LONGEST_CELL else text[: LONGEST_CELL - 1] + "…"


def fitting(columns: dict[str, Column], width: int) -> tuple[dict[str, Column], list[str]]:
    """The columns that fit, in their order, and the headings left out: identity and measures go first, then axes."""
    names = list(columns)
    first = [name for name in names if name in ("number", "state", "epochs_run") or "/" in name]
    room, kept = width - 1 - GAP, set()
    for name in [*first, *(name for name in names if name not in first)]:
        if columns[name].width <= room:
            kept.add(name)
            room -= columns[name].width
    left_out = [columns[name].heading for name in names if name not in kept and name != "key"]
    return {name: column for name, column in columns.items() if name in kept}, left_out
