"""Changes of colour, each image by its own amount, as torchvision defines them for float images.

Legend: N images, C = 3 channels (RGB in [0, 1]); amounts are (N, 1, 1, 1).
"""

from collections.abc import Callable

import torch
from torch import Tensor

LUMA = (0.2989, 0.587, 0.114)  # ITU-R BT.601, as torchvision rounds it


def brightness(images_NCHW: Tensor, factors_N111: Tensor) -> Tensor:
    """Scaled towards black."""
    return (images_NCHW * factors_N111).clamp_(0, 1)


def contrast(images_NCHW: Tensor, factors_N111: Tensor) -> Tensor:
    """Scaled towards the image's mean grey."""
    return _blend(images_NCHW, grey(images_NCHW).mean((1, 2, 3), keepdim=True), factors_N111)


def saturation(images_NCHW: Tensor, factors_N111: Tensor) -> Tensor:
    """Scaled towards each pixel's grey."""
    return _blend(images_NCHW, grey(images_NCHW), factors_N111)


def hue(images_NCHW: Tensor, turns_N111: Tensor) -> Tensor:
    """Turned by a part of the colour circle; value and saturation of HSV stay."""
    red_NHW, green_NHW, blue_NHW = images_NCHW.unbind(1)
    value_NHW, low_NHW = images_NCHW.amax(1), images_NCHW.amin(1)
    chroma_NHW = value_NHW - low_NHW
    safe_NHW = torch.where(chroma_NHW > 0, chroma_NHW, 1)
    sixths_NHW = torch.where(
        red_NHW == value_NHW,
        (green_NHW - blue_NHW) / safe_NHW,
        torch.where(green_NHW == value_NHW, 2 + (blue_NHW - red_NHW) / safe_NHW, 4 + (red_NHW - green_NHW) / safe_NHW),
    )
    turned_NHW = sixths_NHW + 6 * turns_N111[:, 0]
    channels = []
    for start in (5, 3, 1):  # f(n) = V - V S max(0, min(k, 4 - k, 1)) with k = (n + H / 60 degrees) mod 6
        k_NHW = (turned_NHW + start) % 6
        channels.append(value_NHW - chroma_NHW * torch.minimum(k_NHW, 4 - k_NHW).clamp_(0, 1))
    return torch.stack(channels, 1).clamp_(0, 1)


def grey(images_NCHW: Tensor) -> Tensor:
    """Luma, (N, 1, H, W)."""
    red_NHW, green_NHW, blue_NHW = images_NCHW.unbind(1)
    return (LUMA[0] * red_NHW + LUMA[1] * green_NHW + LUMA[2] * blue_NHW)[:, None]


def _blend(images_NCHW: Tensor, others: Tensor, factors_N111: Tensor) -> Tensor:
    return (factors_N111 * images_NCHW + (1 - factors_N111) * others).clamp_(0, 1)


COLOURS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {  # in the order in which they act
    "brightness": brightness,
    "contrast": contrast,
    "saturation": saturation,
    "hue": hue,
}
