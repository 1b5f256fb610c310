"""What sweeps of 100, 1,000 and 10,000 trials cost, each command as its user runs it: a process of its own, cold.

    python -m benchmarks.scale [--sizes 100 1000 10000] [--no-run] [--executor ray|inline] [--keep FOLDER]

First on a folder of ended trials with 10 epochs, 10 classes and 100 test images: `plan` before anything has run, which first
times the model and then remembers it, and with everything done, `resume` with nothing left, `results`, `export` in its
formats and tables, `dashboard`. Then `sweeper run` of as many trivial trials (a logistic regression on 8 px digits, one
epoch): seconds a trial from the command's start to its end, everything in MLflow, and the driver's peak memory; and `sync`
with nothing to do. Told are seconds, MiB of the process, and by what the last size multiplies the one before it: as much as
the trials grew is linear. Targets are for 10,000 trials.
"""

import argparse
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from benchmarks.large_sweep import Size, write_ended
from sweeper.data import default_cache, prepare
from sweeper.reading import read_experiment
from sweeper.store import Sweep
from sweeper.tracking import is_published, note_published, tracking_uri
from sweeper.tracking.database import make_database
from sweeper.tracking.settings import silence

SIZES = (100, 1000, 10_000)
EXPERIMENT = """
name: {name}
data: {{name: digits, image_size: 8, augment: []}}
model: {{name: logistic_regression}}
train: {{epochs: {epochs}, batch_size: 1024, schedule: constant}}
search: {{space: {{lr: {rates}, momentum: [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]}}}}
artifacts: {{models: none}}
"""
FORMATS = ("csv", "json", "parquet", "markdown", "latex", "html", "xlsx")
TABLES = ("history", "per-class")
TARGETS: Mapping[str, float] = {
    "plan": 2,
    "plan, all done": 2,
    "resume, all done": 15,
    "results": 15,
    **{f"export {form}": 15 for form in FORMATS},
    **{f"export {table}": 15 for table in TABLES},
    "dashboard": 15,
    "run, a trial": 0.1,
}
DRIVER_MEBIBYTES = 1024
POLL_SECONDS = 0.1


class Spent(NamedTuple):
    """What a command took: wall time, and the most memory that its own process held."""

    seconds: float
    mebibytes: float


def experiment_text(name: str, trials: int, epochs: int) -> str:
    """A grid of ten momenta."""
    return EXPERIMENT.format(name=name, epochs=epochs, rates=[round(1e-4 * (at + 1), 6) for at in range(trials // 10)])


def spent(storage: Path, words: Sequence[str]) -> Spent:
    """Run `sweeper` with these words on this storage. Raises SystemExit with what it said when it fails."""
    start, peak = time.perf_counter(), 0.0
    command = [sys.executable, "-m", "sweeper", *words, "--storage", str(storage)]
    with tempfile.TemporaryFile("w+") as told:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=told)
        while process.poll() is None:
            peak = max(peak, _peak_mebibytes(process.pid))
            time.sleep(POLL_SECONDS if time.perf_counter() - start > 5 else POLL_SECONDS / 10)
        if process.returncode:
            told.seek(0)
            raise SystemExit(f"{' '.join(words)} ended with {process.returncode}: {told.read()[-2000:]}")
    return Spent(time.perf_counter() - start, peak)


def _peak_mebibytes(process: int) -> float:
    """The most memory that a process has held so far; children are not counted. 0 once it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def of_ended(storage: Path, trials: int) -> Iterator[tuple[str, Spent]]:
    """The commands on a sweep in which everything is done."""
    name = f"ended-{trials}"
    experiment = read_experiment(experiment_text(name, trials, epochs=10), name)
    file, page = storage / f"{name}.yaml", storage / f"{name}.html"
    file.write_text(experiment_text(name, trials, epochs=10))
    yield "plan, measuring", spent(storage / "empty", ["plan", str(file), "--measure"])
    yield "plan", spent(storage / "empty", ["plan", str(file)])
    sweep = Sweep(str(storage), name)
    if not sweep.exists():
        data = prepare(experiment.data, default_cache())
        write_ended(storage, experiment, Size(trials, 10, 10, 100), data.fingerprint)
        note_as_published(sweep, tracking_uri(None, experiment, str(storage)))
    yield "plan, all done", spent(storage, ["plan", str(file)])
    yield "resume, all done", spent(storage, ["resume", name])
    yield "results", spent(storage, ["results", name])
    for form in FORMATS:
        yield f"export {form}", spent(storage, ["export", name, "-o", f"{page}.{form}", "--format", form])
    for table in TABLES:
        output = ["-o", f"{page}.{table}.parquet", "--format", "parquet"]
        yield f"export {table}", spent(storage, ["export", name, "--table", table, *output])
    yield "dashboard", spent(storage, ["dashboard", name, "-o", str(page)])
    print(f"  the page of {trials} trials has {page.stat().st_size / 1e6:.1f} MB", flush=True)


def note_as_published(sweep: Sweep, uri: str) -> None:
    """Leave what a published sweep leaves, but for what its runs hold in MLflow's database: to log that takes ten minutes."""
    silence()
    make_database(uri)
    records = sweep.records()
    runs = [(uuid.uuid4().hex,) for _ in range(len(records) + 1)]
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as database, database:
        database.executemany("INSERT INTO runs (run_uuid, lifecycle_stage) VALUES (?, 'active')", runs)
        tags = [(run, sweep.identity()) for (run,) in runs]
        database.executemany("INSERT INTO tags (run_uuid, key, value) VALUES (?, 'sweeper.sweep_id', ?)", tags)
    note_published(sweep, records, uri)
    if not is_published(sweep, records, uri):
        raise SystemExit(f"sweeper looks for more in {uri} than was left there")


def of_run(storage: Path, trials: int, executor: str) -> Iterator[tuple[str, Spent]]:
    """A sweep of trivial trials, run and published."""
    name = f"{executor}-{trials}"
    file = storage / f"{name}.yaml"
    file.write_text(experiment_text(name, trials, epochs=1))
    whole = spent(storage, ["run", str(file), "--executor", executor])
    yield "run, a trial", Spent(whole.seconds / trials, whole.mebibytes)
    yield "sync, nothing to do", spent(storage, ["sync", name])


def measure(storage: Path, sizes: Sequence[int], executor: str | None) -> dict[str, list[Spent]]:
    """What each command spent, by size."""
    rows: dict[str, list[Spent]] = {}
    for trials in sizes:
        print(f"{trials} trials", flush=True)
        steps = list(of_ended(storage, trials)) + (list(of_run(storage, trials, executor)) if executor else [])
        for name, taken in steps:
            rows.setdefault(name, []).append(taken)
            print(f"  {name}: {taken.seconds:.3g} s, {taken.mebibytes:.0f} MiB", flush=True)
    return rows


def line(name: str, taken: Sequence[Spent], sizes: Sequence[int]) -> str:
    """A row of the table, with the growth and, at 10,000 trials, the verdict."""
    told = "".join(f"{one.seconds:9.3g} s {one.mebibytes:5.0f} MiB" for one in taken)
    growth = f"{taken[-1].seconds / taken[-2].seconds:9.1f} x" if len(taken) > 1 else ""
    target, last = TARGETS.get(name), taken[-1]
    if target is None or sizes[-1] != SIZES[-1]:
        return f"{name:20}{told}{growth}"
    is_met = last.seconds <= target and last.mebibytes <= DRIVER_MEBIBYTES
    return f"{name:20}{told}{growth}   target {target:g} s, 1 GiB: {'met' if is_met else 'MISSED'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="multiples of ten, rising")
    parser.add_argument(
        "--no-run", action="store_true", help="leave `run` and `sync` out: ten minutes at 10,000 trials"
    )
    parser.add_argument("--executor", choices=("ray", "inline"), default="ray")
    parser.add_argument("--keep", type=Path, help="a folder for the sweeps; ended sweeps that are there are used again")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        storage = given.keep or Path(temporary)
        storage.mkdir(parents=True, exist_ok=True)
        rows = measure(storage, given.sizes, None if given.no_run else given.executor)
    print("\n" + " " * 20 + "".join(f"{trials:>21,}" for trials in given.sizes) + "     growth")
    for name, taken in rows.items():
        print(line(name, taken, given.sizes))


if __name__ == "__main__":
    main()
