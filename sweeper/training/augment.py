"""Augmentation of a batch on the device, and normalisation. Legend: N images, C = 3 channels, H = W = S pixels.

All random draws of an epoch are made at once from a CPU generator, so they do not depend on the device or batch size.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


class Draws(NamedTuple):
    """One epoch's random numbers, one a training image; None where an augmentation is not asked for."""

    top_N: Tensor | None
    left_N: Tensor | None
    flip_N: Tensor | None


def padding_of(image_size: int) -> int:
    """Pixels of zero padding before a random crop: an eighth of the side, as is usual (4 at 32 px)."""
    return image_size // 8


def draw(names: tuple[str, ...], count: int, image_size: int, generator: torch.Generator) -> Draws:
    """Draw what the named augmentations need for `count` images."""
    places = 2 * padding_of(image_size) + 1
    offset_2N = torch.randint(places, (2, count), generator=generator) if "random_crop" in names else (None, None)
    flip_N = torch.rand(count, generator=generator) < 0.5 if "horizontal_flip" in names else None
    return Draws(offset_2N[0], offset_2N[1], flip_N)


def augment(images_NCHW: Tensor, draws: Draws, rows: slice) -> Tensor:
    """Apply rows `rows` of an epoch's draws to a batch of the same number of uint8 images."""
    if draws.top_N is not None and draws.left_N is not None:
        images_NCHW = pad_and_crop(images_NCHW, draws.top_N[rows], draws.left_N[rows])
    if draws.flip_N is not None:
        flip_N111 = draws.flip_N[rows].to(images_NCHW.device)[:, None, None, None]
        images_NCHW = torch.where(flip_N111, images_NCHW.flip(3), images_NCHW)
    return images_NCHW


def pad_and_crop(images_NCHW: Tensor, top_N: Tensor, left_N: Tensor) -> Tensor:
    """Pad with zeros on all sides, then cut an S x S window at each image's (top, left)."""
    size, device = images_NCHW.shape[-1], images_NCHW.device
    padded_NCHW = F.pad(images_NCHW, [padding_of(size)] * 4)
    pixel_S = torch.arange(size, device=device)
    row_NS, column_NS = top_N.to(device)[:, None] + pixel_S, left_N.to(device)[:, None] + pixel_S
    image_N = torch.arange(len(images_NCHW), device=device)
    cut_NHWC = padded_NCHW.permute(0, 2, 3, 1)[image_N[:, None, None], row_NS[:, :, None], column_NS[:, None, :]]
    return cut_NHWC.permute(0, 3, 1, 2)


def normalise(images_NCHW: Tensor) -> Tensor:
    """uint8 in [0, 255] to float with ImageNet's mean and deviation taken out, channels last in memory."""
    scale = torch.tensor([1 / (255 * deviation) for deviation in IMAGENET_DEVIATION], device=images_NCHW.device)
    shift = torch.tensor([-mean / dev for mean, dev in zip(IMAGENET_MEAN, IMAGENET_DEVIATION, strict=True)])
    shift = shift.to(images_NCHW.device)
    scaled_NCHW = images_NCHW.to(torch.float32, memory_format=torch.channels_last) * scale[:, None, None]
    return scaled_NCHW + shift[:, None, None]
