"""What a machine decides for a sweep: device, precision, threads a trial, and how far the search looks back."""

import os

import torch

from sweeper.experiment import Resources
from sweeper.store import Machine


class MachineError(ValueError):
    """This machine cannot go on with a sweep that another began."""


def decide(resources: Resources, trials_at_once: int) -> Machine:
    """Decide for a sweep that begins here, with up to `trials_at_once` trials side by side."""
    device = "cuda" if torch.cuda.is_available() and resources.gpus_per_trial != 0 else "cpu"
    return Machine(
        device=device,
        processor=processor(device),
        precision="bfloat16" if has_fast_bfloat16(device) else "float32",
        threads=resources.cpus_per_trial,
        window=1 if trials_at_once == 1 else 2 * trials_at_once,
    )


def honour(machine: Machine) -> None:
    """Raise MachineError when this machine would compute other bits than the one the sweep began on."""
    if machine.device == "cuda" and not torch.cuda.is_available():
        raise MachineError("this sweep began on a GPU and none is here; its results would not be comparable")
    here = processor(machine.device)
    if here != machine.processor:
        raise MachineError(
            f"this sweep began on {machine.processor}, this machine has {here}; the results would differ in their last "
            "bits. Go on there, or give the experiment another name to begin anew here"
        )


def processor(device: str) -> str:
    """The vector instructions of the CPU, or the name of the GPU."""
    if device == "cuda":
        return str(torch.cuda.get_device_name())
    return str(torch.backends.cpu.get_cpu_capability()) + ("+AMX" if "amx_bf16" in cpu_flags() else "")


def has_fast_bfloat16(device: str) -> bool:
    """Whether bfloat16 runs in hardware: on GPUs from compute capability 8.0, on CPUs with AMX or AVX512-BF16."""
    if device == "cuda":
        return torch.cuda.get_device_capability() >= (8, 0)
    return bool({"amx_bf16", "avx512_bf16"} & cpu_flags())


def cpu_flags() -> set[str]:
    """The CPU's feature flags as Linux lists them; none elsewhere."""
    if not os.path.exists("/proc/cpuinfo"):
        return set()
    with open("/proc/cpuinfo") as file:
        return next((set(line.split()[2:]) for line in file if line.startswith("flags")), set())
