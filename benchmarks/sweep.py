"""Wall time of a whole sweep: `sweeper run` against the scripts that one writes for Ray Tune and for Optuna.

    python -m benchmarks.sweep [--root PATH] [--epochs 1] [--trials 12] [--sides sweeper ray_tune optuna_grid]

Twelve trials of compact AlexNet (the same network for all) on Tiny Image10 at 64 px, batch 64: lr x momentum x gamma, the
rate cut by gamma after each epoch; the same images for training, validation and test. Each side is a process of its own,
timed from its start to its end, MLflow's database included.

- sweeper: `sweeper run` with what is on by default, in an empty storage and with an empty cache, so it also decodes.
- ray_tune: `peers/ray_tune.py`, a function trainable, MLflowLoggerCallback, a core a trial.
- optuna_grid: `peers/optuna_grid.py`, GridSampler, a run in MLflow for each trial, a process a core.

Both peers train by `peers/training.py`: ImageFolder and DataLoader over the JPEGs as files (written before the clock
starts), float32, one thread a trial, loss.item() at each step. Told are seconds, the ratio to sweeper's, the mean over
the trials of each one's best validation accuracy, and the test accuracy of the trial that is best on validation. The
peers test with the last epoch's weights. Target: four times as fast or more on two cores with AMX.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.images import ROOT_HELP, SHARE_HELP, prepared, write_folders
from benchmarks.sides import Seconds, ratio, timed, verdict

TARGET = 4.0
GRID = {"lr": [0.002, 0.005, 0.01], "momentum": [0.9, 0.5], "gamma": [0.7, 0.3]}
PEERS = ("ray_tune", "optuna_grid")
EXPERIMENT = """
name: benchmark
data: {name: tiny-image10, image_size: 64}
model: {name: alexnet, compact: true}
train: {batch_size: 64, schedule: step, step_size: 1}
"""
Row = dict[str, float]


def command(*words: str, **environment: str) -> None:
    """Run a module of ours; what it says is shown when it fails."""
    done = subprocess.run(
        [sys.executable, "-m", *words], env=os.environ | environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(
            f"{' '.join(words)} ended with {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        )


def run_sweeper(root: str | None, spec: dict[str, Any], out: Path) -> None:
    """`sweeper run` in an empty folder."""
    file = out / "experiment.yaml"
    file.write_text(EXPERIMENT)
    given = {"train.epochs": spec["epochs"], "search.space": spec["grid"], "data.split.train": spec["share"]}
    given |= {"data.root": root} if root else {}
    settings = [word for path, value in given.items() for word in ("--set", f"{path}={json.dumps(value)}")]
    storage = ["--storage", str(out / "sweeps")]
    command("sweeper", "run", str(file), *storage, *settings, SWEEPER_CACHE=str(out / "cache"))


def sweeper_rows(out: Path) -> list[Row]:
    """The trials of a sweep, read after the clock has stopped."""
    target = out / "trials.json"
    command("sweeper", "export", "benchmark", "--storage", str(out / "sweeps"), "--format", "json", "-o", str(target))
    rows: list[Row] = json.loads(target.read_text())
    return [{"val_top1": row["val/top1"], "test_top1": row["test/top1"]} for row in rows]


def run_peer(name: str, spec: dict[str, Any], out: Path) -> None:
    (out / "spec.json").write_text(json.dumps({**spec, "out": str(out)}))
    command(f"benchmarks.peers.{name}", str(out / "spec.json"))


def grid_of(trials: int) -> dict[str, list[float]]:
    """The grid, or a cut of it for a quick look."""
    grids = {12: GRID, 4: GRID | {"lr": [0.005]}, 2: GRID | {"lr": [0.005], "gamma": [0.7]}}
    return grids[trials]


def one_side(name: str, root: str | None, spec: dict[str, Any], out: Path) -> tuple[float, list[Row]]:
    """Seconds of wall time, and the trials' accuracies."""
    out.mkdir()
    if name == "sweeper":
        return timed(lambda: run_sweeper(root, spec, out)), sweeper_rows(out)
    return timed(lambda: run_peer(name, spec, out)), json.loads((out / "results.json").read_text())


def told(name: str, seconds: Seconds, rows: list[Row]) -> str:
    mean = statistics.mean(row["val_top1"] for row in rows)
    error = statistics.stdev(row["val_top1"] for row in rows) / math.sqrt(len(rows))
    best = max(rows, key=lambda row: row["val_top1"])
    return (
        f"{name:12} {statistics.median(seconds[name]):7.1f} s   {len(rows)} trials   mean val/top1 {mean:.3f} +- {error:.3f}"
        f"   best trial: val/top1 {best['val_top1']:.3f}, test/top1 {best['test_top1']:.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", help=ROOT_HELP)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--trials", type=int, default=12, choices=[12, 4, 2])
    parser.add_argument("--share", type=float, default=0.8, help=SHARE_HELP)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="of the peers' DataLoader, for each trial")
    parser.add_argument("--sides", nargs="+", default=["sweeper", *PEERS], choices=["sweeper", *PEERS])
    options = parser.parse_args()
    root = str(Path(options.root).absolute()) if options.root else None
    seconds: Seconds = {name: [] for name in options.sides}
    rows: dict[str, list[Row]] = {name: [] for name in options.sides}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_folders(prepared(root, share=options.share), folder / "images")
        spec = {"grid": grid_of(options.trials), "trials": options.trials, "images": str(folder / "images")}
        spec |= {"epochs": options.epochs, "share": options.share, "workers": options.workers}
        for number in range(options.rounds):
            for name in options.sides:
                taken, rows[name] = one_side(name, root, spec, folder / f"{name}-{number}")
                seconds[name].append(taken)
                print(f"round {number + 1}, {name}: {taken:.1f} s", file=sys.stderr, flush=True)
    for name in options.sides:
        print(told(name, seconds, rows[name]))
    for name in set(options.sides) - {"sweeper"} if "sweeper" in options.sides else ():
        print(verdict(f"{name} / sweeper", ratio(seconds, name, "sweeper"), TARGET, at_least=True))


if __name__ == "__main__":
    main()
