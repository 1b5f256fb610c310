"""Named data sets as uint8 arrays: found or downloaded, decoded once into the cache, memory-mapped ever after.

`prepare` looks a data set up by a stamp of its source (paths, sizes, times) and so reads no image that it has read
before; the stamp leads to the fingerprint of the content, which names the prepared folder.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeper.data import arrays, folder, tiny_imagenet
from sweeper.data.dataset import FORMAT, ClassName, DataError, Dataset, Excluded, UnfitSettingsError, open_prepared
from sweeper.data.folder import told_passed_over
from sweeper.data.prepared import CorruptError, make, open_whole, told_excluded
from sweeper.data.source import Contents, Source, digest
from sweeper.store.folder import Folder, StoreError

if TYPE_CHECKING:  # pydantic is half of the time that importing this package would take
    from sweeper.experiment import Data

__all__ = [
    "DATASETS",
    "ClassName",
    "DataError",
    "Dataset",
    "Excluded",
    "UnfitSettingsError",
    "default_cache",
    "open_prepared",
    "passed_over",
    "prepare",
    "prepare_at",
    "told_excluded",
    "told_passed_over",
]

# Any other name is that of a class in torchvision.datasets.
DATASETS: dict[str, Callable[["Data", Path], Source]] = {
    "tiny-imagenet": tiny_imagenet.find,
    "tiny-image10": tiny_imagenet.find_first_ten,
    "digits": arrays.find_digits,
    "folder": folder.find,
}


def default_cache() -> Path:
    """SWEEPER_CACHE, else `sweeper` in XDG_CACHE_HOME, else in ~/.cache."""
    if given := os.environ.get("SWEEPER_CACHE"):
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "sweeper"


def prepare(data: "Data", cache: Path) -> Dataset:
    """Find, or download, and decode the images of `data`, once; from then on open what is there.

    Images that do not decode are left out under `on_corrupt: skip`, and the rest is the data set that it would be had they
    been removed. Concurrent callers end with one good copy. Raises DataError for what its user can mend, CorruptError
    for images that do not decode, OSError for a full disk.
    """
    cache = cache.absolute()
    source = DATASETS.get(data.name, arrays.find_torchvision)(data, cache)
    skips = ("skip",) if data.on_corrupt == "skip" else ()
    stamp = digest([(FORMAT, data.name, data.classes, source.stamp(), *skips)])[:32]
    stamps = Folder(str(cache / "stamps"))
    if stamped := _read_stamp(stamps, stamp):
        found = open_whole(_folder(data, cache, stamped["fingerprint"]))
        if found:
            return replace(found, excluded=tuple(Excluded(*row) for row in stamped["excluded"]))
    dataset = _make(data, cache, source)
    stamps.write_json(stamp, {"fingerprint": dataset.fingerprint, "excluded": dataset.excluded})
    return dataset


def prepare_at(access: "Data", data: "Data") -> Dataset:
    """The images of a trial's `data`, from the default cache; read with the `root` and `on_corrupt` of the file, `access`."""
    return prepare(data.taken_as(access), default_cache())


def passed_over(access: "Data", data: "Data") -> list[str]:
    """The files beside a trial's images that are not taken for images; `access` as in `prepare_at`."""
    return folder.passed_over(data.taken_as(access)) if data.name == "folder" else []


def _make(data: "Data", cache: Path, source: Source) -> Dataset:
    """Decode, and where images do not and may be skipped, decode what is left."""

    def made(contents: Contents) -> Dataset:
        return make(cache, _folder(data, cache, contents.fingerprint), contents, data.image_size)

    contents = source.contents()
    try:
        return made(contents)
    except CorruptError as error:
        if data.on_corrupt == "fail":
            raise
        left = source.contents({one.sample for one in error.excluded})
        _check_classes(left, error.excluded)
        return replace(made(left), excluded=error.excluded)


def _check_classes(left: Contents, excluded: Sequence[Excluded]) -> None:
    """Raise DataError when a class has lost all its training images."""
    trained = set(left.labels_N[: left.official_from].tolist())
    lost = [name.name for label, name in enumerate(left.classes) if label not in trained]
    if lost:
        raise DataError(
            f"no training image of {', '.join(lost)} can be decoded ({len(excluded):,} images cannot be in all). "
            "Restore them, or leave these classes out of data.classes."
        )


def _folder(data: "Data", cache: Path, fingerprint: str) -> Path:
    return cache / "prepared" / f"{data.name}-{data.image_size}px-{fingerprint[:16]}"


def _read_stamp(stamps: Folder, name: str) -> Any:
    """The fingerprint of the source's content and the images left out; None when it is not there or damaged."""
    try:
        return stamps.read_json(name)
    except (FileNotFoundError, StoreError):
        return None
