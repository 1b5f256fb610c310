"""Run a sweep: on Ray Tune, or in this process (`inline`)."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from types import ModuleType
from typing import NamedTuple

from sweeper.launch.driver import Driver, Listener
from sweeper.launch.head import Head
from sweeper.launch.joining import check_answers
from sweeper.launch.share import Share, here, share_of
from sweeper.launch.shipping import modules_to_ship
from sweeper.launch.sweeping import Sweeping, store_experiment
from sweeper.store import Machine
from sweeper.system.apart import Apart, Call
from sweeper.system.stopping import Stopping
from sweeper.training.machine import Kind, decide, honour, kind_here

__all__ = ["Driver", "Listener", "Stop", "Sweeping", "cluster_facts", "import_ray", "run", "store_experiment"]


class Stop(NamedTuple):
    """What stopped a sweep, a signal or the trouble of its storage, and how many trials had to be cut off within an epoch.

    `has_lost_head`: Ray, at its end, would wait for what is lost of it until it ends this process with a code of its own.
    """

    code: int | None
    trouble: str | None
    cut_off: int
    has_lost_head: bool = False


def run(
    sweeping: Sweeping,
    executor: str,
    address: str | None,
    listeners: Sequence[Listener],
    tell: Callable[[str], object] = lambda told: None,
    stopping: Stopping | None = None,
    apart: Apart | None = None,
) -> Stop | None:
    """Run what is left of a sweep; the caller holds its lock, and hears signals. Returns what stopped it, if anything did.

    `apart` looks at what has to be looked at before trials begin, and gets ready for the end while the last ones run. What was
    measured to decide how trials share the machine, and what becomes of a cluster's nodes, is told by `tell`. The folder keeps
    what it had before where the sweep cannot be run.

    Raises MachineError when this machine cannot go on with what another began, ClusterError for what is wrong with a cluster.
    """
    stopping, apart = stopping or Stopping(), apart or Apart(is_here=True)
    if executor == "ray" and address:
        return _run_on_cluster(sweeping, address, listeners, tell, stopping, apart)
    share = share_of(sweeping, here(sweeping, apart))
    if share.told:
        tell(share.told)
    if executor == "inline":
        from sweeper.launch.inline import run_inline

        driver = _driver(sweeping, share, share.fits_here(), listeners, False, apart)
        return _run(driver, run_inline, stopping, is_here=True)
    ray_tune, connection = import_ray(None)
    with connection.cluster(None) as head:
        at_once = connection.trials_at_once(share)
        driver = _driver(sweeping, share, at_once, listeners, share.is_part_of_a_gpu, apart)
        execute = partial(ray_tune.run_on_ray, share=share, at_once=at_once, head=head)
        return _run_on(head, driver, execute, stopping)


def _run_on_cluster(
    sweeping: Sweeping,
    address: str,
    listeners: Sequence[Listener],
    tell: Callable[[str], object],
    stopping: Stopping,
    apart: Apart,
) -> Stop | None:
    ray_tune, connection = import_ray(address)
    with connection.cluster(address, modules_to_ship(sweeping.experiment)) as head:
        from sweeper.launch.cluster import Cluster

        nodes = Cluster(sweeping, head, tell)
        at_once = nodes.share.most or nodes.places
        execute = partial(ray_tune.run_on_ray, share=nodes.share, at_once=at_once, head=head, nodes=nodes)
        driver = _driver(sweeping, nodes.share, at_once, listeners, nodes.share.is_part_of_a_gpu, apart, nodes.kind)
        return _run_on(head, driver, execute, stopping)


def cluster_facts(address: str | None) -> str:
    """Join the cluster at `address`, or start one here, and tell what it has."""
    if address:
        check_answers(address)
    _, connection = import_ray(address)
    with connection.cluster(address):
        told: str = connection.facts()
    return told


def import_ray(address: str | None) -> tuple[ModuleType, ModuleType]:
    """The Ray executor and what starts Ray or joins it, imported so that a cluster of our own listens on loopback alone."""
    # While it starts, Ray would take SIGTERM for a crash, tell of it, and let SIGALRM end this process in three seconds.
    os.environ.setdefault("RAY_DISABLE_FAILURE_SIGNAL_HANDLER", "1")
    # Under `uv run` Ray would send the current folder to every worker, and start each through uv.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    if not address:
        # Named for other systems: Ray, when it is imported, then takes loopback for this machine's address on any.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    else:
        # In a minute, Ray's own, a wrong token would be told as no cluster.
        os.environ.setdefault("RAY_gcs_rpc_server_connect_timeout_s", "10")
    from sweeper.launch import connection, ray_tune

    return ray_tune, connection


def _driver(
    sweeping: Sweeping,
    share: Share,
    at_once: int,
    listeners: Sequence[Listener],
    shares_gpus: bool,
    apart: Apart,
    kind: Kind | None = None,
) -> Driver:
    machine = machine_for(sweeping, share, at_once, apart, kind)
    if machine.device == "cuda":
        apart.end()  # it may hold some of a GPU's memory
    search = sweeping.search(machine.window)
    sweeping.note()  # now that nothing speaks against running it
    sweeping.keep(search)
    driver = Driver(sweeping.sweep, sweeping.experiment, search, listeners, shares_gpus, apart.begin_rest)
    driver.remember(sweeping.own(search))
    return driver


def _run_on(head: Head, driver: Driver, execute: Callable[[Driver], None], stopping: Stopping) -> Stop | None:
    stop = _run(driver, execute, stopping, is_here=False)
    return stop and stop._replace(has_lost_head=head.told_lost is not None)


def _run(driver: Driver, execute: Callable[[Driver], None], stopping: Stopping, is_here: bool) -> Stop | None:
    with stopping.halting(driver.halt, is_cutting=is_here):
        execute(driver)
    if stopping.received or driver.trouble:
        for listener in driver.listeners:  # before Ray is left, which on a busy machine takes seconds
            listener.stopped()
        return Stop(stopping.code if stopping.received else None, driver.trouble, driver.training)
    return None


def machine_for(sweeping: Sweeping, share: Share, at_once: int, call: Call, kind: Kind | None = None) -> Machine:
    """What the sweep's first machine decided, honoured here; decided now when the sweep begins.

    On a cluster it is decided for the kind of node on which alone trials then run.
    """
    machine = sweeping.sweep.machine()
    if machine is None:
        machine = replace(
            decide(kind or call(kind_here, share.device), share.cpus, at_once), trials_a_gpu=share.trials_a_gpu
        )
        sweeping.sweep.write_machine(machine)
    if kind is None:
        call(honour, machine, sweeping.experiment.resources)
    return machine
