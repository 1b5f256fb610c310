"""Which images a picture shows: the same for every trial that looks at the same ones. Legend: N images."""

import numpy as np
from numpy.typing import NDArray

from sweeper.training.metrics import Evaluation

Rows = NDArray[np.int64]


def spread(labels_N: NDArray[np.int64], count: int) -> Rows:
    """Rows of up to `count` images over all classes, class by class: the first of each, then the second, and so on.

    When classes are more than images, the classes are as far apart as that allows.
    """
    by_class_N = np.argsort(labels_N, kind="stable")
    sorted_N = labels_N[by_class_N]
    rank_N = np.arange(len(sorted_N)) - np.searchsorted(sorted_N, sorted_N)
    firsts = by_class_N[rank_N == 0]
    if len(firsts) >= count:
        return np.asarray(firsts[np.linspace(0, len(firsts) - 1, count).round().astype(int)])
    rows = by_class_N[np.lexsort((sorted_N, rank_N))][:count]
    return np.asarray(rows[np.argsort(labels_N[rows], kind="stable")])


def confident_mistakes(evaluation: Evaluation, labels_N: NDArray[np.int64], count: int) -> Rows:
    """Rows of up to `count` images that are told wrong, the most confidently first; of two alike the earlier."""
    wrong = np.flatnonzero(evaluation.predictions_N.numpy() != labels_N)
    confidences = evaluation.confidences_N.float().numpy()[wrong]
    return np.asarray(wrong[np.argsort(-confidences, kind="stable")][:count])
