"""VGG (Simonyan and Zisserman 2015), as torchvision builds it, and a VGG-16 cut for 56 px crops.

Legend: N images, S pixels a side, K classes, H hidden units (4096).
    vgg11 to vgg19: images (N, 3, S, S) -> features (N, 512, S/32, S/32) pooled to (N, 512, 7, 7) -> H -> H -> logits (N, K)
    vgg16_tiny:     images (N, 3, S, S) -> features (N, 512, S/8, S/8) pooled to (N, 512, 7, 7) -> H -> H/2 -> logits (N, K)
Below 224 px, or 56 px in vgg16_tiny, that pool is an enlargement.
"""

from torch import nn

from sweeper.models.layers import PlainNetwork, he_initialise, require_size

CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}  # of each block
CHANNELS = (64, 128, 256, 512, 512)


def vgg11(
    classes: int, *, image_size: int, batch_norm: bool = False, dropout: float = 0.5, hidden: int = 4096
) -> nn.Module:
    """VGG-11 (configuration A); with the usual head 132.9 M parameters for 1,000 classes."""
    return _full(11, classes, image_size, batch_norm, dropout, hidden)


def vgg13(
    classes: int, *, image_size: int, batch_norm: bool = False, dropout: float = 0.5, hidden: int = 4096
) -> nn.Module:
    """VGG-13 (configuration B); with the usual head 133.0 M parameters for 1,000 classes."""
    return _full(13, classes, image_size, batch_norm, dropout, hidden)


def vgg16(
    classes: int, *, image_size: int, batch_norm: bool = False, dropout: float = 0.5, hidden: int = 4096
) -> nn.Module:
    """VGG-16 (configuration D); with the usual head 138.4 M parameters for 1,000 classes."""
    return _full(16, classes, image_size, batch_norm, dropout, hidden)


def vgg19(
    classes: int, *, image_size: int, batch_norm: bool = False, dropout: float = 0.5, hidden: int = 4096
) -> nn.Module:
    """VGG-19 (configuration E); with the usual head 143.7 M parameters for 1,000 classes."""
    return _full(19, classes, image_size, batch_norm, dropout, hidden)


def vgg16_tiny(
    classes: int, *, image_size: int, batch_norm: bool = False, dropout: float = 0.5, hidden: int = 4096
) -> nn.Module:
    """VGG-16 up to its tenth convolution, without a pool after it: at 56 px what VGG-16 has left at 224 px, 7 x 7."""
    require_size("vgg16_tiny", image_size, 8)
    features = _features(CONVOLUTIONS[16][:4], batch_norm)[:-1]
    network = PlainNetwork(features, nn.AdaptiveAvgPool2d(7), _head((hidden, hidden // 2), classes, dropout))
    network.apply(he_initialise)
    network.classifier[-1].apply(_initialise)  # small, so that the first losses are not far above log K
    return network


def _full(depth: int, classes: int, image_size: int, batch_norm: bool, dropout: float, hidden: int) -> PlainNetwork:
    require_size(f"vgg{depth}", image_size, 32)
    features, head = _features(CONVOLUTIONS[depth], batch_norm), _head((hidden, hidden), classes, dropout)
    network = PlainNetwork(features, nn.AdaptiveAvgPool2d(7), head)
    network.apply(_initialise)
    return network


def _features(convolutions: tuple[int, ...], batch_norm: bool) -> nn.Sequential:
    """Blocks of 3 x 3 convolutions, each block with a pool at its end."""
    layers: list[nn.Module] = []
    channels_in = 3
    for count, channels in zip(convolutions, CHANNELS, strict=False):
        for _ in range(count):
            layers.append(nn.Conv2d(channels_in, channels, 3, padding=1))
            layers += [nn.BatchNorm2d(channels)] if batch_norm else []
            layers.append(nn.ReLU(inplace=True))
            channels_in = channels
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def _head(hidden: tuple[int, int], classes: int, dropout: float) -> nn.Sequential:
    first, second = hidden
    return nn.Sequential(
        nn.Linear(512 * 7 * 7, first), nn.ReLU(inplace=True), nn.Dropout(dropout),
        nn.Linear(first, second), nn.ReLU(inplace=True), nn.Dropout(dropout),
        nn.Linear(second, classes),
    )  # fmt: skip


def _initialise(layer: nn.Module) -> None:
    """As torchvision's: He's for convolutions, by what goes out of them; a deviation of 0.01 for linear layers."""
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(layer, nn.Linear):
        nn.init.normal_(layer.weight, 0, 0.01)
    if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
        nn.init.zeros_(layer.bias)
