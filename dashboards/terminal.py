"""The trials as a table in the terminal, with as many columns as its width has room for."""

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from os.path import commonprefix
from typing import Any, NamedTuple

import pandas as pd
from rich.cells import cell_len
from rich.console import Console, Group, JustifyMethod
from rich.table import Table
from rich.text import Text

from sweeper.dashboards.levels import holds_numbers, label, varies
from sweeper.dashboards.ranking import STATES, best, ranked
from sweeper.dashboards.sparkline import common_range, epoch_curves, sparkline, squeezed

GAP = 2
LEFT_TO_RIGHT = "\u200e"  # after a name in Hebrew or Arabic, or else the numbers beside it change places
HEADINGS = {"number": "trial", "epochs_run": "epochs"}
STATE_STYLES = {
    "pruned": "yellow",
    "running": "cyan",
    "interrupted": "cyan",
    "diverged": "magenta",
    "failed": "red",
    "waiting": "blue",
}
BEST, OTHERS = "bold green", "dim"
SHORTEST, SHORT, LONGEST = 10, 24, 48
NARROWEST_CURVE, WIDEST_CURVE = 8, 24


class Column(NamedTuple):
    """A column of the table. A compact one breaks its heading and cuts its texts short."""

    name: str
    heading: str
    cells: list[str]
    is_number: bool

    @property
    def width(self) -> int:
        return max(cell_len(text) for text in [*self.heading.split("\n"), *self.cells]) + GAP


def print_results(
    trials: pd.DataFrame,
    history: pd.DataFrame,
    axes: Sequence[str],
    metric: str,
    mode: str,
    top: int | None,
    console: Console,
) -> None:
    """The trials by rank, the best one starred, with the columns that matter most and fit; last, the metric's curve."""
    shown = trials.loc[ranked(trials, metric, mode)[:top]]
    names = [name for name in _candidates(trials, axes, metric) if name in trials.columns]
    room = console.width - 1  # the mark's; what stands last needs no gap, the mark does
    columns, dropped = fitting(shown, names, room)
    has_bars = console.encoding.lower().startswith("utf")
    spare = room - sum(column.width for column in columns) if has_bars and not dropped else 0
    curves, scale = curve_column(shown, history, metric, spare)
    winner = best(trials, metric, mode)
    if len(trials):
        marks = ["*" if row == winner else "" for row in shown.index]
        console.print(ranked_rows(marks, [*columns, *curves], list(shown["state"])))
    for line in _notes(trials, len(shown), f"{metric} ({mode})", winner in shown.index, scale, dropped):
        console.print(Text(line, style="dim"))


def ranked_rows(marks: Sequence[str], columns: Sequence[Column], states: Sequence[str]) -> Group:
    """Headings, and a line of text a row: ten thousand rows of a rich Table take seconds to draw."""
    columns = [Column("", "", list(marks), False), *columns]
    widths = [column.width - GAP for column in columns]
    numbers = {place for place, column in enumerate(columns) if column.is_number}
    headings = plain_table([column.heading for column in columns], numbers, widths)
    return Group(headings, *(_row(columns, widths, row, states[row]) for row in range(len(states))))


def _row(columns: Sequence[Column], widths: Sequence[int], row: int, state: str) -> Text:
    mark = columns[0].cells[row]
    line = Text(style=BEST if mark else "" if state == "complete" else OTHERS, no_wrap=True, end="\n")
    for column, width in zip(columns, widths, strict=True):
        text = column.cells[row]
        blank = " " * (width - cell_len(text))
        before, after = (blank, "") if column.is_number else ("", blank)
        line.append(before).append(text, _cell_style(column, state, mark)).append(after + " " * GAP)
    line.rstrip()
    return line


def plain_table(headings: Sequence[str], numbers: set[int], widths: Sequence[int] | None = None) -> Table:
    """A table without lines; the columns at the positions `numbers` are on the right."""
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for position, heading in enumerate(headings):
        justify: JustifyMethod = "right" if position in numbers else "left"
        width = widths[position] if widths else None
        table.add_column(Text(heading), justify=justify, no_wrap=True, vertical="bottom", width=width)
    return table


def _cell_style(column: Column, state: str, mark: str) -> str:
    if column.name == "state":
        return f"not dim {STATE_STYLES[state]}" if state in STATE_STYLES else ""
    return "cyan" if column.name == "curve" and not mark else ""


def curve_column(
    shown: pd.DataFrame, history: pd.DataFrame, metric: str, room: int
) -> tuple[list[Column], tuple[float, float] | None]:
    """The metric's curves on one scale if there is room, and the scale: that of the trials that did not diverge."""
    curves = epoch_curves(history, list(shown["key"]), metric)
    steps = squeezed(curves, max(1, min(room - GAP, WIDEST_CURVE)))
    calm = [curve for curve, state in zip(steps, shown["state"], strict=True) if state not in ("diverged", "failed")]
    scale = common_range(calm) or common_range(steps)
    needed = max(len("curve"), min(NARROWEST_CURVE, max(map(len, curves), default=0)))
    if scale is None or room < GAP + needed:
        return [], None
    return [Column("curve", "curve", [sparkline(curve, *scale) for curve in steps], False)], scale


def _notes(
    trials: pd.DataFrame,
    shown: int,
    ranking: str,
    has_winner: bool,
    scale: tuple[float, float] | None,
    dropped: Sequence[str],
) -> list[str]:
    states = trials["state"].value_counts()
    counts = ", ".join(f"{states[state]} {state}" for state in STATES if state in states)
    order = told_order(shown, len(trials), ranking, has_winner)
    lines = [f"{counted(len(trials), 'trial')}: {counts}. {order}" if counts else "No trials yet."]
    lines += [f"Curves: {ranking.split()[0]} by epoch, from {scale[0]:.4g} (▁) to {scale[1]:.4g} (█)."] if scale else []
    return [*lines, *told_dropped(dropped)]


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def told_order(shown: int, total: int, ranking: str, has_winner: bool) -> str:
    """ "The first 10 by val/top1 (max); * is best." """
    cut = f"The first {shown}" if shown < total else "All"
    return f"{cut} by {ranking}{'; * is best' if has_winner else ''}."


def told_dropped(dropped: Sequence[str]) -> list[str]:
    return [f"Too narrow for {', '.join(dropped)}."] if dropped else []


def _candidates(trials: pd.DataFrame, axes: Sequence[str], metric: str) -> list[str]:
    """Columns from left to right: the axes that vary, how the trial ended, validation before test."""
    changing = [axis for axis in (*axes, "seed") if varies(trials[axis])]
    return ["number", *changing, "state", "epochs_run", *dict.fromkeys([metric, "val/top1", "test/top1"]), "key"]


def fitting(shown: pd.DataFrame, names: Sequence[str], width: int) -> tuple[list[Column], list[str]]:
    """The columns that fit, compact where all would not, and the headings of those that do not even then.

    What tells the trials apart is given room first: the number, the objective, the axes. Then state and the other
    measures, and where all of these fit the rest; what is left goes to texts cut short.
    """
    columns = {name: _column(shown[name], name, compact=False) for name in names}
    is_compact = sum(column.width for column in columns.values()) > width
    if is_compact:
        columns = {name: _column(shown[name], name, True, SHORT if name == "key" else SHORTEST) for name in names}
    measures, last = [name for name in names if "/" in name], ("epochs_run", "key")
    axes = [name for name in names if name not in ("number", "state", *measures, *last)]
    needed = [name for name in ("number", *measures[:1], *axes, "state", *measures[1:]) if name in columns]
    kept: set[str] = set()
    for name in [*needed, *(name for name in last if name in columns)]:
        if name in last and not kept.issuperset(needed):
            break
        if columns[name].width <= width:
            kept.add(name)
            width -= columns[name].width
    for name in [name for name in names if is_compact and name in kept]:
        longer = _column(shown[name], name, compact=True)
        if longer.width - columns[name].width <= width:
            width -= longer.width - columns[name].width
            columns[name] = longer
    left_out = [name.removeprefix("train.") for name in names if name not in kept and name not in last]
    return [column for name, column in columns.items() if name in kept], left_out


def _column(values: "pd.Series[Any]", name: str, compact: bool, shortest: int = SHORT) -> Column:
    heading = HEADINGS.get(name, name.removeprefix("train."))
    if compact:
        heading = "#" if name == "number" else re.sub(r"(?<=[_/.])(?=.)", "\n", heading, count=1)
    texts = [_text(value, "/" in name) for value in values]
    length = LONGEST if "/" in name else max(shortest, _telling_length(texts))
    return Column(name, heading, [clipped(text, length) for text in texts], holds_numbers(values))


def _text(value: object, is_measure: bool) -> str:
    if not isinstance(value, float):
        return label(value)
    return short_number(value) if is_measure or value != value else f"{value:.4g}"


def short_number(value: float) -> str:
    """A measure with four decimals; by its significant digits where that would be too many or none."""
    if value != value:
        return "-"
    text = f"{value:.4f}" if abs(value) < 1000 else f"{value:.4g}"
    return f"{value:.3g}" if value and not float(text) else text


def _telling_length(texts: Sequence[str]) -> int:
    """The length to which texts that differ may be cut and still do; those that begin alike for too long are passed over."""
    needed = (len(commonprefix(pair)) + 2 for pair in pairwise(sorted({*texts})))  # noqa: RUF071 - of characters
    return max((length for length in needed if length <= LONGEST), default=0)


def clipped(words: str, longest: int) -> str:
    """The text in at most so many columns of a terminal, with a blank for what would move its cursor."""
    text = Text(" ".join("".join(character if character.isprintable() else " " for character in words).split()))
    text.truncate(longest, overflow="ellipsis")
    turns = any(unicodedata.bidirectional(character) in ("R", "AL") for character in text.plain)
    return text.plain + LEFT_TO_RIGHT if turns else text.plain
