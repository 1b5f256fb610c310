"""`split` divides by class, by seed and completely."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sweeper.data import ClassName, DataError, Dataset
from sweeper.data.split import Indices, split, told_missing, told_parts, told_unused
from sweeper.experiment import Split


def dataset(counts: list[int], official: int = 0) -> Dataset:
    """Classes of these many training images, interleaved, and `official` official images of each."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    labels_N = np.concatenate([labels, np.repeat(np.arange(len(counts)), official)])
    classes = tuple(ClassName(f"class {label}", str(label)) for label in range(len(counts)))
    images_NCHW = np.zeros((len(labels_N), 3, 1, 1), np.uint8)
    names = [str(number) for number in range(len(labels_N))]
    return Dataset(images_NCHW, labels_N, names, classes, len(labels), "0" * 64, Path("made-up-64px"))


def counted(data: Dataset, indices: Indices) -> list[list[int]]:
    return [np.bincount(data.labels_N[part], minlength=len(data.classes)).tolist() for part in indices]


counts = st.lists(st.integers(1, 60), min_size=1, max_size=6)
shares = st.tuples(st.integers(1, 100), st.integers(0, 50), st.integers(0, 50)).filter(lambda parts: sum(parts) <= 100)
seeds = st.integers(0, 2**31 - 1)


def drawn(data: Dataset, parts: tuple[int, int, int], seed: int) -> Indices:
    train, val, test = (part / 100 for part in parts)
    try:
        return split(data, Split(train, val, test, seed))
    except DataError as error:
        assume("leaves no training image" not in str(error))
        raise


@given(counts, shares, seeds)
def test_parts_are_disjoint_sorted_and_within_the_training_images(
    counts: list[int], parts: tuple[int, int, int], seed: int
) -> None:
    data = dataset(counts, official=2)
    indices = drawn(data, parts, seed)
    together = np.concatenate(indices)
    assert len(np.unique(together)) == len(together)
    assert all(part.dtype == np.int64 and np.all(np.diff(part) > 0) for part in indices)
    assert together.max() < data.official_from
    if sum(parts) == 100:
        assert len(together) == sum(counts)


@given(counts, shares, seeds)
def test_every_class_is_divided_as_the_fractions_say(counts: list[int], parts: tuple[int, int, int], seed: int) -> None:
    data = dataset(counts)
    by_part = counted(data, drawn(data, parts, seed))
    for images, *given_counts in zip(counts, *by_part, strict=True):
        assert given_counts[0] >= 1
        for share, given_count in zip(parts, given_counts, strict=True):
            assert abs(given_count - images * share / 100) <= 1


@given(counts, shares, seeds)
def test_the_same_seed_draws_the_same_images(counts: list[int], parts: tuple[int, int, int], seed: int) -> None:
    first, second = (drawn(dataset(counts), parts, seed) for _ in range(2))
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


@given(counts, seeds)
def test_a_class_is_divided_the_same_whichever_classes_follow(counts: list[int], seed: int) -> None:
    labels_N = np.repeat(np.arange(len(counts)), counts)
    whole = dataset(counts)
    whole = Dataset(**{**vars(whole), "labels_N": labels_N})
    first = Dataset(
        **{**vars(whole), "labels_N": labels_N[: counts[0]], "classes": whole.classes[:1], "official_from": counts[0]}
    )
    fractions = Split(0.6, 0.2, 0.2, seed)
    for part, alone in zip(split(whole, fractions), split(first, fractions), strict=True):
        assert np.array_equal(part[part < counts[0]], alone)


def test_five_hundred_images_a_class_give_400_50_50() -> None:
    data = dataset([500] * 10)
    assert counted(data, split(data, Split())) == [[400] * 10, [50] * 10, [50] * 10]


def test_another_seed_draws_other_images() -> None:
    data = dataset([100])
    assert not np.array_equal(split(data, Split(seed=1)).val_N, split(data, Split(seed=2)).val_N)


def test_halves_are_rounded_up_even_where_binary_falls_short() -> None:
    data = dataset([10, 100])
    assert counted(data, split(data, Split(train=0.7, val=0.15, test=0.0)))[1] == [2, 15]
    assert counted(data, split(data, Split(train=0.8, val=0.145, test=0.0)))[1] == [1, 15]


def test_fractions_below_one_leave_the_rest_out() -> None:
    data = dataset([100])
    indices = split(data, Split(train=0.2, val=0.1, test=0.0))
    assert counted(data, indices) == [[20], [10], [0]]
    assert told_parts(data, indices) == "100 images of 1 classes: 20 to train, 10 to validate, 0 to test, 70 unused"


def test_classes_without_an_image_to_judge_by_are_named() -> None:
    data = dataset([100, 3, 4, *[3] * 6])
    few = ", ".join(f"class {label}" for label in (1, 3, 4, 5, 6))
    assert told_missing(data, split(data, Split(0.8, 0.2, 0.0))) is None  # there are no test images
    told = told_missing(data, split(data, Split(0.8, 0.05, 0.15)))
    assert told == (
        "no validation image of class 1, class 2, class 3, class 4, class 5 and 3 more; "
        f"no test image of {few} and 2 more: their accuracy there is not known"
    )
    assert told_missing(dataset([10, 10]), split(dataset([10, 10]), Split())) is None


def test_the_test_images_stay_when_the_other_fractions_change() -> None:
    data = dataset([100, 40])
    first, second = split(data, Split(0.8, 0.1, 0.1)), split(data, Split(0.5, 0.2, 0.1))
    assert np.array_equal(first.test_N, second.test_N)


def test_official_test_images_are_all_of_them_and_fractions_divide_the_rest() -> None:
    data = dataset([20, 10], official=3)
    indices = split(data, Split(train=0.8, val=0.2, test="official"))
    assert counted(data, indices) == [[16, 8], [4, 2], [3, 3]]
    assert np.array_equal(indices.test_N, np.arange(30, 36))


def test_official_split_trains_on_all_and_validates_on_the_official_images() -> None:
    data = dataset([20, 10], official=3)
    assert counted(data, split(data, "official")) == [[20, 10], [3, 3], [0, 0]]


@pytest.mark.parametrize(
    ("shares", "parts"),
    [
        ("official", [[20, 10], [2, 2], [1, 1]]),
        (Split(0.8, 0.2, "official"), [[16, 8], [4, 2], [1, 1]]),
        (Split(0.5, 0.3, 0.2), [[10, 5], [6, 3], [4, 2]]),
    ],
)
def test_a_source_with_validation_and_test_images_has_each_in_its_place(shares: Any, parts: list[list[int]]) -> None:
    labels_N = np.concatenate([np.repeat([0, 1], [20, 10]), [0, 0, 1, 1], [0, 1]])
    images_NCHW = np.zeros((len(labels_N), 3, 1, 1), np.uint8)
    data = replace(dataset([20, 10]), images_NCHW=images_NCHW, labels_N=labels_N, test_from=34)
    indices = split(data, shares)
    assert counted(data, indices) == parts
    if shares == "official":
        assert np.array_equal(indices.val_N, np.arange(30, 34))
    if shares == "official" or shares.test == "official":
        assert np.array_equal(indices.test_N, np.arange(34, 36))


@pytest.mark.parametrize(
    ("shares", "told"),
    [
        ("official", None),
        (Split(0.8, 0.2, "official"), "the data set's own validation images are not used"),
        (Split(), "the data set's own validation and test images are not used"),
    ],
)
def test_validation_and_test_images_that_are_left_unused_are_told(shares: Any, told: str | None) -> None:
    data = dataset([20, 10], official=3)
    assert told_unused(data, shares) is None
    found = told_unused(replace(data, test_from=34), shares)
    assert found is None if told is None else str(found).startswith(told)


def test_a_class_without_any_image_is_passed_over() -> None:
    data = dataset([10, 0, 10])
    assert counted(data, split(data, Split()))[0] == [8, 0, 8]


@pytest.mark.parametrize(
    ("fractions", "message"),
    [
        (Split(0.8, 0.2, 0.1), r"0.8 \+ 0.2 \+ 0.1 sum to 1.1; at most 1"),
        (Split(0.0, 0.5, 0.5), "no training image of 'class 0'"),
        (Split(0.1, 0.5, 0.4), "no training image of 'class 1': 2 images"),
        (Split(0.8, 0.2, "official"), "no labelled images apart from its training images.*Give fractions"),
        ("official", "data.split: official was given, but this data set has no"),
    ],
)
def test_what_cannot_be_divided_is_said(fractions: Split, message: str) -> None:
    with pytest.raises(DataError, match=message):
        split(dataset([10, 2]), fractions)
