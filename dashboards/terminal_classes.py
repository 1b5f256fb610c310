"""Per-class accuracy in the terminal: classes down, the best trials across."""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sweeper.dashboards.classes import ClassCounts, class_counts
from sweeper.dashboards.ranking import best
from sweeper.dashboards.terminal import BEST, GAP, clipped, counted, plain_table
from sweeper.dashboards.views import SweepTables, by_rank

MOST_TRIALS = 5
LONGEST_NAME, SHORTEST_NAME = 40, 12
FIGURE = len("0.000") + GAP
INTERVAL = len("0.000 to 0.000") + GAP


class Layout(NamedTuple):
    """How many trials the table has, how wide its names may be, and whether the first trial has its interval."""

    trials: int
    name_width: int
    has_interval: bool


def print_classes(
    trials: pd.DataFrame, per_class: pd.DataFrame, metric: str, mode: str, top: int | None, console: Console
) -> None:
    """The accuracy of each class for the best trials, hardest class first, with the best one's 95 % Wilson interval."""
    tables = SweepTables("", "", (), metric, mode, trials, pd.DataFrame(), per_class, {})
    counts = next(iter(class_counts(tables)), None)
    if counts is None:
        console.print(Text("No trial has left its accuracy by class yet.", style="dim"))
        return
    trials = by_rank(tables)
    wanted = counts.trials[: top or MOST_TRIALS]
    names = [f"#{number}" for number in trials["number"].iloc[wanted]]
    has_winner = wanted[0] == 0 and best(trials, metric, mode) == 0
    headings = [names[0] + " *" if has_winner else names[0], *names[1:]]
    layout = fitting(console.width, _images_width(counts), headings)
    console.print(_table(counts, headings[: layout.trials], layout))
    for line in _notes(counts, len(trials), headings[: layout.trials], has_winner, layout):
        console.print(Text(line, style="dim"))


def fitting(width: int, images_width: int, headings: Sequence[str]) -> Layout:
    """As many trials as a terminal of this width has room for; the interval goes before the first trial does."""
    figure = max(FIGURE, *(len(heading) + GAP for heading in headings))
    room = width - 1 - images_width - figure - GAP
    has_interval = room - INTERVAL >= SHORTEST_NAME
    room -= INTERVAL if has_interval else 0
    others = max(0, min(len(headings) - 1, (room - SHORTEST_NAME) // figure))
    return Layout(1 + others, max(1, min(LONGEST_NAME, room - others * figure)), has_interval)


def _images_width(counts: ClassCounts) -> int:
    return max(len("images"), len(str(max((images or 0 for row in counts.images for images in row), default=0)))) + GAP


def _table(counts: ClassCounts, headings: Sequence[str], layout: Layout) -> Table:
    rows = [
        _row(clipped(counts.names[place], layout.name_width), *_of_class(counts, place, len(headings)))
        for place in counts.hardest
    ]
    totals = (
        [sum(value or 0 for value in row) for row in of[: len(headings)]] for of in (counts.images, counts.correct)
    )
    rows.append(_row("all", *totals))
    columns = ["class", "images", headings[0], "95 % interval", *headings[1:]]
    kept = [place for place in range(len(columns)) if layout.has_interval or columns[place] != "95 % interval"]
    numbers = {position for position, place in enumerate(kept) if place not in (0, 3)}
    table = plain_table([columns[place] for place in kept], numbers)
    for row in rows:
        table.add_row(*(row[place] for place in kept), style="bold" if row is rows[-1] else "")
    return table


def _of_class(counts: ClassCounts, place: int, trials: int) -> tuple[list[int | None], list[int | None]]:
    return [row[place] for row in counts.images[:trials]], [row[place] for row in counts.correct[:trials]]


def _row(name: str, images: Sequence[int | None], correct: Sequence[int | None]) -> list[Text]:
    """Name, images, the first trial's accuracy and interval, the others' accuracies; the highest stands out."""
    shares = [right / all_ if all_ and right is not None else None for all_, right in zip(images, correct, strict=True)]
    highest = max((share for share in shares if share is not None), default=None)
    styles = [BEST if len(shares) > 1 and share is not None and share == highest else "" for share in shares]
    figures = [
        Text("-" if share is None else f"{share:.3f}", style) for share, style in zip(shares, styles, strict=True)
    ]
    return [
        Text(name),
        Text(str(images[0] or "-")),
        figures[0],
        Text(_interval(images[0], correct[0]), "cyan"),
        *figures[1:],
    ]


def _interval(images: int | None, correct: int | None) -> str:
    if not images or correct is None:
        return "-"
    low, high = wilson(correct, images)
    return f"{low:.3f} to {high:.3f}"


def wilson(correct: int, images: int) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson 1927), by hand: `scipy.stats` takes more than a second to import."""
    z, share = NormalDist().inv_cdf(0.975), correct / images
    middle = share + z**2 / (2 * images)
    half = z * math.sqrt(share * (1 - share) / images + (z / (2 * images)) ** 2)
    return max(0.0, (middle - half) / (1 + z**2 / images)), min(1.0, (middle + half) / (1 + z**2 / images))


def _notes(counts: ClassCounts, trials: int, headings: Sequence[str], has_winner: bool, layout: Layout) -> list[str]:
    split = {"test": "test", "val": "validation"}[counts.split]
    star = "; * is best" if has_winner else ""
    classes = f"{len(counts.names)} class{'' if len(counts.names) == 1 else 'es'}"
    shown = f"{len(headings)} of {counted(trials, 'trial')}"
    highest = "; the highest of each class stands out" if len(headings) > 1 else ""
    lines = [f"{classes} of the {split} images, hardest first (mean over complete trials)."]
    lines += [f"{shown}, best first{star}{highest}."]
    return [*lines, f"The interval is Wilson's for {headings[0].split()[0]}."] if layout.has_interval else lines
