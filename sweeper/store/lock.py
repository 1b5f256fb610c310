"""One process at a time in a sweep's folder: a lock that the kernel lets go of when its holder dies; on S3, a lease."""

import errno
import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import filelock

from sweeper.store import lease
from sweeper.store.folder import Folder, StoreError

FILE, OWNER = ".lock", "owner.json"
NO_WRITING = (errno.EACCES, errno.EPERM, errno.EROFS)
PATIENCE_SECONDS = 1.0  # whoever asks whether it is held holds it for an instant


@contextmanager
def hold(folder: Folder, name: str, tell: Callable[[str], object] = print) -> Iterator[None]:
    """Hold the folder of the sweep `name` for this process. Raises StoreError that names who else holds it.

    On S3 a lease is held, which goes stale when its holder dies (see `sweeper.store.lease`; `tell` hears what it waits for); on
    other remote storage nothing keeps two apart.
    """
    if not folder.is_local:
        with _leased(folder, tell):
            yield
        return
    os.makedirs(folder.path, exist_ok=True)
    held = _file_lock(folder, PATIENCE_SECONDS)
    try:
        held.acquire()
    except filelock.Timeout:
        busy = f"another sweeper is running {name!r} ({_owner(folder)}). Wait for it, or stop it first."
        raise StoreError(busy) from None
    except OSError as error:
        if error.errno in NO_WRITING:
            raise StoreError(
                f"{folder.path} may not be written to ({error.strerror}). Allow that; or copy it, and give --storage the copy's"
            ) from error
        raise StoreError(
            f"{folder.at(FILE)} cannot be locked ({error.strerror}), so that two runs could not be kept apart. Mount this file "
            "system with locks (Lustre: -o flock), or give --storage another"
        ) from error
    try:
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        folder.write_json(OWNER, owner)
        yield
    finally:
        with suppress(OSError):  # of a file system that fails, what it failed at first is to be told
            folder.remove(OWNER)
        held.release()


def is_held(folder: Folder) -> bool:
    """Whether a live process holds the folder; whoever may read it may ask."""
    if folder.protocols & lease.SUPPORTED:
        return lease.is_held(folder)
    if not folder.is_local or not folder.exists(FILE):
        return False
    with open(folder.at(FILE), "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _file_lock(folder: Folder, patience_seconds: float) -> filelock.BaseFileLock:
    """Never a file that only stands there: the kernel would not remove it with its owner."""
    return filelock.FileLock(folder.at(FILE), patience_seconds, poll_interval=0.01, fallback_to_soft=False)


@contextmanager
def _leased(folder: Folder, tell: Callable[[str], object]) -> Iterator[None]:
    if not folder.protocols & lease.SUPPORTED:
        yield
        return
    held = lease.Lease(folder, tell)
    held.acquire()
    try:
        yield
    finally:
        held.release()


def _owner(folder: Folder) -> str:
    try:
        return folder.parsed(OWNER, "process {0[pid]} on {0[host]}, since {0[since]}".format)
    except FileNotFoundError:
        return "just starting"
