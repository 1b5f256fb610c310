"""Run a sweep: on Ray Tune, or in this process (`inline`)."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any

from sweeper.data import default_cache, prepare
from sweeper.experiment import Data, Experiment, Resources
from sweeper.launch.driver import Driver, Listener
from sweeper.reading import write_experiment
from sweeper.search import Search, goes_on
from sweeper.store import Machine, Record, Sweep

__all__ = ["Driver", "Listener", "Sweeping", "run"]


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

    def search(self, window: int | None = None) -> Search:
        return Search(self.experiment, self.fingerprints, self.records, window, self.retry_failed)


def run(sweeping: Sweeping, executor: str, address: str | None, listeners: Sequence[Listener]) -> int | None:
    """Run what is left of a sweep; the caller holds its lock. Returns the signal that stopped it, if one did.

    Raises MachineError when this machine cannot go on with what another began.
    """
    if executor == "inline":
        return _run(sweeping, executor, places_here(sweeping.experiment.resources), listeners)
    from sweeper.launch import ray_tune

    with ray_tune.cluster(address):
        return _run(sweeping, executor, ray_tune.trials_at_once(sweeping.experiment.resources), listeners)


def _run(sweeping: Sweeping, executor: str, places: int, listeners: Sequence[Listener]) -> int | None:
    machine = machine_for(sweeping, places)
    driver = Driver(sweeping.sweep, sweeping.experiment, sweeping.search(machine.window), listeners)
    driver.remember(sweeping.records)
    with _halting_on_signals(driver) as received:
        if executor == "inline":
            from sweeper.launch.inline import run_inline

            run_inline(driver)
        else:
            from sweeper.launch.ray_tune import run_on_ray

            run_on_ray(driver)
    return received[0] if received else None


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
    honour(machine)
    return machine


def places_here(resources: Resources) -> int:
    """How many trials Ray would run side by side here; `inline` runs one, but decides alike."""
    import torch

    places = len(os.sched_getaffinity(0)) // resources.cpus_per_trial
    if torch.cuda.is_available() and resources.gpus_per_trial != 0:
        share = 1.0 if resources.gpus_per_trial == "auto" else resources.gpus_per_trial
        places = min(places, int(torch.cuda.device_count() / share + 1e-9))
    return max(1, min(places, resources.max_concurrent or places))


@contextmanager
def _halting_on_signals(driver: Driver) -> Iterator[list[int]]:
    """The first SIGINT or SIGTERM halts the driver, the second ends the process at once; yields those received."""
    received: list[int] = []

    def halt(number: int, frame: FrameType | None) -> None:
        received.append(number)
        driver.halt()
        if len(received) > 1:
            os._exit(128 + number)

    before: dict[int, Any] = {number: signal.signal(number, halt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
