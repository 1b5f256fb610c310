"""Baselines without convolutions. Legend: N images, S pixels a side, K classes.

logistic_regression: images (N, 3, S, S) -> pixels (N, 3 S S) -> logits (N, K)
one_hidden:          images (N, 3, S, S) -> pixels (N, 3 S S) -> hidden (N, 1024) -> logits (N, K)
"""

from torch import nn


def logistic_regression(classes: int, *, image_size: int) -> nn.Module:
    """A linear map of the pixels; with cross-entropy, multinomial logistic regression."""
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * image_size**2, classes))


def one_hidden(classes: int, *, image_size: int, hidden: int = 1024) -> nn.Module:
    """One hidden layer of `hidden` rectified linear units."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(3 * image_size**2, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, classes)
    )
