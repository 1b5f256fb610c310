"""Losses. Legend: N images, K classes; logits_NK float, labels_N int64 in [0, K)."""

import torch.nn.functional as F
from torch import Tensor


def cross_entropy(logits_NK: Tensor, labels_N: Tensor) -> Tensor:
    """Mean softmax cross-entropy, in nats."""
    return F.cross_entropy(logits_NK, labels_N)


def smooth_cross_entropy(logits_NK: Tensor, labels_N: Tensor, smoothing: float = 0.1) -> Tensor:
    """Cross-entropy against (1 - s) * one-hot + s / K (Szegedy et al. 2016, section 7)."""
    return F.cross_entropy(logits_NK, labels_N, label_smoothing=smoothing)
