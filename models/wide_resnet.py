"""A wide residual network (Zagoruyko and Komodakis 2016) whose later stages have bottlenecks, for images of 32-64 px.

Normalisation and activation come before each convolution (He et al. 2016, "Identity mappings in deep residual networks").
Legend: N images, S pixels a side, K classes, w = `width`.
    images (N, 3, S, S) -> stem (N, 16, S, S) -> stages (N, 16 w, S, S), (N, 32 w, S/2, S/2), (N, 64 w, S/4, S/4) and
    (N, 128 w, S/8, S/8) -> averaged to (N, 128 w) -> logits (N, K)
"""

from torch import Tensor, nn

from sweeper.models.layers import convolution, he_initialise

STEM = 16
STAGES = ((16, 1), (32, 2), (64, 2), (128, 2))  # channels at width 1, stride


def wide_resnet_bottleneck(
    classes: int, *, width: int = 4, blocks: int = 2, basic_stages: int = 2, dropout: float = 0.0
) -> nn.Module:
    """Four stages of `blocks` blocks: the first `basic_stages` of basic blocks, the others of bottlenecks."""
    stages: list[nn.Module] = []
    channels_in = STEM
    for number, (channels, stride) in enumerate(STAGES):
        for place in range(blocks):
            path = _basic if number < basic_stages else _bottleneck
            channels_out, by = channels * width, 1 if place else stride
            stages.append(Block(channels_in, channels_out, by, path(channels_in, channels_out, by, dropout)))
            channels_in = channels_out
    network = nn.Sequential(
        convolution(3, STEM, 3), *stages, *_active(channels_in),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels_in, classes),
    )  # fmt: skip
    network.apply(he_initialise)
    return network


class Block(nn.Module):
    """`path` after normalisation and activation, and what goes past it: the input, or a projection to another shape."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, path: nn.Module) -> None:
        super().__init__()
        self.active, self.path = nn.Sequential(*_active(channels_in)), path
        is_same = stride == 1 and channels_in == channels_out
        self.projection = None if is_same else convolution(channels_in, channels_out, 1, stride)

    def forward(self, inputs_NCHW: Tensor) -> Tensor:
        active_NCHW = self.active(inputs_NCHW)
        past_NCHW = inputs_NCHW if self.projection is None else self.projection(active_NCHW)
        joined_NCHW: Tensor = past_NCHW + self.path(active_NCHW)
        return joined_NCHW


def _basic(channels_in: int, channels_out: int, stride: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        convolution(channels_in, channels_out, 3, stride),
        *_active(channels_out), nn.Dropout(dropout), convolution(channels_out, channels_out, 3),
    )  # fmt: skip


def _bottleneck(channels_in: int, channels_out: int, stride: int, dropout: float) -> nn.Sequential:
    narrow = channels_out // 4
    return nn.Sequential(
        convolution(channels_in, narrow, 1),
        *_active(narrow), convolution(narrow, narrow, 3, stride),
        *_active(narrow), nn.Dropout(dropout), convolution(narrow, channels_out, 1),
    )  # fmt: skip


def _active(channels: int) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
