"""Trials that `fit` can train: an experiment, its folder, and what drivers answer."""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sweeper.data import Dataset, default_cache, prepare
from sweeper.data.split import split
from sweeper.experiment import Data, Experiment, Split, Train, named_of
from sweeper.store import Machine, Result, Row, Sweep, TrialFolder
from sweeper.training.fit import fit
from sweeper.training.loop import Trainer
from sweeper.training.machine import processor
from sweeper.trial import Answer, Trial, config_for, settings_for

TIMED = ("epoch_seconds", "images_per_second", "peak_memory_mib", "time")


def network(
    classes: int, image_size: int, *, dropout: float = 0.0, batch_norm: bool = False, breaks: bool = False
) -> nn.Module:
    """Two small convolutions; with all that makes exact resumption hard, where it is asked for."""
    normalisation = nn.BatchNorm2d(12) if batch_norm else nn.Identity()
    side = (image_size + 1) // 2
    layers = [nn.Conv2d(3, 12, 3, stride=2, padding=1), normalisation, nn.ReLU(), nn.Dropout(dropout), nn.Flatten()]
    return nn.Sequential(*layers, *([Fragile()] if breaks else []), nn.Linear(12 * side * side, classes))


def pooled(classes: int) -> nn.Module:
    """Normalises one value a channel, which cannot be done with one image."""
    layers = [nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, classes)]
    return nn.Sequential(*layers)


class Fragile(nn.Module):
    """Raises while the file named by SWEEPER_TEST_BROKEN exists."""

    def forward(self, images_NF: Tensor) -> Tensor:
        if Path(os.environ["SWEEPER_TEST_BROKEN"]).exists():
            raise ArithmeticError("this network is broken on purpose")
        return images_NF


def experiment(
    data: Mapping[str, Any] | None = None, model: Mapping[str, Any] | None = None, **train: Any
) -> Experiment:
    """Digits of 8 px and a small network; `data`, `model` and `train` are changed as given."""
    split = {"split": Split(0.5, 0.25, 0.25)}
    return Experiment(
        name="trials",
        data=Data(**{"name": "digits", "image_size": 8, "augment": (), **split, **(data or {})}),
        model=named_of({"name": "trials:network", **(model or {})}),
        train=replace(Train(epochs=3, batch_size=32, lr=0.05, schedule="constant"), **train),
    )


@dataclass
class Told:
    """What a trial reported, and what it is answered: `answers` by epoch, else to go on."""

    answers: Mapping[int, Answer] = field(default_factory=dict)
    reports: list[tuple[tuple[Row, ...], int]] = field(default_factory=list)

    def __call__(self, rows: tuple[Row, ...], saved_epoch: int) -> Answer:
        self.reports.append((rows, saved_epoch))
        return self.answers.get(int(rows[-1]["epoch"]), Answer.GO_ON)

    @property
    def epochs(self) -> list[list[int]]:
        return [[int(row["epoch"]) for row in rows] for rows, _ in self.reports]


@dataclass(frozen=True)
class Begun:
    """A trial whose folder has what a driver writes before it starts."""

    sweep: Sweep
    experiment: Experiment
    trial: Trial

    @property
    def folder(self) -> TrialFolder:
        return self.sweep.trial(self.trial.key)

    def fit(self, report: Callable[[tuple[Row, ...], int], Answer] | None = None) -> Result | None:
        return fit(self.trial, self.sweep, self.experiment, report or Told())

    def ended(self, report: Callable[[tuple[Row, ...], int], Answer] | None = None) -> Result:
        result = self.fit(report)
        assert result is not None
        return result

    def dataset(self) -> Dataset:
        return prepare(self.experiment.data, default_cache())

    def trainer(self, device: str = "cpu") -> Trainer:
        machine, dataset = self.sweep.machine(), self.dataset()
        assert machine
        indices = split(dataset, self.experiment.data.split)
        return Trainer(self.trial.settings, dataset, indices, replace(machine, device=device))

    def halted_at(self, epoch: int) -> "Begun":
        assert self.fit(Told({epoch: Answer.HALT})) is None
        return self


def begin(storage: Path, of: Experiment, seed: int = 0, precision: str = "float32") -> Begun:
    sweep = Sweep(str(storage), of.name)
    sweep.write_machine(Machine("cpu", processor("cpu"), precision, threads=1, window=1))
    settings = settings_for(of, {}, seed)
    trial = Trial.of(0, {}, config_for(settings, prepare(of.data, default_cache()).fingerprint))
    sweep.trial(trial.key).write_trial(trial)
    return Begun(sweep, of, trial)


def untimed(rows: Iterable[Row]) -> list[Row]:
    """Rows without what a clock or the rest of the process decides."""
    return [{name: value for name, value in row.items() if name not in TIMED} for row in rows]


_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["sweeper.training", "torch._dynamo"])  # imported once, not once a process


def train_until_killed(begun: Begun, epoch: int) -> int | None:
    """Train in a process that is killed as soon as it has reported `epoch`; its exit code, None if it ended itself."""
    here, there = _processes.Pipe()
    process = _processes.Process(target=_train, args=(begun, there))
    process.start()
    there.close()
    while _next(here) not in (epoch, None):
        continue
    process.kill()
    process.join()
    return process.exitcode


def _train(begun: Begun, parent: "Connection[int, None]") -> None:
    def report(rows: tuple[Row, ...], saved_epoch: int) -> Answer:
        parent.send(int(rows[-1]["epoch"]))
        return Answer.GO_ON

    begun.fit(report)


def _next(child: "Connection[None, int]") -> int | None:
    try:
        return child.recv()
    except EOFError:
        return None
