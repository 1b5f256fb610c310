"""Augmentation of a batch on the device, and normalisation. Legend: N images, C = 3 channels, H = W = S pixels.

All random draws of an epoch are made at once from a CPU generator, so they do not depend on the device or batch size.
"""

from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


class Draws(NamedTuple):
    """One epoch's random numbers, one a training image; None where an augmentation is not asked for."""

    corner_2N: Tensor | None  # top and left of the window to cut
    flip_N: Tensor | None


def padding_of(image_size: int) -> int:
    """Pixels of zero padding before a random crop: an eighth of the side, as is usual (4 at 32 px)."""
    return image_size // 8


def draw(
    names: tuple[str, ...], count: int, image_size: int, generator: torch.Generator, device: torch.device
) -> Draws:
    """Draw what the named augmentations need for `count` images; the numbers then lie on the device."""
    corner_2N = flip_N = None
    if "random_crop" in names:
        corner_2N = torch.randint(2 * padding_of(image_size) + 1, (2, count), generator=generator).to(device)
    if "horizontal_flip" in names:
        flip_N = (torch.rand(count, generator=generator) < 0.5).to(device)
    return Draws(corner_2N, flip_N)


def augment(images_NCHW: Tensor, draws: Draws, rows: slice) -> Tensor:
    """Apply rows `rows` of an epoch's draws to a batch of the same number of uint8 images."""
    if draws.corner_2N is not None:
        images_NCHW = pad_and_crop(images_NCHW, *draws.corner_2N[:, rows])
    if draws.flip_N is not None:
        images_NCHW = torch.where(draws.flip_N[rows, None, None, None], images_NCHW.flip(3), images_NCHW)
    return images_NCHW


def pad_and_crop(images_NCHW: Tensor, top_N: Tensor, left_N: Tensor) -> Tensor:
    """Pad with zeros on all sides, then cut an S x S window at each image's (top, left)."""
    size = images_NCHW.shape[-1]
    padded_NCHW = F.pad(images_NCHW, [padding_of(size)] * 4)
    windows_NCYXHW = padded_NCHW.unfold(2, size, 1).unfold(3, size, 1)  # a view: every window at its (top, left)
    return windows_NCYXHW[torch.arange(len(images_NCHW), device=images_NCHW.device), :, top_N, left_N]


def normalise(images_NCHW: Tensor) -> Tensor:
    """uint8 in [0, 255] to float with ImageNet's mean and deviation taken out, channels last in memory."""
    scale_C11, shift_C11 = _scale_and_shift(images_NCHW.device)
    return (images_NCHW * scale_C11).add_(shift_C11).contiguous(memory_format=torch.channels_last)


@cache
def _scale_and_shift(device: torch.device) -> tuple[Tensor, Tensor]:
    """Copied to the device once: a copy from the host waits for it."""
    mean_C, deviation_C = (torch.tensor(part, dtype=torch.float64) for part in (IMAGENET_MEAN, IMAGENET_DEVIATION))
    scale_C, shift_C = 1 / (255 * deviation_C), -mean_C / deviation_C
    return scale_C.float().to(device)[:, None, None], shift_C.float().to(device)[:, None, None]
