"""What is left of a sweep when something breaks: sweeper against what one writes with Ray Tune and with Optuna.

    python -m benchmarks.faults [--fault NAME ...] [--tool NAME ...] [--tries 3] [--seed 0] [--record FILE] [--markdown FILE]

Six trials of a small network on 400 handwritten digits, six epochs each, tracked in MLflow, are broken in the same ways with
each tool, and started again as its documentation says (`benchmarks/peers/`). Then the same is asked of all of them: is each
grid point finished once and in exactly one run of MLflow, does none say RUNNING, is each (run, metric, step) there once and
no epoch lost, was at most an epoch of each interrupted trial trained again, did no process exit with 0 before all was done,
are the numbers those of an undisturbed run of the same tool. A try that breaks any of this has not kept the promise.

`ray_tune` and `optuna` are these tools by their defaults, `ray_tune_options` and `optuna_options` with the options that their
documentation has for the purpose. With `--record` tries are added to a file, and the table tells of all in it.
"""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.breaking.attempt import Attempt
from benchmarks.breaking.checks import Reference, cells_of, finished
from benchmarks.breaking.images import write_images
from benchmarks.breaking.injections import FAULTS, DoesNotApplyError, Fault
from benchmarks.breaking.starting import import_first
from benchmarks.breaking.surroundings import Surroundings, empty_database
from benchmarks.breaking.tables import Record, as_markdown, as_text
from benchmarks.breaking.tools import TOOLS, Spec, Tool

GRID, EPOCHS = {"lr": [0.1, 0.03, 0.01], "momentum": [0.9, 0.5]}, 6
Outcome = dict[str, Any]


class Given(NamedTuple):
    """What every try begins with: images, and MLflow's database without a run."""

    images: Path
    database: Path


def attempted(tool: Tool, fault: Fault, reference: Reference, folder: Path, given: Given, seed: str) -> Attempt:
    """A sweep that has been broken and taken up again, as far as its tool could."""
    surroundings = Surroundings(folder, fault.needs, given.database)
    uri = surroundings.proxy.uri if surroundings.proxy else None
    attempt = Attempt(
        tool, Spec(surroundings.out, given.images, GRID, EPOCHS, uri), surroundings, folder, reference, seed
    )
    with closing(attempt):
        fault.inject(attempt)
        attempt.flaws = fault.judge(attempt, reference)
    return attempt


def undisturbed(tool: Tool, folder: Path, given: Given) -> Reference:
    """What the tool ends with when nothing breaks. Raises SystemExit when even then it does not keep the promise."""
    nothing = Reference(dict.fromkeys(cells_of(Spec(folder, given.images, GRID, EPOCHS)), 0.0), 0, 0)
    whole = Fault("", lambda attempt: attempt.end(attempt.start()), judge=lambda attempt, reference: {})
    attempt = attempted(tool, whole, nothing, folder, given, "")
    losses = finished(attempt.tool.rows(attempt.spec), cells_of(attempt.spec))
    if not all(losses.values()):
        raise SystemExit(f"{tool.name}, undisturbed, has not finished:\n{attempt.said()[-4000:]}")
    used = sum(file.stat().st_size for file in attempt.spec.out.rglob("*") if file.is_file())
    written = used - given.database.stat().st_size
    return Reference({cell: found[0] for cell, found in losses.items()}, attempt.batches(), written)


def one_try(tool: Tool, name: str, reference: Reference, given: Given, seed: str) -> Outcome:
    outcome: Outcome = {"tool": tool.name, "fault": name, "seed": seed}
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as folder:
        try:
            attempt = attempted(tool, FAULTS[name], reference, Path(folder) / "try", given, seed)
        except DoesNotApplyError:
            return {**outcome, "flaws": None}
        return {**outcome, "flaws": attempt.flaws, "exits": attempt.exits, "said": attempt.said()[-1500:]}


def reference_of(tool: Tool, record: Record, given: Given, folder: Path) -> Reference:
    """From the record if an earlier call has been there."""
    for known in record.read("reference"):
        if known["tool"] == tool.name:
            losses = {(lr, momentum): loss for lr, momentum, loss in known["losses"]}
            return Reference(losses, known["batches"], known["disk_bytes"])
    found = undisturbed(tool, folder / tool.name, given)
    line = {"tool": tool.name, "batches": found.batches, "disk_bytes": found.disk_bytes}
    record.add("reference", line | {"losses": [[*cell, loss] for cell, loss in found.losses.items()]})
    return found


def measure(options: argparse.Namespace, record: Record) -> None:
    """All tries asked for."""
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        given = Given(Path(folder) / "images", empty_database(Path(folder) / "mlflow.db"))
        write_images(given.images)
        for tool in (TOOLS[name] for name in options.tool):
            reference = reference_of(tool, record, given, Path(folder))
            for name in options.fault:
                for number in range(options.tries):
                    outcome = one_try(tool, name, reference, given, f"{options.seed + number} {name}")
                    record.add("outcome", outcome)
                    print(tool.name, name, outcome.get("exits"), outcome["flaws"], flush=True)


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fault", nargs="+", default=list(FAULTS), choices=list(FAULTS), metavar="NAME")
    parser.add_argument("--tool", nargs="+", default=["sweeper", "ray_tune", "optuna"], choices=list(TOOLS))
    parser.add_argument("--tries", type=int, default=3, help="of each fault with each tool; 0 only tells of the record")
    parser.add_argument("--seed", type=int, default=0, help="of the first try; the next has the next")
    parser.add_argument("--record", type=Path, help="a file of earlier tries, to add to")
    parser.add_argument("--markdown", type=Path, help="a file to write the table to")
    options = parser.parse_args(words)
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes to come, and before they import NumPy
    import_first()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # what was started must end too
    record = Record(options.record)
    if options.tries:
        measure(options, record)
    outcomes = list(record.read("outcome"))
    print(as_text(outcomes))
    if options.markdown:
        options.markdown.write_text(as_markdown(outcomes))


if __name__ == "__main__":
    main()
