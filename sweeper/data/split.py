"""Training, validation and test indices of a data set, stratified by class."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sweeper.data.dataset import Dataset, UnfitSettingsError

if TYPE_CHECKING:
    from sweeper.experiment import Split

Index = NDArray[np.int64]
MOST_NAMED = 5
TOLERANCE = 1e-9  # 0.8 + 0.1 + 0.1 is not 1 in binary


class Indices(NamedTuple):
    """Sorted indices into a data set; no index is in two of them."""

    train_N: Index
    val_N: Index
    test_N: Index


def split(dataset: Dataset, split: "Split | Literal['official']") -> Indices:
    """Divide a data set; the same settings and images always give the same indices.

    Each class is drawn with its own seed, so it is divided the same whichever classes stand after it.
    Raises UnfitSettingsError for fractions above 1, a class left without training images, or an official part that is not there.
    """
    end = dataset.test_from or len(dataset.labels_N)
    official, test = np.arange(dataset.official_from, end), np.arange(end, len(dataset.labels_N))
    if split == "official":
        _check_official(dataset, "data.split: official")
        return Indices(np.arange(dataset.official_from), official, test)
    if split.test == "official":
        _check_official(dataset, "data.split.test: official")
        drawn = _draw(dataset, split.train, split.val, 0.0, split.seed)
        return Indices(drawn.train_N, drawn.val_N, test if len(test) else official)
    return _draw(dataset, split.train, split.val, split.test, split.seed)


def check_judged(indices: Indices, metric: str) -> None:
    """Raise UnfitSettingsError when an objective is of validation images and there are none."""
    if metric.startswith("val/") and not len(indices.val_N):
        raise UnfitSettingsError(
            f"{metric} is the objective, but data.split leaves no validation images. Raise data.split.val, or choose an "
            "objective of training, such as train/loss."
        )


def told_parts(dataset: Dataset, indices: Indices) -> str:
    """How many images each part has: "170 images of 4 classes: 136 to train, 17 to validate, 17 to test"."""
    parts = {"to train": indices.train_N, "to validate": indices.val_N, "to test": indices.test_N}
    counts = {use: len(part_N) for use, part_N in parts.items()}
    counts |= {"unused": len(dataset.labels_N) - sum(counts.values())}
    told = ", ".join(f"{count:,} {use}" for use, count in counts.items() if count or use != "unused")
    return f"{len(dataset.labels_N):,} images of {len(dataset.classes)} classes: {told}"


def told_missing(dataset: Dataset, indices: Indices) -> str | None:
    """A sentence on the classes without an image among those of validation or of test, if there are any."""
    parts, told = {"validation": indices.val_N, "test": indices.test_N}, []
    for name, part_N in parts.items():
        has_K = np.bincount(dataset.labels_N[part_N], minlength=len(dataset.classes)) > 0
        lacking = [one.name for one, has_any in zip(dataset.classes, has_K, strict=True) if not has_any]
        if lacking and len(part_N):
            more = f" and {len(lacking) - MOST_NAMED:,} more" if len(lacking) > MOST_NAMED else ""
            told.append(f"no {name} image of {', '.join(lacking[:MOST_NAMED])}{more}")
    return f"{'; '.join(told)}: their accuracy there is not known" if told else None


def told_unused(dataset: Dataset, split: "Split | Literal['official']") -> str | None:
    """A sentence on what a split leaves unused of a source that has both validation and test images, if it leaves any."""
    if dataset.test_from is None or split == "official":
        return None
    left = "validation images" if split.test == "official" else "validation and test images"
    return f"the data set's own {left} are not used, for data.split has fractions; `data.split: official` uses them"


def _check_official(dataset: Dataset, setting: str) -> None:
    if dataset.official_from == len(dataset.labels_N):
        raise UnfitSettingsError(
            f"{setting} was given, but this data set has no labelled images apart from its training images. "
            "Give fractions: {train: 0.8, val: 0.1, test: 0.1}."
        )


def _draw(dataset: Dataset, train: float, val: float, test: float, seed: int) -> Indices:
    total = train + val + test
    if total > 1 + TOLERANCE:
        raise UnfitSettingsError(
            f"data.split: the fractions {train:g} + {val:g} + {test:g} sum to {total:g}; at most 1 is possible."
        )
    whole = total > 1 - TOLERANCE
    labels_N = np.asarray(dataset.labels_N[: dataset.official_from])
    parts: list[Sequence[Index]] = []
    for label, one in enumerate(dataset.classes):
        images = np.flatnonzero(labels_N == label)
        counts = _counts(len(images), train, val, test, whole)
        if len(images) and counts[0] < 1:
            raise UnfitSettingsError(
                f"data.split leaves no training image of {one.name!r}: {len(images)} images, train {train:g}, "
                f"val {val:g}, test {test:g}. Raise data.split.train, or leave the class out with data.classes."
            )
        shuffled = np.random.default_rng([seed, label]).permutation(images)
        parts.append(_cut(shuffled, counts))
    return Indices(*(np.sort(np.concatenate(part)) for part in zip(*parts, strict=True)))


def _counts(images: int, train: float, val: float, test: float, whole: bool) -> tuple[int, int, int]:
    """How many images of a class each part gets; rounding never hands out more than there are."""
    in_test = min(_rounded(test * images), images)
    in_val = min(_rounded(val * images), images - in_test)
    rest = images - in_test - in_val
    in_train = rest if whole else min(_rounded(train * images), rest)
    return in_train, in_val, in_test


def _rounded(value: float) -> int:
    """Half up: Python's own rounding would give 0.5 to nobody and 1.5 to two."""
    return math.floor(value + 0.5 + TOLERANCE)


def _cut(shuffled: Index, counts: tuple[int, int, int]) -> tuple[Index, Index, Index]:
    """The test part comes first, so that changing the other fractions leaves the test images alone."""
    in_train, in_val, in_test = counts
    rest = shuffled[in_test:]
    return rest[in_val : in_val + in_train], rest[:in_val], shuffled[:in_test]
