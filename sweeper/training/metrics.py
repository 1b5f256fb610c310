"""Metrics of an evaluation, computed on the device and read once. Legend: N images, K classes, B bins."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

CALIBRATION_BINS = 15


@dataclass(frozen=True)
class Evaluation:
    """What a model did on one split; tensors on the CPU."""

    loss: float
    top1: float
    top5: float
    ece: float
    confusion_KK: Tensor  # int64 counts, rows are true classes
    predictions_N: Tensor
    confidences_N: Tensor


def evaluate_logits(logits_NK: Tensor, labels_N: Tensor, loss: Tensor) -> Evaluation:
    """All metrics of `logits_NK` against `labels_N`, with one transfer from the device."""
    predictions_N, confidences_N = logits_NK.argmax(1), logits_NK.softmax(1).amax(1)
    is_right_N = predictions_N == labels_N
    top5_N = top_k_hits(logits_NK, labels_N, 5)
    scalars = torch.stack(
        [
            loss.double(),
            is_right_N.double().mean(),
            top5_N.double().mean(),
            calibration_error(confidences_N, is_right_N),
        ]
    ).tolist()
    confusion_KK = confusion(predictions_N, labels_N, logits_NK.shape[1])
    mean_loss, top1, top5, ece = scalars
    return Evaluation(mean_loss, top1, top5, ece, confusion_KK.cpu(), predictions_N.cpu(), confidences_N.cpu())


def top_k_hits(logits_NK: Tensor, labels_N: Tensor, k: int) -> Tensor:
    """Whether the label is among the k largest logits, (N,) bool; all of them count when K < k.

    Of equal logits, common in bfloat16, the lower class comes first, as with argmax; NaN is never a hit.
    """
    own_N1 = logits_NK.gather(1, labels_N[:, None])
    is_lower_NK = torch.arange(logits_NK.shape[1], device=labels_N.device) < labels_N[:, None]
    is_ahead_NK = ~(logits_NK <= own_N1) | ((logits_NK == own_N1) & is_lower_NK)
    return (is_ahead_NK.sum(1) < k) & ~own_N1.squeeze(1).isnan()


def confusion(predictions_N: Tensor, labels_N: Tensor, classes: int) -> Tensor:
    """Counts of (true, predicted), (K, K) int64."""
    return torch.bincount(labels_N * classes + predictions_N, minlength=classes * classes).view(classes, classes)


def calibration_error(confidences_N: Tensor, is_right_N: Tensor) -> Tensor:
    """Expected calibration error over bins of equal width (Guo et al. 2017, equation 3)."""
    bin_N = _confidence_bins(confidences_N)
    gap_N = is_right_N.double() - confidences_N.double()
    gap_B = torch.zeros(CALIBRATION_BINS, dtype=torch.float64, device=gap_N.device).index_add_(0, bin_N, gap_N)
    return gap_B.abs().sum() / len(gap_N)


class Reliability(NamedTuple):
    """Of each bin of confidence: its images, and their mean confidence and accuracy (NaN in an empty bin)."""

    count_B: Tensor
    confidence_B: Tensor
    accuracy_B: Tensor


def reliability(confidences_N: Tensor, is_right_N: Tensor) -> Reliability:
    """What a reliability diagram shows (Guo et al. 2017, figure 1), over the bins of `calibration_error`."""
    bin_N = _confidence_bins(confidences_N)
    weights = (None, confidences_N.double(), is_right_N.double())
    count_B, confidence_B, right_B = (torch.bincount(bin_N, of_N, minlength=CALIBRATION_BINS) for of_N in weights)
    return Reliability(count_B, confidence_B / count_B, right_B / count_B)


def _confidence_bins(confidences_N: Tensor) -> Tensor:
    """Bins of equal width, each with its upper edge."""
    return (confidences_N * CALIBRATION_BINS).ceil().long().sub(1).clamp(0, CALIBRATION_BINS - 1)
