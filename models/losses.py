"""Losses of each image, and their mean. Legend: N images, K classes; logits_NK float s, labels_N int64 y in [0, K).

A loss takes (logits_NK, labels_N) and gives losses_N, one number an image in the precision of the logits, without class
weights: `mean_loss` brings those in, for all losses alike.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor


def mean_loss(losses_N: Tensor, labels_N: Tensor, weights_K: Tensor | None = None) -> Tensor:
    """Mean of a batch's losses, a scalar; with class weights w the sum of w_y * loss over the sum of w_y.

    That is `F.cross_entropy(weight=...)` for cross-entropy: weights that are all the same change nothing, and a batch
    whose weights are all 0 has no mean (NaN).
    """
    if weights_K is None:
        return losses_N.mean()
    weights_N = weights_K[labels_N]
    return (weights_N * losses_N).sum() / weights_N.sum()


def cross_entropy(logits_NK: Tensor, labels_N: Tensor) -> Tensor:
    """Softmax cross-entropy, -log p_y in nats."""
    return F.cross_entropy(logits_NK, labels_N, reduction="none")


def smooth_cross_entropy(logits_NK: Tensor, labels_N: Tensor, smoothing: float = 0.1) -> Tensor:
    """Cross-entropy against (1 - smoothing) * one-hot + smoothing / K (Szegedy et al. 2016, section 7).

    A class weight, brought in later, is of the image's own class: `F.cross_entropy` with both would weigh each term.
    """
    return F.cross_entropy(logits_NK, labels_N, label_smoothing=smoothing, reduction="none")


def focal(logits_NK: Tensor, labels_N: Tensor, gamma: float = 2.0) -> Tensor:
    """Cross-entropy scaled down where it is small, -(1 - p_y)^gamma log p_y (Lin et al. 2017, equation 4)."""
    losses_N = cross_entropy(logits_NK, labels_N)
    misses_N = -torch.expm1(-losses_N)  # 1 - p_y, exact also where p_y is nearly 1
    nearest = torch.finfo(misses_N.dtype).tiny  # at 0 the slope of a power below 1 is infinite
    return misses_N.clamp_min(nearest) ** gamma * losses_N


def one_vs_all_hinge(logits_NK: Tensor, labels_N: Tensor) -> Tensor:
    """K linear support vector machines, each one class against all: max(0, 1 - s_y) + sum over k != y of max(0, 1 + s_k).

    A sum, not a mean, over the K classes.
    """
    is_own_NK = labels_N[:, None] == torch.arange(logits_NK.shape[1], device=labels_N.device)
    return (1 + torch.where(is_own_NK, -logits_NK, logits_NK)).relu().sum(1)


def multi_margin(logits_NK: Tensor, labels_N: Tensor, violations: Literal["all", "largest"] = "all") -> Tensor:
    """Multi-class margin: the violations max(0, 1 - s_y + s_k) over k != y, summed and divided by K as in torch.

    The sum is Weston and Watkins' (1999); `largest` is Crammer and Singer's maximum (2001, equation 2), whose steps from
    an untrained network, where all logits are nearly equal, go back and forth between classes.
    """
    own_N1 = labels_N[:, None]
    own_logits_N1 = logits_NK.gather(1, own_N1)
    if violations == "all":
        losses_N = F.multi_margin_loss(logits_NK, labels_N, reduction="none")
        is_number_N = ~(logits_NK - own_logits_N1).isnan().any(1)  # torch takes a violation that is none for 0
        return torch.where(is_number_N, losses_N, torch.nan)
    others_NK = logits_NK.scatter(1, own_N1, -torch.inf)
    return (1 + others_NK.amax(1) - own_logits_N1.squeeze(1)).relu()
