"""What is asked of every sweep that was broken, whichever tool ran it."""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.breaking.tools import Row, Spec

if TYPE_CHECKING:
    from benchmarks.breaking.attempt import Attempt

Cell = tuple[float, float]
LOSSES = ("val_loss", "val/loss")


class Reference(NamedTuple):
    """What an undisturbed run of the same tool ended with, trained, and left on the disk."""

    losses: dict[Cell, float]
    batches: int
    disk_bytes: int


class Tracked(NamedTuple):
    """What MLflow holds: runs by grid point, those of none, how many say RUNNING, doubled rows, epochs that are nowhere."""

    runs: Counter[Cell]
    stray: int
    running: int
    doubled: int
    missing: int


def cell_of(row: Row) -> Cell | None:
    try:
        return float(row["lr"]), float(row["momentum"])
    except (KeyError, TypeError):
        return None


def cells_of(spec: Spec) -> list[Cell]:
    return [(lr, momentum) for lr in spec.grid["lr"] for momentum in spec.grid["momentum"]]


def shared(spec: Spec, reference: Reference) -> list[Cell]:
    """The grid points that an undisturbed run has too, and finishes."""
    return [cell for cell in cells_of(spec) if cell in reference.losses]


def finished(rows: list[Row], cells: Sequence[Cell]) -> dict[Cell, list[float]]:
    """The losses of each grid point's complete trials."""
    found: dict[Cell, list[float]] = {cell: [] for cell in cells}
    for row in rows:
        cell = cell_of(row)
        if row["state"] == "complete" and cell in found:
            found[cell].append(row["value"])
    return found


def finished_all(rows: list[Row], spec: Spec, reference: Reference) -> bool:
    """Whether each grid point that an undisturbed run finishes has been finished."""
    return all(finished(rows, shared(spec, reference)).values())


def tracked(database: Path, cells: Sequence[Cell], epochs: int) -> Tracked:
    """What MLflow's database holds; the run of the sweep itself, above the trials', is left out."""
    with closing(sqlite3.connect(database)) as connection:
        settings: dict[str, Row] = defaultdict(dict)
        for run, key, value in connection.execute("SELECT run_uuid, key, value FROM params"):
            settings[run][key.rpartition(".")[2]] = value
        statuses = dict(connection.execute("SELECT run_uuid, status FROM runs").fetchall())
        tags = "SELECT run_uuid FROM tags WHERE key = 'sweeper.sweep' EXCEPT SELECT run_uuid FROM tags WHERE key = ?"
        sweeps = {run for (run,) in connection.execute(tags, ("sweeper.trial_key",))}
        rows = Counter(connection.execute("SELECT run_uuid, key, step FROM metrics").fetchall())
    known = {run: cell for run in statuses if run not in sweeps and (cell := cell_of(settings[run]))}
    steps: dict[Cell, set[int]] = defaultdict(set)
    for run, key, step in rows:
        if key in LOSSES and run in known:
            steps[known[run]].add(step)
    return Tracked(
        runs=Counter(known.values()),
        stray=len(statuses) - len(known) - len(sweeps),
        running=sum(status == "RUNNING" for status in statuses.values()),
        doubled=sum(number > 1 for number in rows.values()),
        missing=sum(len(set(range(1, epochs + 1)) - steps[cell]) for cell in cells),
    )


def flaws(attempt: "Attempt", reference: Reference, at_once: int = 2) -> dict[str, int]:
    """How often each part of the promise was broken; nothing when all of it was kept."""
    spec = attempt.spec
    cells = shared(spec, reference)
    done = finished(attempt.tool.rows(spec), cells)
    held = tracked(spec.out / "mlflow.db", cells, spec.epochs)
    again = epochs_again(attempt, reference)
    breaks = max(1, len(attempt.exits) - 1)
    found = {
        "grid points not finished": sum(not losses for losses in done.values()),
        "grid points finished twice": sum(len(losses) > 1 for losses in done.values()),
        "MLflow runs too many": sum(max(0, held.runs[cell] - 1) for cell in cells) + max(0, held.stray),
        "grid points without an MLflow run": sum(not held.runs[cell] for cell in cells),
        "runs RUNNING for ever": held.running,
        "doubled rows": held.doubled,
        "epochs not in MLflow": held.missing,
        "epochs trained again": again if again > at_once * breaks else 0,
        "exit 0 though not finished": attempt.lies,
        "hung": sum(code is None for code in attempt.exits),
        "other numbers": sum(any(loss != reference.losses[cell] for loss in losses) for cell, losses in done.items()),
        "never ended well": int(attempt.exits[-1] != 0),
    }
    return {flaw: number for flaw, number in found.items() if number}


def epochs_again(attempt: "Attempt", reference: Reference) -> int:
    """Whole epochs trained beyond what an undisturbed run trains, over all trials."""
    a_epoch = reference.batches / (len(reference.losses) * attempt.spec.epochs)
    return max(0, round((attempt.batches() - reference.batches) / a_epoch))
