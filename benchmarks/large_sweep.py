"""A sweep folder of any size, written by the store's and the trainer's own writers; only the numbers are drawn.

Legend: N images, K classes.
"""

import itertools
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.random import Generator, default_rng

from sweeper.data import ClassName, Dataset
from sweeper.experiment import Experiment
from sweeper.launch import store_experiment
from sweeper.reading import read_experiment
from sweeper.search import Search
from sweeper.store import Machine, Result, Row, Sweep
from sweeper.training.artifacts import write
from sweeper.training.metrics import Evaluation, evaluate_logits
from sweeper.trial import Trial, TrialState

FEWEST_SEEDS = 4
RATES = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
SPACE: Mapping[str, list[float]] = {
    "gamma": [0.01, 0.03, 0.1, 0.3, 0.5],
    "momentum": [0, 0.3, 0.5, 0.7, 0.9],
    "lr": [*RATES],
}
CELLS = math.prod(map(len, SPACE.values()))
EXPERIMENT = """
name: {name}
data: {{name: digits, image_size: 8, augment: []}}
model: {{name: alexnet, compact: true}}
train: {{epochs: {epochs}}}
search: {{space: {{}}, seeds: {seeds}, include: {cells}}}
"""


@dataclass(frozen=True)
class Size:
    """How large a sweep is."""

    trials: int
    epochs: int
    classes: int
    test_images: int

    @property
    def name(self) -> str:
        return f"{self.trials}x{self.epochs}x{self.classes}"


def write_large_sweep(storage: Path, size: Size) -> Sweep:
    """A sweep of a grid with at least four seeds a cell."""
    given = (dict(zip(SPACE, values, strict=True)) for values in itertools.product(*SPACE.values()))
    seeds = list(range(max(FEWEST_SEEDS, math.ceil(size.trials / CELLS))))
    cells = list(itertools.islice(given, math.ceil(size.trials / len(seeds))))
    text = EXPERIMENT.format(name=size.name, epochs=size.epochs, cells=cells, seeds=seeds)
    return write_ended(storage, read_experiment(text, "benchmark"), size)


def write_ended(storage: Path, experiment: Experiment, size: Size, fingerprint: str = "0" * 64) -> Sweep:
    """Every trial complete, with its histories, per-class tables, confusion and predictions."""
    sweep, dataset, draw = Sweep(str(storage), experiment.name), _dataset(size), default_rng(0)
    search = Search(experiment, lambda data: fingerprint)
    with _unsynced():
        store_experiment(sweep, experiment)
        sweep.write_machine(Machine("cpu", "amx", "bfloat16", threads=1, window=1))
        for trial in itertools.islice(iter(search.ask, None), size.trials):
            _write_trial(sweep, trial, size, dataset, draw)
    return sweep


def _forget(descriptor: int) -> None: ...


@contextmanager
def _unsynced() -> Iterator[None]:
    """Without waiting for the disk, as nobody needs these files after a power cut: ten times faster."""
    with mock.patch.object(os, "fsync", _forget):
        yield


def _dataset(size: Size) -> Dataset:
    """Names and labels; the images themselves are not needed."""
    labels_N = np.arange(2 * size.test_images) % size.classes
    names = tuple(ClassName(f"class {index:03d}, as people call it", f"n{index:08d}") for index in range(size.classes))
    samples = [f"train/n{label:08d}/images/n{label:08d}_{i}.JPEG" for i, label in enumerate(labels_N.tolist())]
    images_NCHW = np.zeros((0, 3, 8, 8), np.uint8)
    return Dataset(images_NCHW, labels_N, samples, names, len(samples), "0" * 64, Path())


def _write_trial(sweep: Sweep, trial: Trial, size: Size, dataset: Dataset, draw: Generator) -> None:
    folder, skill = sweep.trial(trial.key), _skill(trial.cell, draw)
    folder.write_trial(trial)
    history = tuple(_epoch(epoch, skill, draw) for epoch in range(1, size.epochs + 1))
    best = max(history, key=lambda row: row["val/top1"])
    halves = {"val": torch.arange(size.test_images), "test": torch.arange(size.test_images) + size.test_images}
    evaluations = {split: (at_N, _evaluation(dataset, at_N, skill, draw)) for split, at_N in halves.items()}
    write(folder.artifacts, dataset, evaluations)
    test = evaluations["test"][1]
    summary = {name: value for name, value in best.items() if name not in ("epoch", "time")}
    summary |= {"test/loss": test.loss, "test/top1": test.top1, "test/top5": test.top5, "test/ece": test.ece}
    folder.write_result(Result(TrialState.COMPLETE, summary, history, int(best["epoch"]), ended=1.8e9))


def _skill(cell: Mapping[str, Any], draw: Generator) -> float:
    """How far the logit of the right class stands out, best at lr 0.005 and high momentum."""
    return float(2.5 - 0.8 * abs(math.log10(cell["lr"] / 0.005)) + 0.6 * cell["momentum"] + 0.1 * draw.normal())


def _evaluation(dataset: Dataset, at_N: torch.Tensor, skill: float, draw: Generator) -> Evaluation:
    """Logits of a classifier that finds later classes easier."""
    labels_N = torch.from_numpy(dataset.labels_N)[at_N]
    classes = len(dataset.classes)
    logits_NK = torch.from_numpy(draw.standard_normal((len(labels_N), classes), dtype=np.float32))
    logits_NK[torch.arange(len(labels_N)), labels_N] += skill * (0.5 + labels_N / classes)
    return evaluate_logits(logits_NK, labels_N, torch.nn.functional.cross_entropy(logits_NK, labels_N))


def _epoch(epoch: int, skill: float, draw: Generator) -> Row:
    learnt = max(0.0, min(1.0, 0.3 * skill * (1 - math.exp(-epoch / 8)) + 0.01 * draw.normal()))
    timed = {"lr": 0.01, "epoch_seconds": 1.5 + 0.1 * draw.random(), "images_per_second": 900 + 9 * draw.random()}
    train = {"train/loss": 2.3 * (1 - learnt) ** 1.3, "train/top1": min(1.0, 1.08 * learnt)}
    val = {
        "val/loss": 2.35 - 2.3 * learnt,
        "val/top1": learnt,
        "val/top5": min(1.0, 0.4 + learnt),
        "val/ece": 0.1 * learnt,
    }
    return {"epoch": epoch, "time": 1.8e9 + 2 * epoch, **timed, "peak_memory_mib": 640.0, **train, **val}
