"""Joining a running Ray cluster: everything that can be wrong with it is told within seconds, before a trial runs."""

import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ANSWER_SECONDS = 5.0
REFUSED = ("InvalidAuthToken", "Unauthenticated")
TOKEN = "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH (or RAY_AUTH_TOKEN, or ~/.ray/auth_token)"  # noqa: S105 - names


class ClusterError(ValueError):
    """Something about a cluster that keeps a sweep from running on it."""


def check_answers(address: str) -> None:
    """Raise ClusterError when there can be no cluster at an address, or this machine cannot drive it."""
    if address != "auto":
        if "://" in address:
            raise ClusterError(
                f"given --address {address}, allowed HOST:PORT or auto. A sweep is driven from a node of the cluster, not by "
                "Ray's client: run the command on a node, or with `ray job submit -- sweeper run ...`"
            )
        host, port = host_and_port(address)
        try:
            socket.create_connection((host, port), ANSWER_SECONDS).close()
        except OSError as error:
            raise ClusterError(
                f"no Ray cluster answers at {address} ({error}). Start one with `ray start --head`, or give its address; "
                "left out, the sweep runs on this machine alone"
            ) from error
    if sys.platform.startswith("linux") and not any(raylets()):
        raise ClusterError(
            f"no Ray node runs on this machine, so that it cannot drive the cluster at {address}. Run the command on one of the "
            f"cluster's nodes, or make this machine one: ray start --address={address} --num-cpus=0"
        )


def host_and_port(address: str) -> tuple[str, int]:
    """The two parts of an address, "[::1]:6379" too. Raises ClusterError for what is none."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ClusterError(f"given --address {address}, allowed HOST:PORT (Ray's own port is 6379) or auto")
    return host.strip("[]"), int(port)


def raylets() -> Iterator[Path]:
    """The folder in /proc of each raylet that runs here; none where Linux does not tell."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended
            # Bytes, for the kernel keeps 15 of them and may cut a name within a letter.
            if (process / "comm").read_bytes() == b"raylet\n":
                yield process


def connect(address: str, initialise: Callable[[], object]) -> None:
    """Call Ray's `init`, and raise what it raises as a ClusterError that says what to do."""
    with _stderr() as said:
        try:
            initialise()
        except Exception as error:  # Ray raises ConnectionError, RuntimeError, ValueError and its own
            raise ClusterError(_told(address, error, said())) from error


def start(initialise: Callable[[], object]) -> None:
    """Call Ray's `init` for a cluster of our own. Raises ClusterError when this machine is too busy for it."""
    try:
        initialise()
    except Exception as error:
        if "timed out during startup" not in str(error):
            raise
        raise ClusterError(
            "Ray did not start within the half minute that it gives itself; this machine is too busy, or out of memory. Run again"
        ) from error


def _told(address: str, error: Exception, said: str) -> str:
    if any(word in said for word in REFUSED):
        return f"the cluster at {address} refuses this machine's token. Give it the cluster's: {TOKEN}"
    if type(error).__name__ == "AuthenticationError":
        return f"there is no token to join the cluster at {address} with. Give it the cluster's: {TOKEN}"
    if "Version mismatch" in str(error):
        return f"the cluster at {address} has other versions: {' '.join(str(error).split())}"
    if address == "auto":
        return "no Ray cluster was found from this machine. Give its address: --address HOST:PORT"
    return f"cannot join the cluster at {address} ({type(error).__name__}: {' '.join(str(error).split())})"


@contextmanager
def _stderr() -> Iterator[Callable[[], str]]:
    """Keeps what is written to stderr, also by C++; yields what reads it."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield lambda: os.pread(file.fileno(), 10**6, 0).decode(errors="replace")
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)


def has_no_token_authentication() -> bool:
    """Whether the node of the cluster that runs on this machine lets everyone in who reaches it."""
    for process in raylets():
        with suppress(OSError):  # it has just ended, or is another user's
            return b"RAY_AUTH_MODE=token" not in (process / "environ").read_bytes().split(b"\0")
    return False
