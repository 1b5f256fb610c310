"""Class weights of the training loss, as a tensor. Legend: N training images, K classes."""

from typing import Literal

import torch
from torch import Tensor

from sweeper.class_weights import Weights, weights_of
from sweeper.data import Dataset


def class_weights(weights: Weights | Literal["balanced"] | None, dataset: Dataset, labels_N: Tensor) -> Tensor | None:
    """`train.class_weights` as (K,) float32; None where every class weighs the same.

    `balanced` is N / (K n_k) for n_k images of class k. Raises DataError for weights of other classes.
    """
    if weights is None:
        return None
    if weights == "balanced":
        counts_K = torch.bincount(labels_N, minlength=len(dataset.classes))
        return len(labels_N) / (len(dataset.classes) * counts_K.clamp_min(1)).float()
    return torch.tensor(weights_of(weights, dataset))
