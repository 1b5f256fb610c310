"""What every source of images answers, what becomes of it, and the choice of classes."""

import difflib
import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sweeper.data.dataset import ClassName, DataError

Wanted = int | tuple[str, ...] | None
Picture = NDArray[np.uint8]  # CHW, square, RGB
PARTS = ("train", "official", "test")  # of a source; the last where its official images are for validation


@dataclass(frozen=True)
class Contents:
    """The chosen images of a source, not decoded yet: training images first, then the official ones.

    Where a source has both validation and test images, the latter come last, from `test_from` on.
    `image(i, size)` is image i as uint8 CHW, scaled and cropped to `size`; it raises what its decoder raises.
    """

    classes: tuple[ClassName, ...]
    labels_N: NDArray[np.int64]
    samples: Sequence[str]
    official_from: int
    fingerprint: str
    image: Callable[[int, int], Picture]
    test_from: int | None = None


class Source(Protocol):
    def stamp(self) -> str:
        """Found without reading any image; it changes whenever the images may have changed."""

    def contents(self, without: Collection[str] = ()) -> Contents:
        """The chosen images, but for the samples `without`, and the fingerprint of what is in them."""


def digest(rows: Iterable[Sequence[object]]) -> str:
    """SHA-256 of rows of strings and numbers, in their order."""
    return hashlib.sha256(json.dumps(list(rows)).encode()).hexdigest()


def storable(name: str) -> str:
    """A name from a file system, whose bytes that are no UTF-8 Python keeps as lone surrogates, as any file takes it."""
    return name.encode("utf-8", "backslashreplace").decode()


def choose(known: Sequence[ClassName], wanted: Wanted) -> tuple[ClassName, ...]:
    """The wanted classes of a source, sorted by id, with unique names.

    `wanted` is None for all, a number N for the first N, or names and ids. Raises DataError for what is not there.
    """
    ordered = sorted(known, key=lambda one: one.id)
    if wanted is None:
        return _unique(ordered)
    if isinstance(wanted, int):
        if wanted > len(ordered):
            raise DataError(f"data.classes asks for {wanted} classes; the data set has {len(ordered)}. Ask for fewer.")
        return _unique(ordered[:wanted])
    ids = _ids(ordered, wanted)
    return _unique([one for one in ordered if one.id in ids])


def _unique(classes: Sequence[ClassName]) -> tuple[ClassName, ...]:
    shared = Counter(one.name for one in classes)
    return tuple(one if shared[one.name] == 1 else ClassName(f"{one.name} ({one.id})", one.id) for one in classes)


def _ids(known: Sequence[ClassName], wanted: Sequence[str]) -> set[str]:
    by_word: dict[str, set[str]] = {}
    composed: dict[str, set[str]] = {}  # a Mac has é in its files' names as two characters
    for one in known:
        for word in (one.id, one.name, f"{one.name} ({one.id})"):
            by_word.setdefault(word, set()).add(one.id)
            composed.setdefault(unicodedata.normalize("NFC", word), set()).add(one.id)
    found = {word: by_word.get(word) or composed.get(unicodedata.normalize("NFC", word), set()) for word in wanted}
    wrong = [_unknown(word, found[word], by_word) for word in wanted if len(found[word]) != 1]
    if wrong:
        raise DataError(f"data.classes: {'; '.join(wrong)}. Give names or ids of the {len(known)} classes there are.")
    return {next(iter(found[word])) for word in wanted}


def _unknown(word: str, ids: Collection[str], known: Iterable[str]) -> str:
    if ids:
        return f"{word!r} is the name of several classes, give the id of one: {', '.join(sorted(ids))}"
    return f"there is no class {word!r}{did_you_mean(word, known)}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean {nearest[0]!r}?)" if nearest else ""
