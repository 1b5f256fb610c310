"""A prepared data set: arrays in a folder of the cache, opened as memory maps that all processes of a machine share.

    <cache>/prepared/<name>-<image_size>px-<fingerprint[:16]>/images.npy     uint8, NCHW
                                                              labels.npy     int64, N
                                                              samples.json   each image's name inside its source
                                                              about.json     the rest, with checksums; written last
                                                              verified-...   that these were read through since boot

Axes: N images, C colour channels (always 3: RGB), H height, W width; images are square.
"""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from sweeper.store.folder import Folder
from sweeper.store.seals import opened_json

FORMAT = 2
ARRAYS = ("images.npy", "labels.npy", "samples.json")
BOOT = Path("/proc/sys/kernel/random/boot_id")  # Linux's; elsewhere a boot is like any other


class DataError(ValueError):
    """Something about the images that their owner must see to; the message is for them."""


class UnfitSettingsError(DataError):
    """Settings that do not fit the images, whenever they are tried."""


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
    """Images and labels of one source: its training images first, then its own labelled validation or test images.

    Where it has both, its test images come last, from `test_from` on.
    """

    images_NCHW: NDArray[np.uint8]
    labels_N: NDArray[np.int64]
    samples: Sequence[str]
    classes: tuple[ClassName, ...]
    official_from: int
    fingerprint: str
    folder: Path
    excluded: tuple[Excluded, ...] = ()
    test_from: int | None = None


def open_prepared(folder: Path) -> Dataset:
    """Map the arrays that `prepare` left in `folder`. Raises DataError when they are not there, bit for bit.

    They are read through once after each boot, and when one of the files has changed: a second for 1.2 GB.
    """
    try:
        about = opened_json((folder / "about.json").read_bytes())
        _check(folder, about)
        _verify(folder, about["checksums"])
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


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of each of the arrays' files."""
    found = {}
    for name in ARRAYS:
        with open(folder / name, "rb") as file:
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _verify(folder: Path, expected: dict[str, str]) -> None:
    """Read the arrays through, unless it was done since boot. Raises DataError when a bit of them is another."""
    mark, seen = _mark(folder)
    with suppress(OSError):
        if mark.read_bytes() == seen:
            return
    wrong = [name for name, checksum in checksums(folder).items() if checksum != expected[name]]
    if wrong:
        raise DataError(f"the checksum of {', '.join(wrong)} is wrong")
    _note(mark, seen)


def _mark(folder: Path) -> tuple[Path, bytes]:
    """Where it is noted that the arrays were read through since this machine's boot, and what tells these files."""
    boot = BOOT.read_text().strip() if BOOT.exists() else ""
    found = [(folder / name).stat() for name in ARRAYS]
    seen = [[one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns] for one in found]
    return folder / f"verified-{boot[:8]}", json.dumps(seen).encode()


def note_verified(folder: Path) -> None:
    """Spare the next to open these arrays, whoever it is, from reading them through."""
    _note(*_mark(folder))


def _note(mark: Path, seen: bytes) -> None:
    with suppress(OSError):  # the cache of someone else, or a full disk
        Folder(str(mark.parent)).write(mark.name, seen)


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
        test_from=about.get("test_from"),
    )
