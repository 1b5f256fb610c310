"""Ray started on this machine alone, or a running cluster joined; and left, without waiting for it."""

import atexit
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from functools import partial
from pathlib import Path

import ray

from sweeper.launch.head import Head
from sweeper.launch.joining import connect, start
from sweeper.launch.share import Share
from sweeper.system.processes import children, descendants, kill_all

QUIET = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_FORCE_TRIAL_CLEANUP_S": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",
    "TUNE_STATE_REFRESH_PERIOD": "86400",  # each time Tune would wait for a lost head until Ray ends this process
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
# Task events are for a dashboard, and leaving Ray may wait 5 s to tell the last ones. Where workers begin ahead of need,
# `ray.init` keeps Python from hearing a signal until the last of them is up.
QUIET_HERE = {"RAY_task_events_report_interval_ms": "0", "RAY_prestart_worker_first_driver": "0"}
ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def cluster(address: str | None, modules: Sequence[str] = ()) -> Iterator[Head]:
    """Join the cluster at `address`, or start one on this machine alone; whatever Ray finds lying about is not joined.

    Takes files and packages, `modules`, along to the nodes of a joined cluster. Yields its head. Raises ClusterError when it
    cannot be joined.

    `timeout`, Slurm and systemd send SIGTERM to a whole family of processes, and a terminal that closes SIGHUP. A cluster
    of our own does not hear them (as Ray does with SIGINT): it is needed until the trials have saved, and ends with us.
    """
    if not address:
        _keep_token()
    quiet = QUIET if address else QUIET | QUIET_HERE
    os.environ.update({name: value for name, value in quiet.items() if name not in os.environ})
    others = children(os.getpid())
    before, handler = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING), signal.getsignal(signal.SIGTERM)
    initialise = partial(
        ray.init,
        address=address or "local",
        include_dashboard=False if address is None else None,
        runtime_env={"py_modules": list(modules)} if modules else None,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    try:
        connect(address, initialise) if address else start(initialise)
        signal.signal(signal.SIGTERM, handler)  # which first calls Ray's for a signal that has just come
    except SystemExit:  # while it starts Ray has its own handler of SIGTERM
        signal.signal(signal.SIGTERM, handler)
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # the driver tells of failures itself
    own = children(os.getpid()) - others
    head = Head(str(ray.get_runtime_context().gcs_address), _own_node(), is_own=not address)
    with _silence():
        try:
            yield head
        finally:
            head.leave()
            if head.is_silent:
                atexit.unregister(ray.shutdown)  # it would wait for the head
            else:
                threading.Thread(target=_end, args=(own,), name="ending Ray", daemon=True).start()
                ray.shutdown()


def _own_node() -> str:
    """The address of the raylet through which this process is connected."""
    own = ray.get_runtime_context().get_node_id()
    node = next(node for node in ray.nodes() if node["NodeID"] == own)  # type: ignore[no-untyped-call]
    return f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}"


def _keep_token() -> None:
    """Make the file of Ray's token ours alone, as yet empty if it is new: whoever reads it can join a cluster of ours.

    Ray itself makes it, and its folder, with the permissions of any file, and leaves those of a file that is there. Where the
    environment names another token, or none is wanted, it is left alone.
    """
    if any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE")):
        return
    token = Path(os.path.expanduser("~/.ray/auth_token"))
    with suppress(OSError):  # no home of ours, or another's file: Ray says so where it needs it
        token.parent.mkdir(mode=0o700, exist_ok=True)
        token.touch(mode=0o600)
        token.chmod(0o600)


@contextmanager
def _silence() -> Iterator[None]:
    """Ray tells of lost nodes on stdout, where data belong, of some only as it is left; the sweep does so itself."""
    with open(os.devnull, "w") as nothing, redirect_stdout(nothing):
        yield


def _end(processes: set[int]) -> None:
    """Kill Ray's own processes once we have left it: it would wait a second for each to hear SIGTERM."""
    while ray.is_initialized():
        time.sleep(0.01)
    for own in processes & children(os.getpid()):
        kill_all([own, *descendants(own)])


def facts() -> str:
    """What the connected cluster has."""
    nodes = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    size = f"{len(nodes)} node{'s' * (len(nodes) > 1)}"
    return f"Ray {ray.__version__}, {size}, {resources.get('CPU', 0):g} CPUs, {resources.get('GPU', 0):g} GPUs"


def trials_at_once(share: Share) -> int:
    """How many trials the cluster holds side by side. Raises ResourcesError when it never holds one."""
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return share.fits(resources.get("CPU", 0), resources.get("GPU", 0))
