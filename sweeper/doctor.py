"""What of this machine a sweep needs, each tried for real: `sweeper doctor`."""

import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path

from sweeper.data import default_cache
from sweeper.launch import cluster_facts
from sweeper.reading.address import wrong_address
from sweeper.store import Folder, StoreError
from sweeper.text.redaction import redacted
from sweeper.tracking import stored_uri
from sweeper.tracking.names import sqlite_path
from sweeper.tracking.pages import unanswered

GIB, MIB = 2**30, 2**20
LITTLE_DISK, LITTLE_SHARED = 2 * GIB, 256 * MIB
LIBRARIES = ("sweeper", "torch", "torchvision", "ray", "optuna", "mlflow")


class Health(StrEnum):
    """How a check ended; only trouble keeps a sweep from running."""

    FINE = "fine"
    NOTE = "note"
    TROUBLE = "trouble"


@dataclass(frozen=True)
class Finding:
    """What a check found, with what to do about it unless all is fine."""

    subject: str
    health: Health
    told: str


Check = Callable[[], tuple[Health, str]]


def examine(storage: str, uri: str | None, address: str | None) -> Iterator[Finding]:
    """Try what a sweep with this storage, tracking store and Ray cluster (None: one of this machine) would need."""
    checks: dict[str, Check] = {
        "versions": _versions,
        "processor": _processor,
        "gpu": _gpu,
        "memory": _memory,
        "home": lambda: _place(str(Path.home()), "Ray keeps its token there: set HOME to a folder of yours"),
        "cache": lambda: _place(str(default_cache()), "set SWEEPER_CACHE to a folder with room"),
        "storage": lambda: _place(storage, "name another with --storage or SWEEPER_STORAGE"),
        "tracking": lambda: _tracking(uri or stored_uri(Folder(storage).path)),
        "ray": lambda: _ray(address),
    }
    for subject, check in checks.items():
        try:
            yield Finding(subject, *check())
        except Exception as error:  # whatever keeps a check from ending is what it found
            yield Finding(subject, Health.TROUBLE, redacted(" ".join(f"{type(error).__name__}: {error}".split())))


def _versions() -> tuple[Health, str]:
    told = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return Health.FINE, f"Python {sys.version.split()[0]}, {told}"


def _processor() -> tuple[Health, str]:
    from sweeper.system.hardware import cores_here
    from sweeper.training.machine import has_fast_bfloat16, processor

    precision = "bfloat16" if has_fast_bfloat16("cpu") else "float32"
    return Health.FINE, f"{cores_here()} cores of {processor('cpu')}; precision auto is {precision}"


def _gpu() -> tuple[Health, str]:
    import torch

    if torch.cuda.is_available():
        found = [torch.cuda.get_device_properties(at) for at in range(torch.cuda.device_count())]
        return Health.FINE, ", ".join(f"{gpu.name} with {gpu.total_memory / GIB:.0f} GiB" for gpu in found)
    if not (os.path.exists("/dev/nvidiactl") or shutil.which("nvidia-smi")):
        return Health.FINE, "none; trials run on the CPU"
    built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
    why = f"torch {torch.__version__}, built {built}, cannot use it; compare with `nvidia-smi`"
    return Health.TROUBLE, f"an NVIDIA driver is here, but {why}"


def _memory() -> tuple[Health, str]:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    told = f"{total / GIB:.0f} GiB"
    if not os.path.isdir("/dev/shm"):  # noqa: S108 - looked at, not written to
        return Health.FINE, told
    shared = shutil.disk_usage("/dev/shm").total  # noqa: S108 - the same
    if shared < LITTLE_SHARED:
        return (
            Health.NOTE,
            f"{told}, but {shared / MIB:.0f} MiB shared: give the container --shm-size 1g, Ray is slow else",
        )
    return Health.FINE, f"{told}, {shared / GIB:.1f} GiB of it may be shared"


def _place(url: str, remedy: str) -> tuple[Health, str]:
    """Whether a file can be written there, leaving nothing behind; and the room, where there is a disk."""
    folder = Folder(url)
    if folder.is_local:
        there = next(parent for parent in (Path(folder.path), *Path(folder.path).parents) if parent.exists())
        folder = Folder(str(there))
    probe = f".sweeper-doctor-{secrets.token_hex(4)}"
    try:
        folder.write(probe, b"?")
        folder.remove(probe)
    except (OSError, StoreError) as error:
        return Health.TROUBLE, f"{redacted(url)} cannot be written to ({redacted(str(error))}); {remedy}"
    if not folder.is_local:
        return Health.FINE, redacted(folder.url)
    free = shutil.disk_usage(folder.path).free
    told = f"{os.path.abspath(url)}, {free / GIB:.1f} GiB free"
    return (Health.NOTE, f"{told}; {remedy}") if free < LITTLE_DISK else (Health.FINE, told)


def _tracking(uri: str) -> tuple[Health, str]:
    if told := wrong_address(uri):
        return Health.TROUBLE, told
    file = sqlite_path(uri)
    if file is not None and not file.exists():
        return Health.FINE, f"{redacted(uri)}, made by the first sweep"
    trouble = unanswered(uri)
    if trouble:
        remedy = "Sweeps run without it and end with exit code 4; `sweeper sync` publishes them later"
        return Health.NOTE, f"{trouble}. {remedy}"
    return Health.FINE, redacted(uri)


def _ray(address: str | None) -> tuple[Health, str]:
    begun = time.monotonic()
    told = cluster_facts(address)
    return Health.FINE, f"{'joined' if address else 'started'} in {time.monotonic() - begun:.1f} s: {told}"
