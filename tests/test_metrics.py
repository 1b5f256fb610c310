"""Metrics against independent code: numpy, scikit-learn and plain loops."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, confusion_matrix, top_k_accuracy_score
from torch.nn.functional import cross_entropy

from sweeper.training.metrics import CALIBRATION_BINS, calibration_error, confusion, evaluate_logits, top_k_hits


@st.composite
def scored(draw: Any, elements: st.SearchStrategy[float]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and labels of 1 to 30 images and 2 to 12 classes."""
    images, classes = draw(st.integers(1, 30)), draw(st.integers(2, 12))
    logits_NK = draw(hnp.arrays(np.float32, (images, classes), elements=elements))
    labels_N = draw(hnp.arrays(np.int64, images, elements=st.integers(0, classes - 1)))
    return torch.from_numpy(logits_NK), torch.from_numpy(labels_N)


few_values = st.sampled_from([-2.0, -0.5, 0.0, 0.5, 2.0])  # as bfloat16 does, it gives many equal logits
any_value = st.floats(-20, 20, width=32)


def calibration_error_by_bins(confidences_N: NDArray[np.float64], is_right_N: NDArray[np.bool_]) -> float:
    """Guo et al. 2017, equation 3, over 15 bins, each with its upper edge."""
    bin_N = np.digitize(confidences_N, np.arange(1, 15) / 15, right=True)
    inside = [bin_N == number for number in range(15) if (bin_N == number).any()]
    return float(sum(part.mean() * abs(is_right_N[part].mean() - confidences_N[part].mean()) for part in inside))


@settings(deadline=None)
@given(scored(few_values), st.integers(1, 6))
def test_hits_are_those_of_a_stable_sort_from_the_largest_logit(
    images: tuple[torch.Tensor, torch.Tensor], k: int
) -> None:
    logits_NK, labels_N = images
    expected = [
        label in sorted(range(len(row)), key=lambda one: (-row[one], one))[:k]
        for row, label in zip(logits_NK.tolist(), labels_N.tolist(), strict=True)
    ]
    assert top_k_hits(logits_NK, labels_N, k).tolist() == expected


@settings(deadline=None)
@given(scored(few_values))
def test_top1_is_the_share_of_right_predictions_and_never_above_top5(
    images: tuple[torch.Tensor, torch.Tensor],
) -> None:
    logits_NK, labels_N = images
    evaluation = evaluate_logits(logits_NK, labels_N, cross_entropy(logits_NK, labels_N))
    predictions_N = logits_NK.numpy().argmax(1)
    assert evaluation.predictions_N.tolist() == predictions_N.tolist()
    assert evaluation.top1 == pytest.approx((predictions_N == labels_N.numpy()).mean(), rel=1e-12)
    assert evaluation.top1 <= evaluation.top5


def test_an_evaluation_agrees_with_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(0)
    logits_NK = 3 * torch.randn(500, 20, generator=generator)
    labels_N = torch.randint(20, (500,), generator=generator)
    evaluation = evaluate_logits(logits_NK, labels_N, cross_entropy(logits_NK, labels_N))
    scores_NK = logits_NK.double().numpy()
    probabilities_NK = np.exp(scores_NK) / np.exp(scores_NK).sum(1, keepdims=True)
    assert evaluation.top1 == accuracy_score(labels_N, scores_NK.argmax(1))
    assert evaluation.top5 == top_k_accuracy_score(labels_N, scores_NK, k=5, labels=range(20))
    is_right_N = scores_NK.argmax(1) == labels_N.numpy()
    assert evaluation.ece == pytest.approx(calibration_error_by_bins(probabilities_NK.max(1), is_right_N), rel=1e-5)
    assert evaluation.predictions_N.tolist() == scores_NK.argmax(1).tolist()
    np.testing.assert_allclose(evaluation.confidences_N, probabilities_NK.max(1), rtol=1e-5)
    assert evaluation.confusion_KK.tolist() == confusion_matrix(labels_N, scores_NK.argmax(1)).tolist()


@settings(deadline=None)
@given(scored(any_value))
def test_confusion_counts_true_by_predicted(images: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits_NK, labels_N = images
    classes, predictions_N = logits_NK.shape[1], logits_NK.argmax(1)
    expected = confusion_matrix(labels_N, predictions_N, labels=range(classes))
    assert confusion(predictions_N, labels_N, classes).tolist() == expected.tolist()


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=1, max_size=60))
def test_calibration_error_is_that_of_a_loop_over_bins(images: list[tuple[float, bool]]) -> None:
    edges = [index / CALIBRATION_BINS for index in range(1, CALIBRATION_BINS + 1)]
    assume(all(abs(confidence - edge) > 1e-6 for confidence, _ in images for edge in edges[:-1]))
    error, lower = 0.0, -1.0
    for upper in edges:
        inside = [(confidence, right) for confidence, right in images if lower < confidence <= upper]
        if inside:
            accuracy = sum(right for _, right in inside) / len(inside)
            confidence = sum(confidence for confidence, _ in inside) / len(inside)
            error += len(inside) / len(images) * abs(accuracy - confidence)
        lower = upper
    confidences_N = torch.tensor([confidence for confidence, _ in images])
    is_right_N = torch.tensor([right for _, right in images])
    assert calibration_error(confidences_N, is_right_N).item() == pytest.approx(error, abs=1e-9)


def test_what_is_not_a_number_is_never_right() -> None:
    logits_NK = torch.tensor([[float("nan")] * 6, [0.0, float("nan"), 0.0, 0.0, 0.0, 0.0]])
    assert top_k_hits(logits_NK, torch.tensor([0, 1]), 5).tolist() == [False, False]
    assert top_k_hits(logits_NK[:, :3], torch.tensor([0, 1]), 5).tolist() == [False, False]
