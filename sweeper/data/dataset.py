"""A prepared data set: arrays in a folder of the cache, opened as memory maps that all processes of a machine share.

    <cache>/prepared/<name>-<image_size>px-<fingerprint[:16]>/images.npy     uint8, NCHW
                                                              labels.npy     int64, N
                                                              samples.json   each image's name inside its source
                                                              about.json     the rest; written last

Axes: N images, C colour channels (always 3: RGB), H height, W width; images are square.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

FORMAT = 1
ARRAYS = ("images.npy", "labels.npy", "samples.json")


class DataError(ValueError):
    """Something about the images that their owner must see to; the message is for them."""


@dataclass(frozen=True)
class ClassName:
    """What people call a class and what its source calls it: "goldfish", "n01443537"; often the same."""

    name: str
    id: str


class Names(Sequence[str]):
    """The names of the images inside their source; the file is read at first use."""

    def __init__(self, file: Path, count: int) -> None:
        self._file, self._length = file, count

    @cached_property
    def _all(self) -> list[str]:
        names: list[str] = json.loads(self._file.read_bytes())
        return names

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        return self._all[index]


class Excluded(NamedTuple):
    """An image that was left out, its class's name, and why it cannot be decoded."""

    sample: str
    class_name: str
    reason: str


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and labels of one source: its training images first, then its own labelled validation or test images."""

    images_NCHW: NDArray[np.uint8]
    labels_N: NDArray[np.int64]
    samples: Sequence[str]
    classes: tuple[ClassName, ...]
    official_from: int
    fingerprint: str
    folder: Path
    excluded: tuple[Excluded, ...] = ()


def open_prepared(folder: Path) -> Dataset:
    """Map the arrays that `prepare` left in `folder`. Raises DataError when they are not there whole."""
    try:
        about = json.loads((folder / "about.json").read_bytes())
        _check(folder, about)
        return _mapped(folder, about)
    except (FileNotFoundError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"the prepared images in {folder} are not whole ({error}). Remove that folder; the next run makes it again."
        ) from error


def _check(folder: Path, about: dict[str, Any]) -> None:
    if about["format"] != FORMAT:
        raise DataError(f"format {about['format']}, this version of sweeper reads format {FORMAT}")
    for name in ARRAYS:
        size_bytes = (folder / name).stat().st_size
        if size_bytes != about["bytes"][name]:
            raise DataError(f"{name} has {size_bytes:,} bytes, not {about['bytes'][name]:,}")


def _mapped(folder: Path, about: dict[str, Any]) -> Dataset:
    images_NCHW = np.load(folder / "images.npy", mmap_mode="r")
    labels_N = np.load(folder / "labels.npy", mmap_mode="r")
    if list(images_NCHW.shape) != about["shape"] or len(labels_N) != len(images_NCHW):
        raise DataError(f"images of shape {images_NCHW.shape} and {len(labels_N)} labels, not {about['shape']}")
    return Dataset(
        images_NCHW=images_NCHW,
        labels_N=labels_N,
        samples=Names(folder / "samples.json", len(labels_N)),
        classes=tuple(ClassName(**fields) for fields in about["classes"]),
        official_from=about["official_from"],
        fingerprint=about["fingerprint"],
        folder=folder,
    )
