"""Run a sweep: on Ray Tune, or in this process (`inline`)."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from types import FrameType
from typing import Any, NamedTuple

from sweeper.data import default_cache, prepare
from sweeper.experiment import Data, Experiment, Resources, Settings
from sweeper.launch.driver import Driver, Listener
from sweeper.reading import write_experiment
from sweeper.search import Search, goes_on
from sweeper.store import Machine, Record, Sweep
from sweeper.trial import settings_for

__all__ = ["Driver", "Listener", "Stop", "Sweeping", "run"]

GRACE_SECONDS = 3.0  # how long halted trials may take to end their epoch and save before they are cut off


class Fingerprints:
    """The fingerprint of each data section, whose images are prepared when it is first asked for."""

    def __init__(self, root: str | None) -> None:
        self.root = root
        self.known: dict[Data, str] = {}

    def __call__(self, data: Data) -> str:
        if data not in self.known:
            self.known[data] = prepare(replace(data, root=self.root), default_cache()).fingerprint
        return self.known[data]


@dataclass(frozen=True)
class Sweeping:
    """A sweep that is about to run: its folder, its experiment, what is there already, and the search over the rest."""

    sweep: Sweep
    experiment: Experiment
    records: Sequence[Record]
    fingerprints: Fingerprints
    retry_failed: bool = False

    @classmethod
    def of(cls, sweep: Sweep, experiment: Experiment, retry_failed: bool = False) -> "Sweeping":
        return cls(sweep, experiment, sweep.records(), Fingerprints(experiment.data.root), retry_failed)

    def goes_on(self, record: Record) -> bool:
        """Whether an ended trial is taken up again."""
        return goes_on(record, self.experiment, self.retry_failed)

    def settings_left(self) -> Iterator[Settings]:
        """The settings of each grid trial that has not ended; of a sampler's, the file's own."""
        if self.experiment.search.method != "grid":
            yield settings_for(self.experiment, {}, self.experiment.search.seeds[0])
            return
        search = self.search(None)
        while trial := search.ask():
            yield trial.settings

    def search(self, window: int | None = None) -> Search:
        return Search(self.experiment, self.fingerprints, self.records, window, self.retry_failed)


class Stop(NamedTuple):
    """The signal that stopped a sweep, and how many trials had to be cut off within an epoch."""

    signal: int
    cut_off: int


def run(sweeping: Sweeping, executor: str, address: str | None, listeners: Sequence[Listener]) -> Stop | None:
    """Run what is left of a sweep; the caller holds its lock. Returns what stopped it, if anything did.

    Raises MachineError when this machine cannot go on with what another began.
    """
    if executor == "inline":
        from sweeper.launch.inline import run_inline

        return _run(sweeping, places_here(sweeping.experiment.resources), listeners, run_inline)
    from sweeper.launch import ray_tune

    with ray_tune.cluster(address):
        share = gpu_share(sweeping.experiment.resources, device_of(sweeping))
        places = ray_tune.trials_at_once(sweeping.experiment.resources, share)
        return _run(sweeping, places, listeners, partial(ray_tune.run_on_ray, gpus=share))


def _run(
    sweeping: Sweeping, places: int, listeners: Sequence[Listener], execute: Callable[[Driver], None]
) -> Stop | None:
    machine = machine_for(sweeping, places)
    driver = Driver(sweeping.sweep, sweeping.experiment, sweeping.search(machine.window), listeners)
    driver.remember(sweeping.records)
    with _halting_on_signals(driver) as received:
        execute(driver)
    return Stop(received[0], len(driver.running)) if received else None


def store_experiment(sweep: Sweep, experiment: Experiment) -> None:
    """Keep the resolved experiment in the folder, for `resume` and for every reader."""
    text = write_experiment(experiment).encode()
    if not sweep.exists() or sweep.folder.read("experiment.yaml") != text:
        sweep.folder.write("experiment.yaml", text)


def machine_for(sweeping: Sweeping, places: int) -> Machine:
    """What the sweep's first machine decided, honoured here; decided now when the sweep begins."""
    from sweeper.training.machine import decide, honour

    machine = sweeping.sweep.machine()
    if machine is None:
        machine = decide(sweeping.experiment.resources, places)
        sweeping.sweep.write_machine(machine)
    honour(machine, sweeping.experiment.resources)
    return machine


def device_of(sweeping: Sweeping) -> str:
    """The device that the sweep runs on, or would if it began here."""
    from sweeper.training.machine import device_here

    machine = sweeping.sweep.machine()
    return machine.device if machine else device_here(sweeping.experiment.resources)


def gpu_share(resources: Resources, device: str) -> float:
    """How many GPUs a trial reserves: `auto` is one."""
    if device == "cpu":
        return 0.0
    return 1.0 if resources.gpus_per_trial == "auto" else float(resources.gpus_per_trial)


def places_here(resources: Resources) -> int:
    """How many trials Ray would run side by side here; `inline` runs one, but decides alike."""
    import torch

    from sweeper.training.machine import device_here

    places = len(os.sched_getaffinity(0)) // resources.cpus_per_trial
    if share := gpu_share(resources, device_here(resources)):
        places = min(places, int(torch.cuda.device_count() / share + 1e-9))
    return max(1, min(places, resources.max_concurrent or places))


@contextmanager
def _halting_on_signals(driver: Driver) -> Iterator[list[int]]:
    """The first SIGINT or SIGTERM halts the driver, the second ends the process at once; yields those received.

    Trials may end their epoch after SIGINT, from a person who can ask again, but not after SIGTERM, whose sender kills soon.
    """
    received: list[int] = []

    def halt(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if len(received) > 1:
            os._exit(128 + number)
        driver.halt(None if number == signal.SIGINT else GRACE_SECONDS)

    before: dict[int, Any] = {number: signal.signal(number, halt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
