"""What models cost on this machine, remembered for a day: to import torch and to time a model takes seconds."""

import hashlib
import os
import platform
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sweeper.store.folder import Folder, StoreError
from sweeper.system.hardware import cores_here, cpu_facts
from sweeper.trial import canonical_json
from sweeper.versions import told_versions

LASTING_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Cost:
    """Of one model at one batch size. FLOPs count forward and backward, a multiply-add as two."""

    parameters: int
    gflop_per_image: float
    training_mib: float
    images_per_second: float


@dataclass(frozen=True)
class Measured:
    """A cost and when it was measured, in seconds since 1970."""

    cost: Cost
    at: float


def recall(cache: Path, asked: Mapping[str, Any]) -> Measured | None:
    """What was measured for the same question on this machine with this software within a day, if it was."""
    try:
        kept = Folder(str(cache / "costs")).parsed(
            _name(asked), lambda found: Measured(Cost(**found["cost"]), found["at"])
        )
    except (OSError, StoreError):  # not there, or damaged: it is measured anew
        return None
    return kept if 0 <= time.time() - kept.at < LASTING_SECONDS else None


def keep(cache: Path, asked: Mapping[str, Any], cost: Cost) -> Measured:
    """Remember a cost, and forget those that are too old. A full disk is no reason to fail: it is measured again then."""
    folder, measured = cache / "costs", Measured(cost, time.time())
    with suppress(OSError):  # another process may be forgetting the same
        for old in folder.glob("*"):
            if abs(measured.at - old.stat().st_mtime) > LASTING_SECONDS:
                old.unlink(missing_ok=True)
    with suppress(OSError):
        Folder(str(folder)).write_json(_name(asked), asdict(measured))
    return measured


def _name(asked: Mapping[str, Any]) -> str:
    here = {
        "software": told_versions(),
        "machine": [platform.node(), cpu_facts().get("model name"), cpu_facts().get("flags"), cores_here()],
        "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
    }
    return hashlib.sha256(canonical_json({"asked": asked, "here": here}).encode()).hexdigest()[:16] + ".json"
