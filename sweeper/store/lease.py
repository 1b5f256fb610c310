"""A lock on object storage: a small object that its holder renews, and that others take once it has gone stale.

Every write is conditional (S3's If-None-Match and If-Match): of two that write at once, one is refused. Nobody's clock is
believed: who waits to take a lease over watches whether the object still changes. A holder that was cut off from the
storage for longer than that, or asleep, finds at its next renewal that it has lost the lease, and ends at once.
"""

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from sweeper.store.folder import Folder, StoreError
from sweeper.store.remote import is_unmet
from sweeper.system.stopping import leave_now

OVERTAKEN = 3  # the exit code of a run that another has taken over
RENEWAL_SECONDS = 5.0
STALE_SECONDS = 30.0
FILE = ".lock"
SUPPORTED = frozenset({"s3", "s3a"})


class Lease:
    """One process's hold of a folder on S3. `acquire` it, and `release` it in the end."""

    def __init__(self, folder: Folder, tell: Callable[[str], object]) -> None:
        self.folder, self.tell = folder, tell
        self.token, self.beats = secrets.token_hex(8), 0
        self.since = time.strftime("%Y-%m-%d %H:%M:%S")
        self.tag = ""
        self.has_ended = threading.Event()
        self.thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    def acquire(self) -> None:
        """Take the lease: at once when it is free or its holder is known dead, else once it has not changed for 30 s.

        Raises StoreError that names the holder when it is renewed meanwhile.
        """
        seen, seen_at = "", 0.0
        while not self._take(None):
            tag, holder = look(self.folder)
            if holder.get("token") == self.token:  # the answer to our own write was lost
                self.tag = tag
                break
            is_stale = seen == tag and time.monotonic() - seen_at > STALE_SECONDS
            if (is_stale or _is_over(holder)) and tag and self._take(tag):
                break
            if seen and tag and seen != tag:
                raise StoreError(f"another sweeper is running {self.name!r} ({_told(holder)}). Wait, or stop it first.")
            if not seen and tag:
                seen, seen_at = tag, time.monotonic()
                self.tell(f"held by {_told(holder)}: waiting up to {STALE_SECONDS:.0f} s to see whether it is alive")
            time.sleep(0.5)
        if self._take(None):
            self.tell(f"{self.folder.url}: this storage knows no conditional writes; never run a sweep twice at a time")
        self.thread.start()

    def release(self) -> None:
        self.has_ended.set()
        self.thread.join(RENEWAL_SECONDS)
        with suppress(StoreError, OSError):  # it goes stale by itself
            self._take(self.tag, is_released=True)

    @property
    def name(self) -> str:
        return self.folder.url.rpartition("/")[2]

    def _take(self, tag: str | None, is_released: bool = False) -> bool:
        """Write the object: where there is none, or over the one with that tag. Returns whether it was so."""
        self.beats += 1  # so that no two writes are alike, nor their tags
        content = {**_process(), "token": self.token, "since": self.since, "beats": self.beats, "released": is_released}
        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        try:
            answer = self.folder.ask("pipe_file", self.folder.at(FILE), json.dumps(content).encode(), **condition)
        except OSError as error:
            if is_unmet(error):
                return False
            raise
        self.tag = str(answer["ETag"])
        return True

    def _renew(self) -> None:
        while not self.has_ended.wait(RENEWAL_SECONDS):
            with suppress(StoreError, OSError):  # the storage is out; nobody else can take the lease either
                if self._take(self.tag) or self.has_ended.is_set():
                    continue
                tag, holder = look(self.folder)
                if holder.get("token") == self.token:
                    self.tag = tag
                    continue
                told = (
                    f"{_told(holder) if holder else 'someone'} has taken {self.name!r} over, as this process had not been "
                    f"heard of for {STALE_SECONDS:.0f} s; stopping here\n"
                )
                leave_now(OVERTAKEN, told.encode())  # what MLflow and the folder hold is the other's to say now


def look(folder: Folder) -> tuple[str, dict[str, Any]]:
    """The tag (ETag) of the lock object and its content; both empty where there is none.

    The content is read after the tag. If it was written anew in between, a write on condition of that tag is refused.
    """
    try:
        tag = str(folder.ask("info", folder.at(FILE))["ETag"])
        content = json.loads(folder.read(FILE))
    except FileNotFoundError:
        return "", {}
    except ValueError:  # damaged: whose it is nobody knows, but it goes stale like any other
        return tag, {}
    return tag, content if isinstance(content, dict) else {}


def is_held(folder: Folder) -> bool:
    """Whether a live process holds a folder, as far as the storage's own clock tells."""
    tag, holder = look(folder)
    if not tag or _is_over(holder):
        return False
    bucket, key, _ = folder.fs.split_path(folder.at(FILE))
    try:
        answer = folder.ask("call_s3", "head_object", Bucket=bucket, Key=key)
    except FileNotFoundError:
        return False
    now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    return bool((now - answer["LastModified"]).total_seconds() < STALE_SECONDS)


def _process() -> dict[str, Any]:
    """This process, told apart from any other's of the same id on another machine, in another container or later."""
    pid = os.getpid()
    return {"pid": pid, "host": socket.gethostname(), "where": _where(), "started": _started(pid)}


def _where() -> str:
    """The boot and the process namespace; empty where the system does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """When a process began, in the kernel's ticks; empty when it is gone."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state in "ZX" else rest[18]


def _is_over(holder: dict[str, Any]) -> bool:
    """Whether a lease was given back, or its holder ran where we do and is gone."""
    if holder.get("released"):
        return True
    is_here = bool(holder.get("where")) and holder.get("where") == _where()
    return is_here and _started(int(holder.get("pid", 0))) != holder.get("started")


def _told(holder: dict[str, Any]) -> str:
    return f"process {holder.get('pid', '?')} on {holder.get('host', '?')}, since {holder.get('since', '?')}"
