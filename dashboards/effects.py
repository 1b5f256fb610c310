"""Which hyper-parameter moves which class: shares of the variance of a class's accuracy over complete trials.

Legend: T complete trials, K classes.
"""

from typing import NamedTuple

import numpy as np

from sweeper.dashboards.classes import ClassCounts, accuracies, column_means
from sweeper.dashboards.views import SweepTables, by_rank, trial_levels


class Effect(NamedTuple):
    """One axis: its levels with their complete trials, and what they do to each class.

    `share` has, by class, eta squared (Fisher 1925): the share of the variance of the class's accuracy that lies between
    the levels; None where the accuracy is the same in all trials. `means` are levels x classes. `chance` is the share to
    expect of an axis that does nothing, (levels - 1) / (T - 1).
    """

    axis: str
    levels: list[str]
    trials: list[int]
    share: list[float | None]
    means: list[list[float | None]]
    chance: float


def effects(tables: SweepTables, counts: ClassCounts) -> list[Effect]:
    """Each axis with two levels or more among the complete trials, the one that moves classes most first."""
    complete = (by_rank(tables)["state"] == "complete").to_numpy()[counts.trials]
    images_TK, correct_TK = (np.array(part, dtype=float)[complete] for part in (counts.images, counts.correct))
    accuracy_TK = accuracies(images_TK, correct_TK)
    found = []
    for axis, levels in trial_levels(tables).items():
        level_T = np.array(levels.of_trial)[counts.trials][complete]
        if axis != "state" and len(np.unique(level_T)) > 1:
            found.append(_effect(axis, levels.labels, level_T, accuracy_TK))
    return sorted(found, key=lambda effect: -sum(share or 0.0 for share in effect.share))


def _effect(axis: str, labels: tuple[str, ...], level_T: np.ndarray, accuracy_TK: np.ndarray) -> Effect:
    present, counts = np.unique(level_T, return_counts=True)
    means = np.array([column_means(accuracy_TK[level_T == level]) for level in present])
    return Effect(
        axis=axis,
        levels=[labels[level] for level in present],
        trials=counts.tolist(),
        share=_finite(_between(accuracy_TK, np.searchsorted(present, level_T), means)),
        means=[_finite(row) for row in means],
        chance=(len(present) - 1) / (len(level_T) - 1),
    )


def _between(accuracy_TK: np.ndarray, level_T: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Sum of squares between levels over the total one, by class; NaN where nothing varies."""
    known = np.isfinite(accuracy_TK)
    centre_K = column_means(accuracy_TK)
    total = np.where(known, (accuracy_TK - centre_K) ** 2, 0).sum(axis=0)
    between = np.where(known, (means[level_T] - centre_K) ** 2, 0).sum(axis=0)
    share: np.ndarray = np.divide(between, total, out=np.full_like(total, np.nan), where=total > 1e-12)
    return share


def _finite(values: np.ndarray) -> list[float | None]:
    return [round(float(value), 4) if np.isfinite(value) else None for value in values]
