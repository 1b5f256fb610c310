"""A source of encoded images that lie as files in an archive or a folder."""

import zlib
from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np

from sweeper.data.dataset import ClassName, DataError
from sweeper.data.source import PARTS, Contents, digest, storable


class Sample(NamedTuple):
    """One encoded image; sorted, these give the order of a data set.

    `part` is an index into PARTS; `name` is its name within its class, the same whatever archive or folder it comes from;
    `path` that within the tree; `version` what tells a changed file from an unchanged one without reading it.
    """

    part: int
    class_id: str
    name: str
    path: str
    size_bytes: int
    version: tuple[int, ...]


class Tree(Protocol):
    """Image files in an archive or a folder."""

    def stamp(self, samples: Callable[[], Sequence[Sample]]) -> str: ...
    def crc(self, sample: Sample) -> int: ...
    def read(self, path: str) -> bytes: ...


Listing = tuple[tuple[ClassName, ...], list[Sample]]


class ImageFiles:
    """A source of encoded images in a tree; `listing` chooses among them."""

    def __init__(self, tree: Tree, listing: Callable[[], Listing]) -> None:
        self._tree, self._list = tree, listing

    @cached_property
    def _listing(self) -> Listing:
        classes, samples = self._list()
        return classes, sorted(samples)

    def stamp(self) -> str:
        return self._tree.stamp(lambda: self._listing[1])

    def contents(self, without: Collection[str] = ()) -> Contents:
        from sweeper.data.pictures import decode

        classes, listed = self._listing
        samples = [sample for sample in listed if storable(sample.path) not in without]
        crcs = [self._tree.crc(sample) for sample in samples]
        labels = {one.id: label for label, one in enumerate(classes)}
        counts = [sum(sample.part == part for sample in samples) for part in range(len(PARTS))]
        return Contents(
            classes=tuple(ClassName(storable(one.name), storable(one.id)) for one in classes),
            labels_N=np.array([labels[sample.class_id] for sample in samples], np.int64),
            samples=[storable(sample.path) for sample in samples],
            official_from=counts[0],
            fingerprint=_fingerprint(samples, crcs),
            image=lambda index, size: decode(self._read(samples[index].path, crcs[index]), size),
            test_from=counts[0] + counts[1] if counts[1] and counts[2] else None,
        )

    def _read(self, path: str, crc: int) -> bytes:
        content = self._tree.read(path)
        if zlib.crc32(content) != crc:
            raise DataError("changed while it was being read")
        return content


def _fingerprint(samples: Sequence[Sample], crcs: Sequence[int]) -> str:
    """Of what the files hold and which class and part each is in; not of where they lie."""
    pairs = zip(samples, crcs, strict=True)
    return digest(sorted((one.class_id, one.name, PARTS[one.part], one.size_bytes, crc) for one, crc in pairs))
