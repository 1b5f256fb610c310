"""A trial's resumable state in one file: torch's zip format with its SHA-256 in the zip's comment.

Any `torch.load(..., weights_only=True)` reads it; `load` refuses it when a bit has changed.
"""

import hashlib
import io
import struct
from pickle import UnpicklingError
from typing import Any

import torch

from sweeper.store import Folder, StoreError
from sweeper.store.trial_folder import CheckpointError

_PREFIX = b"sha256:"
_COMMENT_BYTES = len(_PREFIX) + 64
_TAIL_BYTES = 2 + _COMMENT_BYTES


def save(folder: Folder, name: str, state: dict[str, Any]) -> None:
    """Write tensors and plain values whole, with their checksum."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    tail = _tail(buffer.getbuffer()[:-2])  # a zip ends with the length of its comment, here 0 in two bytes
    buffer.seek(-2, io.SEEK_END)
    buffer.write(tail)
    folder.write(name, buffer.getvalue())


def load(folder: Folder, name: str, remedy: str = "Remove it to train this trial from the start") -> dict[str, Any]:
    """Read what `save` wrote. Raises CheckpointError that names the file, and the remedy, when it is torn or damaged.

    And StoreError when it holds what could run code.
    """
    content = folder.read(name)
    if content[-_TAIL_BYTES:] != _tail(memoryview(content)[:-_TAIL_BYTES]):
        raise CheckpointError(f"{folder.told(name)} is damaged: its checksum is wrong. {remedy}")
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise StoreError(
            f"{folder.told(name)} holds more than tensors and plain values, and was not loaded, for that could run code. {remedy}"
        ) from error
    return state


def _tail(body: memoryview) -> bytes:
    """The zip's comment, after its length."""
    return struct.pack("<H", _COMMENT_BYTES) + _PREFIX + hashlib.sha256(body).hexdigest().encode()
