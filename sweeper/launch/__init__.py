"""Run a sweep: on Ray Tune, or in this process (`inline`)."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from sweeper.experiment import Experiment, Tracking
from sweeper.launch.driver import Driver, Listener
from sweeper.launch.joining import check_answers
from sweeper.launch.share import Share, share_of
from sweeper.launch.shipping import modules_to_ship
from sweeper.launch.sweeping import Sweeping
from sweeper.reading import write_experiment
from sweeper.redaction import without_password
from sweeper.store import Machine, Sweep

if TYPE_CHECKING:
    from sweeper.training.machine import Kind

__all__ = ["Driver", "Listener", "Stop", "Sweeping", "cluster_facts", "run"]

GRACE_SECONDS = 3.0  # how long halted trials may take to end their epoch and save before they are cut off


class Stop(NamedTuple):
    """What stopped a sweep, a signal or the trouble of its storage, and how many trials had to be cut off within an epoch."""

    signal: int | None
    trouble: str | None
    cut_off: int


def run(
    sweeping: Sweeping,
    executor: str,
    address: str | None,
    listeners: Sequence[Listener],
    tell: Callable[[str], object] = lambda told: None,
) -> Stop | None:
    """Run what is left of a sweep; the caller holds its lock. Returns what stopped it, if anything did.

    What was measured to decide how trials share the machine, and what becomes of a cluster's nodes, is told by `tell`.

    Raises MachineError when this machine cannot go on with what another began, ClusterError for what is wrong with a cluster.
    """
    if executor == "ray" and address not in (None, "local"):
        return _run_on_cluster(sweeping, str(address), listeners, tell)
    share = share_of(sweeping)
    if share.told:
        tell(share.told)
    if executor == "inline":
        from sweeper.launch.inline import run_inline

        return _run(sweeping, share, share.fits_here(), listeners, run_inline)
    ray_tune, connection = _ray_modules(None)
    with connection.cluster(None):
        at_once = connection.trials_at_once(share)
        return _run(sweeping, share, at_once, listeners, partial(ray_tune.run_on_ray, share=share, at_once=at_once))


def _run_on_cluster(
    sweeping: Sweeping, address: str, listeners: Sequence[Listener], tell: Callable[[str], object]
) -> Stop | None:
    ray_tune, connection = _ray_modules(address)
    with connection.cluster(address, modules_to_ship(sweeping.experiment)) as head:
        from sweeper.launch.cluster import Cluster

        nodes = Cluster(sweeping, head, tell)
        at_once = nodes.share.most or nodes.places
        execute = partial(ray_tune.run_on_ray, share=nodes.share, at_once=at_once, nodes=nodes)
        return _run(sweeping, nodes.share, at_once, listeners, execute, nodes.kind)


def cluster_facts(address: str | None) -> str:
    """Join the cluster at `address`, or start one here, and tell what it has."""
    if address:
        check_answers(address)
    _, connection = _ray_modules(address)
    with connection.cluster(address):
        told: str = connection.facts()
    return told


def _ray_modules(address: str | None) -> tuple[ModuleType, ModuleType]:
    """The Ray executor and what starts Ray or joins it, imported so that a cluster of our own listens on loopback alone."""
    if address is None:
        # Named for other systems: Ray, when it is imported, then takes loopback for this machine's address on any.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    else:
        # In a minute, Ray's own, a wrong token would be told as no cluster.
        os.environ.setdefault("RAY_gcs_rpc_server_connect_timeout_s", "10")
    from sweeper.launch import connection, ray_tune

    return ray_tune, connection


def _run(
    sweeping: Sweeping,
    share: Share,
    at_once: int,
    listeners: Sequence[Listener],
    execute: Callable[[Driver], None],
    kind: "Kind | None" = None,
) -> Stop | None:
    machine = machine_for(sweeping, share, at_once, kind)
    driver = Driver(sweeping.sweep, sweeping.experiment, sweeping.search(machine.window), listeners)
    driver.remember(sweeping.records)
    with _halting_on_signals(driver) as received:
        execute(driver)
    if received or driver.trouble:
        return Stop(received[0] if received else None, driver.trouble, len(driver.running))
    return None


def store_experiment(sweep: Sweep, experiment: Experiment) -> None:
    """Keep the resolved experiment in the folder, for `resume` and for every reader; a password in it is left out."""
    uri = experiment.tracking.uri
    shown = replace(experiment, tracking=Tracking(uri and without_password(uri)))
    sweep.write_experiment(write_experiment(shown))


def machine_for(sweeping: Sweeping, share: Share, at_once: int, kind: "Kind | None" = None) -> Machine:
    """What the sweep's first machine decided, honoured here; decided now when the sweep begins.

    On a cluster it is decided for the kind of node on which alone trials then run.
    """
    from sweeper.training.machine import decide, honour

    machine = sweeping.sweep.machine()
    if machine is None:
        machine = replace(decide(share.device, share.cpus, at_once, kind), trials_a_gpu=share.trials_a_gpu)
        sweeping.sweep.write_machine(machine)
    if kind is None:
        honour(machine, sweeping.experiment.resources)
    return machine


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
