"""What came out of a sweep, before anything else: one sentence, and the numbers worth large type."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sweeper.dashboards.cells import CellBoard, best_cell
from sweeper.dashboards.ranking import NOT_ENDED
from sweeper.dashboards.views import Leaderboard, Overview, SweepTables, metric_kind, metric_label, trial_labels
from sweeper.dashboards.wording import shown, spread, with_unit
from sweeper.text.durations import duration


class Tile(NamedTuple):
    """One number worth large type."""

    label: str
    value: str
    note: str


def headline(sweep: SweepTables, view: Overview, board: Leaderboard, cells: CellBoard | None) -> str:
    """What came out, in one sentence; or why nothing did."""
    what = metric_label(sweep.metric)
    if cells and (first := best_cell(cells, sweep.metric)):
        if len(cells.rows) == 1:
            reached = _spread_with_unit(first, sweep.metric)
            return f"The trials differ by their seeds alone: in the mean they reach {reached} {what}."
        return f"{cells.labels[0]} has the best {what} in the mean over its complete seeds."
    if board.best is not None and view.best is not None:
        provisional = "" if view.best["state"] == "complete" else " so far, though pruned: no trial is complete"
        return f"{trial_labels(sweep)[board.best]} has the best {what}{provisional}."
    ended = {state for state, _ in view.states} - NOT_ENDED
    if not view.total:
        return "This sweep has no trials yet."
    if not ended:
        return "No trial has ended yet. Numbers appear here as trials end; the curves show those that run."
    if not ended & {"complete", "pruned"}:
        return f"No trial has completed ({' or '.join(sorted(ended))} so far), so none is best."
    return f"No trial has a finite {what}, so none is best."


def tiles(sweep: SweepTables, view: Overview, cells: CellBoard | None) -> tuple[Tile, ...]:
    first = best_cell(cells, sweep.metric) if cells else None
    found = _cell_tiles(sweep, first) if first else _trial_tiles(sweep, view)
    ended = sum(count for state, count in view.states if state not in NOT_ENDED)
    found.append(Tile("trials", f"{view.total:,}", f"{ended} ended"))
    saved = view.epochs_saved
    found.append(Tile("epochs trained", f"{view.epochs_run:,}", _saved(view, saved)))
    return tuple(found)


def _saved(view: Overview, epochs: int | None) -> str:
    return f"pruning saved {epochs:,}, about {duration(view.seconds_saved)}" if epochs else ""


def _trial_tiles(sweep: SweepTables, view: Overview) -> list[Tile]:
    if view.best is None:
        return []
    test = "test/" + sweep.metric.rpartition("/")[2]
    epoch, epochs = view.best["best_epoch"], view.best["epochs_run"]
    note = f"trial {view.best['number']}, epoch {shown(epoch, 'count')} of {epochs}"
    found = [Tile(f"best {metric_label(sweep.metric)}", with_unit(view.best[sweep.metric], sweep.metric), note)]
    if test in view.best and test != sweep.metric:
        note = "measured once, at that epoch"
        found.append(Tile(f"its {metric_label(test)}", with_unit(view.best[test], test), note))
    return found


def _cell_tiles(sweep: SweepTables, first: Mapping[str, Any]) -> list[Tile]:
    """Mean and deviation of the best cell on validation and, where it was measured, on the test images."""
    test, complete, seeds = "test/" + sweep.metric.rpartition("/")[2], first["complete"], first["seeds"]
    note = (
        f"mean ± standard deviation of {complete} of {seeds} seeds" if complete > 1 else f"one complete seed of {seeds}"
    )
    found = [Tile(f"best cell's {metric_label(sweep.metric)}", _spread_with_unit(first, sweep.metric), note)]
    if test in first and test != sweep.metric:
        note = "each seed measured once, at its best epoch"
        found.append(Tile(f"its {metric_label(test)}", _spread_with_unit(first, test), note))
    return found


def _spread_with_unit(row: Mapping[str, Any], metric: str) -> str:
    kind = metric_kind(metric)
    return spread(row[metric], kind) + (" %" if kind == "percent" and row[metric].mean is not None else "")
