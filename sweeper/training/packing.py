"""How many trials share a GPU: a few training steps of one trial are measured, and a rule decides by these numbers.

Processes that share a GPU take turns on it, kernel by kernel. So a second one is worth only the time in which the first
leaves the GPU idle: while it waits for Python, for images, or for its optimiser's small kernels to be launched.
"""

import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Protocol

import torch

from sweeper.data import Dataset
from sweeper.data.split import Indices
from sweeper.experiment import Settings
from sweeper.store import Machine
from sweeper.training.feed import Batch
from sweeper.training.loop import Trainer
from sweeper.training.weights import copy_of

CONTEXT_MEBIBYTES = 600.0
"""What CUDA holds of a GPU for each process besides its tensors: its context and the libraries' kernels."""
USABLE = 0.9
"""The share of the free memory that trials may plan with: allocators fragment, and other batches take a little more."""
WORTHWHILE = 1.1
"""By what factor one more trial must raise the images a second of all together."""
MOST = 8
STEPS, WARM_UPS = 10, 3


@dataclass(frozen=True)
class Demand:
    """What one trial takes of a GPU: memory, context and all, and the share of its time in which kernels run, in (0, 1]."""

    mebibytes: float
    busy: float


def trials_a_gpu(demands: Sequence[Demand], free_mebibytes: float, most: int = MOST) -> int:
    """How many trials share a GPU, 1 to `most`: by memory for the largest of them, by throughput for the busiest.

    n trials that each keep a GPU busy for a share b of their time do min(n, 1 / b) times the work of one.
    """
    if not demands:
        return 1
    largest, busy = max(demand.mebibytes for demand in demands), max(demand.busy for demand in demands)
    room = int(USABLE * free_mebibytes / largest) if math.isfinite(largest) else 1
    places = 1
    while places < min(room, most) and min(places + 1, 1 / busy) >= WORTHWHILE * min(places, 1 / busy):
        places += 1
    return places


def told(demands: Sequence[Demand], free_mebibytes: float, places: int) -> str:
    """The decision with its reasons, for people."""
    largest, busy = max(demand.mebibytes for demand in demands), max(demand.busy for demand in demands)
    return (
        f"{places} trial{'s share' if places > 1 else ' has'} a GPU: the largest needs {largest:,.0f} of {free_mebibytes:,.0f} "
        f"MiB free, the busiest keeps it busy for {busy:.0%} of a step"
    )


class Meter(Protocol):
    """What a device tells of the work it is given."""

    def wait(self) -> None:
        """Until the device has done all it was given."""

    def kernel_seconds(self, work: Callable[[], None]) -> float:
        """How long kernels run in a piece of work."""

    def peak_mebibytes(self) -> float:
        """The most memory that tensors have held."""


class CudaMeter:
    """The current GPU, as torch sees it."""

    def wait(self) -> None:
        torch.cuda.synchronize()

    def kernel_seconds(self, work: Callable[[], None]) -> float:
        from torch.profiler import ProfilerActivity, profile

        with profile(activities=[ProfilerActivity.CUDA]) as profiled:
            work()
            self.wait()
        return sum(float(event.self_device_time_total) for event in profiled.key_averages()) / 1e6

    def peak_mebibytes(self) -> float:
        return torch.cuda.max_memory_reserved() / 2**20


def free_mebibytes() -> float:
    """What the current GPU has free for tensors of other processes; this one gives back what it keeps for later."""
    gc.collect()
    torch.cuda.empty_cache()
    return torch.cuda.mem_get_info()[0] / 2**20


def demand_of(settings: Settings, dataset: Dataset, indices: Indices, machine: Machine, meter: Meter) -> Demand:
    """Train a few steps and evaluate a batch, and see what that takes. What does not fit on the GPU takes all of it."""
    try:
        return _measured(Trainer(settings, dataset, indices, machine), meter)
    except torch.OutOfMemoryError:
        return Demand(math.inf, 1.0)


def _measured(trainer: Trainer, meter: Meter) -> Demand:
    slices = trainer.feed.slices(trainer.settings.train.batch_size)[:STEPS]

    def batches() -> Iterator[Batch]:
        """Some of an epoch's, whose random numbers have been drawn already."""
        drawn = trainer.feed.epoch(slices, torch.Generator().manual_seed(0))
        return chain([next(drawn)], drawn)

    def steps(over: Iterator[Batch]) -> None:
        for batch in over:
            trainer.step(batch, trainer.settings.train.lr)

    trainer.network.train()
    for _ in range(WARM_UPS):
        steps(batches())
    over = batches()
    meter.wait()
    start = time.perf_counter()
    steps(over)
    meter.wait()
    seconds = time.perf_counter() - start
    busy = meter.kernel_seconds(partial(steps, batches())) / seconds
    best = (copy_of(trainer.judged), copy_of(trainer.judged))  # those of the best epoch until now, and of a better one
    trainer.evaluate(trainer.feed.train_N[: trainer.evaluation_batch])
    del best
    return Demand(
        meter.peak_mebibytes() + CONTEXT_MEBIBYTES,
        min(1.0, busy or 1.0),  # nothing seen is nothing known: as if it left no room
    )
