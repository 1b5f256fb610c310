"""Making a prepared folder: decoded once, whole or not at all, whoever else is making it at the same time."""

import json
import logging
import secrets
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sweeper.data.dataset import ARRAYS, FORMAT, DataError, Dataset, Excluded, checksums, note_verified, open_prepared
from sweeper.data.source import Contents
from sweeper.store.folder import Folder, synchronise

if TYPE_CHECKING:
    from sweeper.data.pictures import Failure

NAMED_FAILURES = 5
log = logging.getLogger(__name__)


class CorruptError(DataError):
    """Images that cannot be decoded: which, of which classes, and why; `listing` is the file that names all."""

    def __init__(self, excluded: tuple[Excluded, ...], count: int, listing: Path) -> None:
        super().__init__(_undecodable(excluded, count, listing))
        self.excluded = excluded


@contextmanager
def locked(cache: Path, name: str) -> Iterator[None]:
    """Hold `name` in this cache, waiting for whoever has it; the kernel lets go when a process dies."""
    from filelock import FileLock

    try:
        (cache / "locks").mkdir(parents=True, exist_ok=True)
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise DataError(f"cannot write to the cache {cache} ({error}). Set SWEEPER_CACHE to another folder.") from error
    with FileLock(cache / "locks" / f"{name}.lock"):
        yield


def open_whole(folder: Path) -> Dataset | None:
    """The prepared folder, or None when it is not there or not whole."""
    try:
        return open_prepared(folder)
    except DataError:
        return None


def make(cache: Path, folder: Path, contents: Contents, image_size: int) -> Dataset:
    """Decode `contents` into `folder`, unless someone else has. Raises CorruptError for images that do not decode."""
    with locked(cache, folder.name):
        found = open_whole(folder)
        if found:
            return found
        folder.parent.mkdir(exist_ok=True)
        if folder.exists():
            log.warning("the prepared images in %s are damaged or of another version, and made again", folder)
        # Under the lock, these are what dead processes left behind.
        for stale in [folder, *folder.parent.glob(f".{folder.name}.*.tmp")]:
            if stale.exists():
                shutil.rmtree(stale)
        temporary = folder.parent / f".{folder.name}.{secrets.token_hex(4)}.tmp"
        temporary.mkdir()
        try:
            _write(temporary, contents, image_size, cache / "damaged" / f"{folder.name}.txt")
            temporary.rename(folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)  # a signal may come right after the renaming
            raise
        synchronise(folder.parent)
        return open_prepared(folder)


def _write(folder: Path, contents: Contents, image_size: int, listing: Path) -> None:
    from sweeper.data.pictures import write_images

    count = len(contents.labels_N)
    _check_room(folder, count * 3 * image_size**2)
    with open(folder / "images.npy", "wb") as file:
        failures = write_images(file, count, image_size, contents.image)
    if failures:
        excluded = tuple(_excluded(failure, contents) for failure in failures)
        listing.parent.mkdir(exist_ok=True)
        listing.write_text("".join(f"{one.sample}: {one.reason}\n" for one in excluded), errors="backslashreplace")
        raise CorruptError(excluded, count, listing)
    np.save(folder / "labels.npy", contents.labels_N)
    (folder / "samples.json").write_text(json.dumps(list(contents.samples)))
    about = {
        "format": FORMAT,
        "fingerprint": contents.fingerprint,
        "shape": [count, 3, image_size, image_size],
        "official_from": contents.official_from,
        "test_from": contents.test_from,
        "bytes": {name: (folder / name).stat().st_size for name in ARRAYS},
        "checksums": checksums(folder),
        "classes": [asdict(one) for one in contents.classes],
    }
    for name in ARRAYS:
        synchronise(folder / name)
    Folder(str(folder)).write_json("about.json", about)
    note_verified(folder)


def _check_room(folder: Path, needed_bytes: int) -> None:
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        raise DataError(
            f"the decoded images need {needed_bytes:,} bytes in {folder.parent}, where {free_bytes:,} are free. "
            "Make room, or set SWEEPER_CACHE to a folder on a larger disk."
        )


def _excluded(failure: "Failure", contents: Contents) -> Excluded:
    class_name = contents.classes[contents.labels_N[failure.position]].name
    return Excluded(contents.samples[failure.position], class_name, failure.reason)


def told_excluded(excluded: Sequence[Excluded]) -> str:
    """One sentence on the images that are left out."""
    return f"{len(excluded):,} images cannot be decoded and are left out. By class: {_by_class(excluded)}"


def _by_class(excluded: Sequence[Excluded]) -> str:
    counts = Counter(one.class_name for one in excluded)
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())


def _undecodable(excluded: Sequence[Excluded], count: int, listing: Path) -> str:
    named = "; ".join(f"{one.sample} ({one.reason})" for one in excluded[:NAMED_FAILURES])
    others = len(excluded) - NAMED_FAILURES
    more = f"; and {others:,} more, all listed in {listing}" if others > 0 else ""
    return (
        f"{len(excluded):,} of {count:,} images cannot be decoded. By class: {_by_class(excluded)}. "
        f"They are: {named}{more}. Restore or remove these files, then run again; or leave them out with "
        "data.on_corrupt: skip."
    )
