"""What a machine decides for a sweep: device, precision, threads a trial, and how far the search looks back."""

import gc
import os
from collections import defaultdict
from functools import cache
from typing import NamedTuple

import sweeper
from sweeper.experiment import Resources
from sweeper.store import Machine
from sweeper.system.hardware import cpu_facts, cpu_flags, gpus_here, torch_version


class MachineError(ValueError):
    """This machine cannot go on with a sweep that another began."""


class Kind(NamedTuple):
    """What of a machine changes the last bits of what it computes, and how fast bfloat16 is there."""

    device: str
    processor: str
    has_fast_bfloat16: bool


def kind_here(device: str) -> Kind:
    """This machine's kind when trials run on its `device`, "cpu" or "cuda". Raises MachineError where its GPUs are of several."""
    if device == "cuda":
        _check_alike()
    return Kind(device, processor(device), has_fast_bfloat16(device))


def _check_alike() -> None:
    import torch

    numbers, given = defaultdict(list), os.environ.get("CUDA_VISIBLE_DEVICES")
    visible = given.split(",") if given else [str(number) for number in range(torch.cuda.device_count())]
    for position in range(torch.cuda.device_count()):
        numbers[torch.cuda.get_device_name(position)].append(visible[position])
    if len(numbers) > 1:
        kinds = ", ".join(f"{name} (CUDA_VISIBLE_DEVICES={','.join(own)})" for name, own in numbers.items())
        raise MachineError(
            f"GPUs of several kinds are here, and results would differ in their last bits. Choose one: {kinds}"
        )


def decide(kind: Kind, threads: int, trials_at_once: int) -> Machine:
    """Decide for a sweep that begins on machines of a kind, with up to `trials_at_once` trials of so many threads."""
    return Machine(
        device=kind.device,
        processor=kind.processor,
        precision="bfloat16" if kind.has_fast_bfloat16 else "float32",
        threads=threads,
        window=1 if trials_at_once == 1 else 2 * trials_at_once,
        software=software(),
    )


def honour(machine: Machine, resources: Resources) -> None:
    """Raise MachineError when this machine would compute other bits than the one the sweep began on."""
    honour_settings(machine, resources)
    if machine.device == "cuda" and not gpus_here():
        raise MachineError("this sweep began on a GPU and none is here; its results would not be comparable")
    here = kind_here(machine.device).processor
    if here != machine.processor:
        raise MachineError(
            f"this sweep began on {machine.processor}, this machine has {here}; the results would differ in their last "
            "bits. Go on there, or give the experiment another name to begin anew here"
        )


def honour_settings(machine: Machine, resources: Resources) -> None:
    """Raise MachineError when the file's resources or this software would compute other bits than the sweep began with."""
    if machine.device == "cuda" and resources.gpus_per_trial == 0:
        raise MachineError(
            "this sweep began on a GPU and resources.gpus_per_trial is 0; its results would not be comparable. "
            "Set it to auto, or give the experiment another name to begin anew"
        )
    if machine.software not in ("", software()):
        raise MachineError(
            f"this sweep began with {machine.software}, here is {software()}; their results may differ. Go on with those "
            "versions, or give the experiment another name to begin anew with these"
        )


def told_unfit(machine: Machine | None) -> str | None:
    """Why this machine is not of the kind that a sweep runs on, if it is not."""
    if machine is None or _processor_here(machine.device) == machine.processor:
        return None
    return f"it has {_processor_here(machine.device)}, and the sweep runs on {machine.processor}"


@cache
def _processor_here(device: str) -> str:
    return processor(device)


def settle(machine: Machine) -> None:
    """Make this process compute as the sweep's machine decided, and fast."""
    import torch

    # A large gradient's memory comes anew from the kernel at each step: in pages of 2 MiB that is 1.4 times faster for
    # AlexNet. torch looks at this when it first allocates a tensor.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    torch.set_num_threads(machine.threads)
    # The momentum of dead units fades into denormal numbers, on which a CPU is ten times slower.
    torch.set_flush_denormal(True)
    torch.backends.cudnn.allow_tf32 = False  # `precision: float32` is that, in convolutions too
    torch.backends.cudnn.deterministic = True  # a resumed trial computes as one that was never stopped
    if machine.device == "cuda":
        if torch.cuda.is_initialized() and machine.trials_a_gpu > 1:  # type: ignore[no-untyped-call]
            gc.collect()
            torch.cuda.empty_cache()  # an earlier trial's memory here, which the GPU's other trials may need
        torch.cuda.init()  # type: ignore[no-untyped-call]
        torch.cuda.reset_peak_memory_stats()


def software() -> str:
    """The versions of what computes a trial."""
    return f"sweeper {sweeper.__version__}, torch {torch_version()}"


def processor(device: str) -> str:
    """The maker of the CPU and its vector instructions, by which libraries choose their kernels; or the GPU's name."""
    import torch

    if device == "cuda":
        return str(torch.cuda.get_device_name())
    extensions = [name for flag, name in (("avx512_bf16", "BF16"), ("amx_bf16", "AMX")) if flag in cpu_flags()]
    instructions = "+".join([torch.backends.cpu.get_cpu_capability(), *extensions])
    return f"{cpu_facts().get('vendor_id', 'CPU')} {instructions}"


def has_fast_bfloat16(device: str) -> bool:
    """Whether bfloat16 runs in hardware: on GPUs from compute capability 8.0, on CPUs with AMX or AVX512-BF16."""
    if device == "cuda":
        import torch

        return torch.cuda.get_device_capability() >= (8, 0)
    return bool({"amx_bf16", "avx512_bf16"} & cpu_flags())
