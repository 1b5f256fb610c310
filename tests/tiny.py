"""Networks of a user's own, small enough that a test spends its time on what it is about."""

import os
from pathlib import Path

from torch import Tensor, nn


def linear(classes: int, image_size: int = 8, width: int = 8) -> nn.Module:
    """Pooling to 8 x 8, one hidden layer, logits."""
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(8),
        nn.Flatten(),
        nn.Linear(192, width),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Linear(width, classes),
    )


class Fragile(nn.Module):
    """`linear`, but raises while the file named by SWEEPER_TEST_BROKEN exists and `breaks` is set."""

    def __init__(self, classes: int, breaks: bool) -> None:
        super().__init__()
        self.inner, self.breaks = linear(classes), breaks

    def forward(self, images_NCHW: Tensor) -> Tensor:
        if self.breaks and self.training and Path(os.environ["SWEEPER_TEST_BROKEN"]).exists():
            raise ArithmeticError("this network is broken on purpose")
        logits_NK: Tensor = self.inner(images_NCHW)
        return logits_NK


def fragile(classes: int, breaks: bool = False) -> nn.Module:
    return Fragile(classes, breaks)


def slow(classes: int) -> nn.Module:
    """`linear` with enough work in it that an epoch can be interrupted."""
    return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(3, 64, 3), linear_head(classes))


def linear_head(classes: int) -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64 * 16, classes))
