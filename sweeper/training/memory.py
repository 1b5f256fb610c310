"""The most memory that a trial has held."""

from contextlib import suppress
from pathlib import Path

import torch


def forget_peak() -> None:
    """Forget what this process held before; where the system allows that to none, earlier trials' memory counts too."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mib(device: torch.device) -> float:
    """On the GPU of the trial's tensors, else of the whole process, which holds Python and its libraries too."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    import resource

    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    peaks_kib = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return next(iter(peaks_kib), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 2**10
