"""Named data sets as uint8 arrays: found or downloaded, decoded once into the cache, memory-mapped ever after.

`prepare` looks a data set up by a stamp of its source (paths, sizes, times) and so reads no image that it has read
before; the stamp leads to the fingerprint of the content, which names the prepared folder.
"""

import os
import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sweeper.data import arrays, folder, tiny_imagenet
from sweeper.data.dataset import FORMAT, ClassName, DataError, Dataset, open_prepared
from sweeper.data.prepared import make, open_whole
from sweeper.data.source import Source, digest

if TYPE_CHECKING:  # pydantic is half of the time that importing this package would take
    from sweeper.experiment import Data

__all__ = ["DATASETS", "ClassName", "DataError", "Dataset", "default_cache", "open_prepared", "prepare", "prepare_at"]

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

    Concurrent callers end with one good copy. Raises DataError for what its user can mend, OSError for a full disk.
    """
    cache = cache.absolute()
    source = DATASETS.get(data.name, arrays.find_torchvision)(data, cache)
    stamp = cache / "stamps" / digest([(FORMAT, data.name, data.classes, source.stamp())])[:32]
    if stamp.exists():
        found = open_whole(_folder(data, cache, stamp.read_text()))
        if found:
            return found
    contents = source.contents()
    dataset = make(cache, _folder(data, cache, contents.fingerprint), contents, data.image_size)
    _write_stamp(stamp, dataset.fingerprint)
    return dataset


def prepare_at(root: str | None, data: "Data") -> Dataset:
    """The images of a trial's `data`, which is the same wherever they are, from `root`, in the default cache."""
    return prepare(replace(data, root=root), default_cache())


def _folder(data: "Data", cache: Path, fingerprint: str) -> Path:
    return cache / "prepared" / f"{data.name}-{data.image_size}px-{fingerprint[:16]}"


def _write_stamp(stamp: Path, fingerprint: str) -> None:
    stamp.parent.mkdir(exist_ok=True)
    temporary = stamp.with_name(f"{stamp.name}.{secrets.token_hex(4)}.tmp")
    temporary.write_text(fingerprint)
    temporary.replace(stamp)
