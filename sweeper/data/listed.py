"""What a torchvision data set's own lists tell of an image that it cannot load: its label and its file."""

import os
from typing import Any

PAIRS = ("samples", "_samples", "imgs")  # of (file, label)
LABELS = ("targets", "_labels", "y")
FILES = ("_image_files", "_images")


def label_of(part: object, position: int) -> Any:
    """None where no list tells it."""
    found = [pair[1] for pair in _at(part, PAIRS, position)] + _at(part, LABELS, position)
    return found[0] if found else None


def file_of(part: object, position: int) -> str | None:
    found = [pair[0] for pair in _at(part, PAIRS, position)] + _at(part, FILES, position)
    return next((os.fspath(one) for one in found if isinstance(one, str | os.PathLike)), None)


def _at(part: object, names: tuple[str, ...], position: int) -> list[Any]:
    return [getattr(part, name)[position] for name in names if getattr(part, name, None) is not None]
