"""What a tracking server that is away costs training: the time of an epoch then, beside that of the epochs around it.

One trial trains on while its MLflow server is there and away in turns, so that a machine that slows down slows both. A server
that hangs accepts connections and never answers; one that fails answers 500; one that refuses cuts the connection.
"""

import argparse
import bisect
import itertools
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.sides import verdict
from sweeper.store import Sweep
from tests.mlflow_servers import MlflowServer, Proxy

EXPERIMENT = """
name: outages
data: {name: digits, image_size: 16, augment: []}
model: {name: alexnet, compact: true}
train: {epochs: 1000000, batch_size: 64, lr: 0.001}
artifacts: {models: none}
"""
MODES = {"hang": "hangs", "500": "answers 500", "refuse": "refuses"}
TARGET = 1.05
BEGIN_SECONDS, FEWEST_EPOCHS = 300.0, 4

Window = tuple[float, str]
"""When it began, in seconds since 1970, and the mode of the proxy."""


@contextmanager
def server(folder: Path) -> Iterator[Proxy]:
    """A server of MLflow, and what stands before it."""
    proxy, mlflow = Proxy(), MlflowServer(folder, folder / "mlflow.db")
    try:
        assert mlflow.uri
        proxy.target = mlflow.port
        yield proxy
    finally:
        proxy.close()
        mlflow.kill()


@contextmanager
def training(folder: Path, executor: str, uri: str) -> Iterator[Sweep]:
    """A trial that trains until it is stopped."""
    file, storage = folder / "outages.yaml", folder / "sweeps"
    file.write_text(EXPERIMENT)
    command = [sys.executable, "-m", "sweeper", "run", str(file), "--storage", str(storage)]
    command += ["--executor", executor, "--tracking-uri", uri]
    with (folder / "said.txt").open("w") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, env={**os.environ, "COLUMNS": "200"})
    sweep, deadline = Sweep(str(storage), "outages"), time.monotonic() + BEGIN_SECONDS
    try:
        while not ended(sweep):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((folder / "said.txt").read_text())
            time.sleep(1)
        yield sweep
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def ended(sweep: Sweep) -> list[float]:
    """When each epoch of the trial ended, in seconds since 1970."""
    records = sweep.records()
    return [float(row["time"]) for row in records[0].history] if records else []


def epoch_seconds(ends: Sequence[float], began: float, until: float) -> float:
    """The median time of the epochs that lie wholly in a window, whatever came between them with it."""
    within = ends[bisect.bisect_left(ends, began) : bisect.bisect_right(ends, until)]
    if len(within) < FEWEST_EPOCHS:
        raise RuntimeError(f"{len(within)} epochs ended in a window of {until - began:.0f} s; give more --seconds")
    return statistics.median(after - before for before, after in itertools.pairwise(within))


def ratios(windows: Sequence[Window], ends: Sequence[float]) -> dict[str, list[float]]:
    """By mode, how many times as long an epoch takes as in the healthy windows before and after, one for each window away."""
    seconds = [epoch_seconds(ends, began, until) for (began, _), (until, _) in itertools.pairwise(windows)]
    found: dict[str, list[float]] = {mode: [] for mode in MODES}
    for place, (_, mode) in enumerate(windows[:-1]):
        if mode in MODES:
            found[mode].append(2 * seconds[place] / (seconds[place - 1] + seconds[place + 1]))
    return found


def away_in_turns(proxy: Proxy, rounds: int, seconds: float, draw: random.Random) -> list[Window]:
    """Healthy, away, healthy, away ..., each mode once a round in an order drawn anew; ends with a healthy window."""
    away = [mode for _ in range(rounds) for mode in draw.sample(sorted(MODES), len(MODES))]
    windows = []
    for mode in [*itertools.chain(*(("pass", one) for one in away)), "pass"]:
        proxy.mode = mode
        windows.append((time.time(), mode))
        time.sleep(seconds)
    return [*windows, (time.time(), "over")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each window")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--executor", default="ray", choices=("ray", "inline"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, server(Path(scratch)) as proxy:
        with training(Path(scratch), given.executor, proxy.uri) as sweep:
            windows = away_in_turns(proxy, given.rounds, given.seconds, random.Random(given.seed))  # noqa: S311
        ends = ended(sweep)
    print(f"{len(ends)} epochs, {statistics.median(b - a for a, b in itertools.pairwise(ends)):.3f} s each")
    for mode, found in ratios(windows, ends).items():
        print(f"a server that {MODES[mode]}:", *(f"{one:.3f}" for one in sorted(found)))
        reached = statistics.median(found)
        print(verdict(f"times as long an epoch with a server that {MODES[mode]}", reached, TARGET, at_least=False))


if __name__ == "__main__":
    main()
