"""A trial's resumable state in one file: torch's zip format with its SHA-256 in the zip's comment.

Any `torch.load(..., weights_only=True)` reads it; `load` refuses it when a bit has changed.
"""

import hashlib
import io
import struct
from typing import Any

import torch

from sweeper.store import Folder, StoreError

_PREFIX = b"sha256:"
_COMMENT_BYTES = len(_PREFIX) + 64


def save(folder: Folder, name: str, state: dict[str, Any]) -> None:
    """Write tensors and plain values whole, with their checksum."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    body = buffer.getbuffer()[:-2]  # a zip ends with the length of its comment, here 0 in two bytes
    comment = _PREFIX + hashlib.sha256(body).hexdigest().encode()
    folder.write(name, b"".join((body, struct.pack("<H", _COMMENT_BYTES), comment)))


def load(folder: Folder, name: str) -> dict[str, Any]:
    """Read what `save` wrote. Raises StoreError that names the file when it is torn or damaged."""
    content = folder.read(name)
    body, comment = content[: -_COMMENT_BYTES - 2], content[-_COMMENT_BYTES:]
    if comment != _PREFIX + hashlib.sha256(body).hexdigest().encode():
        damaged = f"{folder.at(name)} is damaged: its checksum is wrong. Remove it to train this trial from the start"
        raise StoreError(damaged)
    state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return state
