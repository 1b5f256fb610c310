"""Synthetic sweep folders, written through the store's own interface."""

import csv
import io
import itertools
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

from sweeper.space.setting import setting_steps, with_setting
from sweeper.store import Result, Row, Sweep
from sweeper.trial import Trial, TrialState

CLASSES = (
    "goldfish",
    "fire salamander",
    "bullfrog",
    "tailed frog",
    "alligator",
    "boa",
    "trilobite",
    "scorpion",
    "spider",
    "tarantula",
)
SPACE = {"lr": [0.001, 0.01, 0.1], "momentum": [0.5, 0.9], "loss": ["cross_entropy", "smooth_cross_entropy"]}
ENDINGS = ("complete", "complete", "pruned", "complete", "complete", "complete", "pruned", "complete")


def write_sweep(
    storage: str,
    name: str = "synthetic",
    space: Mapping[str, Sequence[Any]] = SPACE,
    *,
    seeds: Sequence[int] = (0,),
    endings: Sequence[str] = ENDINGS,
    epochs: int = 10,
    classes: Sequence[str] = CLASSES,
    images: int = 50,
) -> Sweep:
    """A sweep over a grid whose trials end as `endings` say, in turn; the numbers depend on the arguments alone."""
    sweep = Sweep(storage, name)
    sweep.folder.write("experiment.yaml", f"name: {name}\n".encode())
    cells = [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]
    for number, (cell, seed) in enumerate(itertools.product(cells, seeds)):
        trial, state = synthetic_trial(number, cell, seed, epochs), TrialState(endings[number % len(endings)])
        write_trial(sweep, trial, state, epochs, classes, images)
    return sweep


def synthetic_trial(number: int, cell: Mapping[str, Any], seed: int = 0, epochs: int = 10) -> Trial:
    config: dict[str, Any] = {"data": {"name": "digits"}, "model": {"name": "alexnet"}, "train": {"epochs": epochs}}
    for axis, value in cell.items():
        config = with_setting(config, setting_steps(axis), value)
    return Trial.of(number, cell, {**config, "seed": seed})


def write_trial(
    sweep: Sweep, trial: Trial, state: TrialState, epochs: int = 10, classes: Sequence[str] = CLASSES, images: int = 50
) -> None:
    """One trial's files, as a trainer leaves them in that state."""
    folder, draw = sweep.trial(trial.key), random.Random(trial.key)
    folder.write_trial(trial)
    if state is TrialState.WAITING:
        return
    run = epochs if state is TrialState.COMPLETE else max(1, epochs * 2 // 5)
    history = tuple(_epoch(epoch, skill(trial), draw, state, run) for epoch in range(1, run + 1))
    if state is TrialState.RUNNING:
        folder.write_history(history)
        return
    top1 = [row["val/top1"] for row in history]
    best_epoch = 1 + top1.index(max(top1))
    summary = {key: value for key, value in history[best_epoch - 1].items() if key not in ("epoch", "time")}
    if state is TrialState.COMPLETE:
        counts = {split: _right_answers(skill(trial), len(classes), images, draw) for split in ("val", "test")}
        folder.artifacts.write("per_class.csv", _per_class(counts, classes, images))
        summary |= {"test/loss": summary["val/loss"] * 1.05, "test/top1": sum(counts["test"]) / (images * len(classes))}
    error = "RuntimeError: no luck" if state is TrialState.FAILED else None
    folder.write_result(Result(state, summary, history, best_epoch, error, ended=1.8e9))


def skill(trial: Trial) -> float:
    """How well a synthetic trial gets, in [0, 1]: best at lr 0.01 and high momentum."""
    distance = abs(math.log10(float(trial.cell.get("lr", 0.01)) / 0.01))
    return 0.85 - 0.16 * distance + 0.2 * (float(trial.cell.get("momentum", 0.9)) - 0.9) - 0.01 * (trial.seed % 5)


def _epoch(epoch: int, best: float, draw: random.Random, state: TrialState, run: int) -> Row:
    learnt = best * (1 - math.exp(-epoch / 3)) + draw.gauss(0, 0.01)
    row = {
        "epoch": epoch,
        "time": 1.8e9 + 2 * epoch,
        "lr": 0.01,
        "epoch_seconds": 1.5 + draw.random() / 7,
        "train/loss": 2.3 * (1 - learnt) ** 1.3,
        "train/top1": min(1.0, learnt * 1.08),
        "val/loss": 2.3 * (1 - learnt) + 0.05,
        "val/top1": max(0.0, learnt),
        "val/top5": min(1.0, 0.4 + learnt * 0.7),
    }
    if state is TrialState.DIVERGED and epoch == run:
        row |= {"train/loss": math.nan, "val/loss": math.inf}
    return row


def _right_answers(best: float, classes: int, images: int, draw: random.Random) -> list[int]:
    """Images told right of each class; later classes are easier."""
    shares = (best + 0.3 * (index / max(classes - 1, 1) - 0.6) + draw.gauss(0, 0.05) for index in range(classes))
    return [round(images * min(1.0, max(0.0, share))) for share in shares]


def _per_class(counts: Mapping[str, Sequence[int]], classes: Sequence[str], images: int) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["split", "class_index", "class", "id", "images", "correct", "top1"])
    for split, right in counts.items():
        for index, (name, correct) in enumerate(zip(classes, right, strict=True)):
            writer.writerow([split, index, name, f"n{index:08d}", images, correct, correct / images])
    return text.getvalue().encode()
