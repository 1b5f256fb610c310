"""Networks that go wrong at a given moment."""

import math
from typing import Any

import torch
from torch import Tensor, nn


class _SpoiltGradient(torch.autograd.Function):
    """Its input; what comes back is not a number."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        return torch.full_like(gradients[0], math.nan)


class Sick(nn.Module):
    """A linear classifier whose logits are `value` from the n-th training batch (`train`) or evaluated batch (`eval`) on.

    `gradient`: from that training batch on the gradients are NaN, though the logits are not.
    """

    def __init__(self, classes: int, train: int, eval: int, gradient: int, value: float) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Flatten(), nn.Linear(192, classes))
        self.first, self.gradient, self.value = {True: train, False: eval}, gradient, value
        self.seen = {True: 0, False: 0}

    def forward(self, images_NCHW: Tensor) -> Tensor:
        logits_NK: Tensor = self.inner(images_NCHW)
        self.seen[self.training] += 1
        if self.first[self.training] and self.seen[self.training] >= self.first[self.training]:
            logits_NK = logits_NK * 0 + self.value
        if self.training and self.gradient and self.seen[True] >= self.gradient:
            logits_NK = _SpoiltGradient.apply(logits_NK)  # type: ignore[no-untyped-call]
        return logits_NK


def network(classes: int, train: int = 0, eval: int = 0, gradient: int = 0, value: str = "inf") -> nn.Module:
    return Sick(classes, train, eval, gradient, float(value))
