"""Learning rates as functions of the settings, the epoch and the history, so that resuming needs no state.

Each schedule gives the rate of every step of an epoch (from 1). `cosine`, `one_cycle`, `cyclic` and the warm-up move
with each step; `step` and `plateau` with each epoch.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from sweeper.experiment import BEGIN_LOW, Train
from sweeper.store import Row

Schedule = Callable[[Train, int, int, Sequence[Row]], list[float]]
"""(settings, epoch from 1, steps an epoch, rows of the epochs before) -> the rate of each step."""

ONE_CYCLE_RISE, ONE_CYCLE_START, ONE_CYCLE_END = 0.3, 25.0, 1e4
PLATEAU_THRESHOLD = 1e-4


def rates(train: Train, epoch: int, steps: int, history: Sequence[Row]) -> list[float]:
    """The learning rate of each step of an epoch; the schedule proper begins when the warm-up is over.

    Schedules that begin low have none: in a sweep, `warmup_epochs` is for the others.
    """
    warm = 0 if train.schedule in BEGIN_LOW else train.warmup_epochs
    if epoch <= warm:
        return [train.lr * (at + 1) / (warm * steps) for at in _at(epoch, steps)]
    rest = replace(train, epochs=train.epochs - warm)
    return SCHEDULES[train.schedule](rest, epoch - warm, steps, history[warm:])


def has_stopped(train: Train, history: Sequence[Row]) -> bool:
    """Whether `plateau` has made its last cut, at which a trial ends."""
    if train.schedule != "plateau" or train.stop_after is None:
        return False
    return cuts(train, history[train.warmup_epochs :]) >= train.stop_after


def constant(train: Train, epoch: int, steps: int, history: Sequence[Row]) -> list[float]:
    return [train.lr] * steps


def step(train: Train, epoch: int, steps: int, history: Sequence[Row]) -> list[float]:
    """Multiplied by gamma every `step_size` epochs."""
    return [float(train.lr * train.gamma ** ((epoch - 1) // train.step_size))] * steps


def plateau(train: Train, epoch: int, steps: int, history: Sequence[Row]) -> list[float]:
    """Multiplied by gamma, down to `min_lr`, when more than `patience` epochs in a row brought no better loss."""
    return [max(train.min_lr, float(train.lr * train.gamma ** cuts(train, history)))] * steps


def cuts(train: Train, history: Sequence[Row]) -> int:
    """How often `plateau` has cut the rate after these epochs; better is smaller by a factor of 1 - 0.0001.

    It looks at the validation loss, without validation images at the training loss: what it does is part of the
    result, and the objective is not.
    """
    best, bad, made = math.inf, 0, 0
    for row in history:
        loss = row["val/loss" if "val/loss" in row else "train/loss"]
        is_better = loss < best * (1 - PLATEAU_THRESHOLD)
        best, bad = (loss, 0) if is_better else (best, bad + 1)
        if bad > train.patience:
            made, bad = made + 1, 0
    return made


def cosine(train: Train, epoch: int, steps: int, history: Sequence[Row]) -> list[float]:
    """Half a cosine from `lr` to `min_lr` (Loshchilov and Hutter 2017, equation 5, without restarts)."""
    return [_between(train.lr, train.min_lr, at / (train.epochs * steps)) for at in _at(epoch, steps)]


def one_cycle(train: Train, epoch: int, steps: int, history: Sequence[Row]) -> list[float]:
    """From lr / 25 up to `lr` in the first 30 % of the steps, then down to lr / 250,000 (Smith and Topin 2018).

    Both along half a cosine, as torch's OneCycleLR has it; the momentum stays.
    """
    low, total = train.lr / ONE_CYCLE_START, train.epochs * steps
    top, end = ONE_CYCLE_RISE * total - 1, total - 1

    def rate(at: int) -> float:
        if at <= top:
            return _between(low, train.lr, at / top)
        return _between(train.lr, low / ONE_CYCLE_END, (at - top) / (end - top))

    return [rate(at) for at in _at(epoch, steps)]


def cyclic(train: Train, epoch: int, steps: int, history: Sequence[Row]) -> list[float]:
    """Straight from `min_lr` up to `lr` and back in `cycle_epochs` (Smith 2017, "triangular")."""
    half = train.cycle_epochs * steps / 2
    return [train.min_lr + (train.lr - train.min_lr) * (1 - abs(at / half % 2 - 1)) for at in _at(epoch, steps)]


def _at(epoch: int, steps: int) -> range:
    """The steps of an epoch, counted from the first epoch's first."""
    return range((epoch - 1) * steps, epoch * steps)


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


SCHEDULES: dict[str, Schedule] = {
    "constant": constant,
    "step": step,
    "plateau": plateau,
    "cosine": cosine,
    "one_cycle": one_cycle,
    "cyclic": cyclic,
}
