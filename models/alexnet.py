"""AlexNet (Krizhevsky 2014, "One weird trick"), as torchvision builds it, and a compact form for 32-64 px images.

Legend: N images, S pixels a side, K classes.
    full:    images (N, 3, S, S) -> features (N, 256, 6, 6) after adaptive pooling -> 4096 -> 4096 -> logits (N, K)
    compact: images (N, 3, S, S) -> features (N, 256, S/16, S/16) pooled to (N, 256, 2, 2) -> 256 -> 256 -> logits (N, K)
"""

from functools import partial

from torch import nn

from sweeper.models.layers import PlainNetwork, he_initialise, require_size


def alexnet(
    classes: int, *, image_size: int, compact: bool = False, batch_norm: bool = False, dropout: float = 0.5
) -> nn.Module:
    """AlexNet with `classes` outputs, for images of 63 px or more; `compact` has 2.6 M parameters and takes 15 px."""
    require_size("the compact alexnet" if compact else "alexnet", image_size, 15 if compact else 63)
    return _compact(classes, batch_norm, dropout) if compact else _full(classes, batch_norm, dropout)


def _convolution(
    channels_in: int, channels_out: int, kernel: int, batch_norm: bool, stride: int = 1, padding: int = 1
) -> list[nn.Module]:
    """A convolution and its ReLU, with batch normalisation between (and then no bias, which it would cancel)."""
    convolution = nn.Conv2d(channels_in, channels_out, kernel, stride=stride, padding=padding, bias=not batch_norm)
    normalisation = [nn.BatchNorm2d(channels_out)] if batch_norm else []
    return [convolution, *normalisation, nn.ReLU(inplace=True)]


def _head(features: int, hidden: int, classes: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Dropout(dropout), nn.Linear(features, hidden), nn.ReLU(inplace=True),
        nn.Dropout(dropout), nn.Linear(hidden, hidden), nn.ReLU(inplace=True),
        nn.Linear(hidden, classes),
    )  # fmt: skip


def _full(classes: int, batch_norm: bool, dropout: float) -> PlainNetwork:
    pool = partial(nn.MaxPool2d, kernel_size=3, stride=2)
    features = nn.Sequential(
        *_convolution(3, 64, 11, batch_norm, stride=4, padding=2), pool(),
        *_convolution(64, 192, 5, batch_norm, padding=2), pool(),
        *_convolution(192, 384, 3, batch_norm),
        *_convolution(384, 256, 3, batch_norm),
        *_convolution(256, 256, 3, batch_norm), pool(),
    )  # fmt: skip
    return PlainNetwork(features, nn.AdaptiveAvgPool2d(6), _head(256 * 6 * 6, 4096, classes, dropout))


def _compact(classes: int, batch_norm: bool, dropout: float) -> PlainNetwork:
    pool = partial(nn.MaxPool2d, kernel_size=2)
    features = nn.Sequential(
        *_convolution(3, 64, 3, batch_norm, stride=2), pool(),
        *_convolution(64, 192, 3, batch_norm), pool(),
        *_convolution(192, 384, 3, batch_norm),
        *_convolution(384, 256, 3, batch_norm),
        *_convolution(256, 256, 3, batch_norm), pool(),
    )  # fmt: skip
    network = PlainNetwork(features, nn.AdaptiveAvgPool2d(2), _head(256 * 2 * 2, 256, classes, dropout))
    network.apply(he_initialise)
    return network
