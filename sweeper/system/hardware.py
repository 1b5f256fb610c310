"""What this machine has, told without importing torch where that can be: the import takes seconds."""

import os
import runpy
import sys
from functools import cache
from glob import glob
from importlib.util import find_spec
from pathlib import Path

GPU_DEVICES = ("/dev/nvidia*", "/dev/nvgpu*", "/dev/nvhost*", "/dev/dxg", "/dev/kfd")  # Linux, Jetson, WSL, ROCm


def cores_here() -> int:
    """The CPUs that this process may run on."""
    return len(os.sched_getaffinity(0))


def gpus_here() -> int:
    """The GPUs that torch can use. It is not asked on a Linux whose kernel shows no GPU."""
    if sys.platform == "linux" and "torch" not in sys.modules and not any(map(glob, GPU_DEVICES)):
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0  # a count alone has those that do not start


@cache
def torch_version() -> str:
    """As torch itself tells it, of what it was built for too ("2.15.0+cu130")."""
    if "torch" in sys.modules:
        return str(sys.modules["torch"].__version__)
    (place,) = find_spec("torch").submodule_search_locations  # type: ignore[union-attr, misc]
    return str(runpy.run_path(str(Path(place, "version.py")))["__version__"])


def cpu_flags() -> set[str]:
    """The CPU's feature flags."""
    return set(cpu_facts().get("flags", "").split())


@cache
def cpu_facts() -> dict[str, str]:
    """What Linux says of the first CPU; nothing elsewhere."""
    if not os.path.exists("/proc/cpuinfo"):
        return {}
    first, _, _ = Path("/proc/cpuinfo").read_text().partition("\n\n")
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
