"""Per-class accuracy as numbers: trials x classes, and which classes are hard. Legend: T trials, K classes."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from sweeper.dashboards.views import SweepTables, by_rank


class ClassCounts(NamedTuple):
    """Images and right answers of trials x classes in one split; None where a trial has no such class.

    `trials` are positions by rank, `names` and `ids` label the classes in the data's order, `mean` is the mean accuracy
    of each class over complete trials (over all when none is), `hardest` the order from the lowest mean.
    """

    split: str
    trials: list[int]
    names: list[str]
    ids: list[str]
    images: list[list[int | None]]
    correct: list[list[int | None]]
    mean: list[float]
    hardest: list[int]


def class_counts(tables: SweepTables) -> tuple[ClassCounts, ...]:
    """Per-class counts of each split that has them, the test images first."""
    splits = [split for split in ("test", "val") if (tables.per_class["split"] == split).any()]
    return tuple(_class_counts(by_rank(tables), tables.per_class, split) for split in splits)


def _class_counts(trials: pd.DataFrame, per_class: pd.DataFrame, split: str) -> ClassCounts:
    rows = per_class[per_class["split"] == split].drop_duplicates(["key", "id", "class"])
    classes = rows.drop_duplicates(["id", "class"]).sort_values("class_index", kind="stable")
    with_rows = trials["key"].isin(rows["key"].unique())
    keys = trials["key"][with_rows]
    columns = pd.MultiIndex.from_frame(classes[["id", "class"]])
    wide = (rows.pivot(index="key", columns=["id", "class"], values=what) for what in ("images", "correct"))
    images, correct = (table.reindex(index=keys, columns=columns).to_numpy(float) for table in wide)
    complete = (trials.set_index("key")["state"].reindex(keys) == "complete").to_numpy()
    mean = column_means(accuracies(images, correct)[complete if complete.any() else np.ones_like(complete)])
    return ClassCounts(
        split=split,
        trials=[int(position) for position in np.flatnonzero(with_rows)],
        names=classes["class"].tolist(),
        ids=classes["id"].tolist(),
        images=_counts(images),
        correct=_counts(correct),
        mean=mean.tolist(),
        hardest=np.argsort(mean, kind="stable").tolist(),
    )


def accuracies(images_TK: np.ndarray, correct_TK: np.ndarray) -> np.ndarray:
    """Correct / images by trial and class; NaN for a class without images."""
    accuracy_TK: np.ndarray = np.divide(correct_TK, images_TK, out=np.full_like(images_TK, np.nan), where=images_TK > 0)
    return accuracy_TK


def column_means(values_TK: np.ndarray) -> np.ndarray:
    """The mean of the finite values of each column; NaN where there are none."""
    known = np.isfinite(values_TK)
    total, count = np.where(known, values_TK, 0).sum(axis=0), known.sum(axis=0)
    mean: np.ndarray = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
    return mean


def _counts(matrix: np.ndarray) -> list[list[int | None]]:
    return [[int(value) if np.isfinite(value) else None for value in row] for row in matrix]
