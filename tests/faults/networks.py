"""Networks of a user's own that break, or take their time, in the way asked for."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from tests.tiny import linear

BREAKS_AFTER = 8  # steps: within the second epoch


class VerySlow(nn.Module):
    """`linear` that takes three seconds for each batch."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.inner = linear(classes)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        time.sleep(3)
        logits_NK: Tensor = self.inner(images_NCHW)
        return logits_NK


class OneLongStep(nn.Module):
    """`linear` that multiplies matrices for half a minute and more before its first batch, in one call."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.inner = linear(classes)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        if self.training:
            many = torch.ones(14000, 14000)
            torch.mm(many, torch.mm(many, many))
        logits_NK: Tensor = self.inner(images_NCHW)
        return logits_NK


class Breaking(nn.Module):
    """`linear` that breaks in training; notes are in the folder named by SWEEPER_TEST_NOTES."""

    def __init__(self, classes: int, how: str) -> None:
        super().__init__()
        if how not in WAYS:
            raise ValueError(f"{how} is built wrong")
        self.inner, self.how, self.steps = linear(classes), how, 0
        self.notes = Path(os.environ["SWEEPER_TEST_NOTES"])

    def forward(self, images_NCHW: Tensor) -> Tensor:
        self.steps += self.training
        if self.training and (self.steps > BREAKS_AFTER or self.how in NOTING):
            WAYS[self.how](self.notes)
        logits_NK: Tensor = self.inner(images_NCHW)
        return logits_NK


class Slowed(nn.Module):
    """`linear` that takes a twentieth of a second for each batch."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.inner = linear(classes)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        time.sleep(0.05)
        logits_NK: Tensor = self.inner(images_NCHW)
        return logits_NK


def slowed(classes: int) -> nn.Module:
    return Slowed(classes)


def very_slow(classes: int) -> nn.Module:
    return VerySlow(classes)


def one_long_step(classes: int) -> nn.Module:
    return OneLongStep(classes)


def breaking(classes: int, how: str) -> nn.Module:
    return Breaking(classes, how)


def is_asked(notes: Path) -> bool:
    """Whether to break now: always where there is a note `always`; where there is a note `once`, one network of all."""
    try:
        (notes / "once").unlink()
    except FileNotFoundError:
        return (notes / "always").exists()
    return True


def killed(notes: Path) -> None:
    if is_asked(notes):
        os.kill(os.getpid(), signal.SIGKILL)


def segmentation_fault(notes: Path) -> None:
    if is_asked(notes):
        ctypes.string_at(0)


def no_memory(notes: Path) -> None:
    if is_asked(notes):
        raise MemoryError("not enough")


def leaves(notes: Path) -> None:
    if is_asked(notes):
        sys.exit(5)


def at_epoch_2(notes: Path) -> None:
    if is_asked(notes):
        raise ValueError("at epoch 2\nof the test")


def moves_storage(notes: Path) -> None:
    """Renames the folder `storage` beside the notes."""
    if is_asked(notes):
        (notes.parent / "storage").rename(notes.parent / "moved")


def none(notes: Path) -> None:
    """Nothing."""


def crowded(notes: Path) -> None:
    """Runs out of the memory of a GPU that it does not have to itself."""
    import ray

    if ray.get_runtime_context().get_assigned_resources().get("GPU", 0) < 1:
        raise torch.OutOfMemoryError("CUDA out of memory. (for a test)")


def counts_its_steps(notes: Path) -> None:
    """Adds a byte to the file `steps`, at whose end every process writes."""
    with open(notes / "steps", "ab", buffering=0) as file:
        file.write(b".")


def notes_its_process(notes: Path) -> None:
    time.sleep(0.02)
    temporary = notes / f"{os.getpid()}.tmp"
    temporary.write_text(str(os.getpid()))
    temporary.replace(notes / "process")


WAYS: dict[str, Callable[[Path], None]] = {
    "none": none,
    "killed": killed,
    "segmentation_fault": segmentation_fault,
    "no_memory": no_memory,
    "leaves": leaves,
    "at_epoch_2": at_epoch_2,
    "moves_storage": moves_storage,
    "crowded": crowded,
    "counts_its_steps": counts_its_steps,
    "notes_its_process": notes_its_process,
}
NOTING = ("counts_its_steps", "notes_its_process")
