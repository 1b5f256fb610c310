"""Augmentation of a batch. Legend: N images, C = 3 channels, H = W pixels.

All random draws of an epoch are made at once from a CPU generator, one an image, so they do not depend on the device
or the batch size. Crops and flips act on uint8, colours on floats in [0, 1], erasing on normalised floats.
"""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sweeper.experiment import AUGMENTATIONS, Data, Word, name_and_arguments
from sweeper.models.classifier import centre, middle
from sweeper.training.colour import COLOURS

Asked = Mapping[str, Mapping[str, float]]
"""Augmentations by name, with all their arguments."""

ERASED_AREA, ERASED_RATIO = (0.02, 0.33), (0.3, 3.3)


class Draws(NamedTuple):
    """One epoch's random numbers, one a training image; None where an augmentation is not asked for."""

    corner_2N: Tensor | None = None  # top and left of the window to cut
    flip_N: Tensor | None = None
    colour_N: Mapping[str, Tensor] = {}  # factors; for hue a part of the colour circle
    erased_4N: Tensor | None = None  # top, left, height and width; no height: nothing is erased


def asked_for(words: Iterable[Word]) -> Asked:
    """The augmentations that a file lists, each with its defaults filled in."""
    parts = [name_and_arguments(word) for word in words]
    return {
        name: {argument: float(given.get(argument, default)) for argument, (default, *_) in AUGMENTATIONS[name].items()}
        for name, given in parts
    }


def padding_of(data: Data) -> int:
    """Pixels of zero padding before a random crop: none where it cuts smaller images, else an eighth of the side."""
    return 0 if data.crop_size else data.image_size // 8  # 4 at 32 px, as is usual


def draw(data: Data, count: int, generator: torch.Generator, device: torch.device, home: torch.device) -> Draws:
    """Draw what `data.augment` needs for `count` images. Crops and flips lie at the images' home, the rest on the device."""
    asked, colour_N = asked_for(data.augment), {}
    corner_2N = flip_N = erased_4N = None
    if "random_crop" in asked:
        corners = data.image_size + 2 * padding_of(data) - data.input_size + 1
        corner_2N = torch.randint(corners, (2, count), generator=generator).to(home)
    if "horizontal_flip" in asked:
        flip_N = (torch.rand(count, generator=generator) < 0.5).to(home)
    for name in COLOURS:
        if name in asked:
            spread_N = (2 * torch.rand(count, generator=generator) - 1) * asked[name]["strength"]
            colour_N[name] = (spread_N if name == "hue" else 1 + spread_N).to(device)
    if "random_erasing" in asked:
        erased_4N = draw_boxes(asked["random_erasing"]["probability"], count, data.input_size, generator).to(device)
    return Draws(corner_2N, flip_N, colour_N, erased_4N)


def draw_boxes(probability: float, count: int, size: int, generator: torch.Generator) -> Tensor:
    """Boxes of 2 % to 33 % of the image, 0.3 to 3.3 times as high as wide (Zhong et al. 2020), (4, N) int64."""
    luck_N, area_N, ratio_N, top_N, left_N = torch.rand((5, count), generator=generator)
    area_N = (ERASED_AREA[0] + (ERASED_AREA[1] - ERASED_AREA[0]) * area_N) * size**2
    low, high = (math.log(ratio) for ratio in ERASED_RATIO)
    stretch_N = (low + (high - low) * ratio_N).mul(0.5).exp()
    height_N, width_N = (
        side_N.round().clamp(1, size) for side_N in (area_N.sqrt() * stretch_N, area_N.sqrt() / stretch_N)
    )
    top_N, left_N = (top_N * (size - height_N + 1)).floor(), (left_N * (size - width_N + 1)).floor()
    return torch.stack([top_N, left_N, height_N * (luck_N < probability), width_N]).long()


def place(images_NCHW: Tensor, at_N: Tensor, draws: Draws, rows: slice, data: Data) -> Tensor:
    """The images at `at_N`, uint8, cropped and flipped by rows `rows` of an epoch's draws.

    A CPU copies image by image: a tenth of the time of the passes over the whole batch that suit a GPU.
    """
    if images_NCHW.device.type == "cpu":
        return _copied(images_NCHW, at_N, draws, rows, data)
    return place_at_once(images_NCHW[at_N], draws, rows, data)


def _copied(images_NCHW: Tensor, at_N: Tensor, draws: Draws, rows: slice, data: Data) -> Tensor:
    """Each image's window, parts of which may lie in the padding, copied to where it is seen."""
    source_NCHW, whole, size = images_NCHW.numpy(), images_NCHW.shape[-1], data.input_size
    if draws.corner_2N is None:
        corners_N2 = [[middle(whole, size)] * 2] * len(at_N)
    else:
        corners_N2 = (draws.corner_2N[:, rows].T - padding_of(data)).tolist()
    flips_N = [False] * len(at_N) if draws.flip_N is None else draws.flip_N[rows].tolist()
    out_NCHW = np.zeros((len(at_N), source_NCHW.shape[1], size, size), np.uint8)
    for out_CHW, at, (top, left), flip in zip(out_NCHW, at_N.tolist(), corners_N2, flips_N, strict=True):
        y, y_end, x, x_end = max(top, 0), min(top + size, whole), max(left, 0), min(left + size, whole)
        seen_CHW = out_CHW[:, :, ::-1] if flip else out_CHW
        seen_CHW[:, y - top : y_end - top, x - left : x_end - left] = source_NCHW[at, :, y:y_end, x:x_end]
    return torch.from_numpy(out_NCHW)


def place_at_once(images_NCHW: Tensor, draws: Draws, rows: slice, data: Data) -> Tensor:
    """The same for a batch on a GPU, in a few kernels."""
    if draws.corner_2N is not None:
        images_NCHW = pad_and_crop(images_NCHW, draws.corner_2N[:, rows], padding_of(data), data.input_size)
    else:
        images_NCHW = centre(images_NCHW, data.input_size)
    if draws.flip_N is not None:
        images_NCHW = torch.where(draws.flip_N[rows, None, None, None], images_NCHW.flip(3), images_NCHW)
    return images_NCHW


def colour(images_NCHW: Tensor, draws: Draws, rows: slice) -> Tensor:
    """uint8 images as they are, or with their colours changed as floats in [0, 1]."""
    if not draws.colour_N:
        return images_NCHW
    scaled_NCHW = images_NCHW.float() / 255
    for name, amounts_N in draws.colour_N.items():
        scaled_NCHW = COLOURS[name](scaled_NCHW, amounts_N[rows, None, None, None])
    return scaled_NCHW


def erase(images_NCHW: Tensor, draws: Draws, rows: slice) -> Tensor:
    """Normalised images with their box set to 0, the mean colour."""
    if draws.erased_4N is None:
        return images_NCHW
    top_N11, left_N11, height_N11, width_N11 = draws.erased_4N[:, rows, None, None]
    pixel = torch.arange(images_NCHW.shape[-1], device=images_NCHW.device)
    inside_NH1 = (pixel[:, None] >= top_N11) & (pixel[:, None] < top_N11 + height_N11)
    inside_N1W = (pixel >= left_N11) & (pixel < left_N11 + width_N11)
    return images_NCHW.masked_fill((inside_NH1 & inside_N1W)[:, None], 0)


def pad_and_crop(images_NCHW: Tensor, corner_2N: Tensor, padding: int, size: int) -> Tensor:
    """Pad with zeros on all sides, then cut a window of `size` at each image's (top, left)."""
    top_N, left_N = corner_2N
    padded_NCHW = F.pad(images_NCHW, [padding] * 4) if padding else images_NCHW
    windows_NCYXHW = padded_NCHW.unfold(2, size, 1).unfold(3, size, 1)  # a view: every window at its (top, left)
    return windows_NCYXHW[torch.arange(len(images_NCHW), device=images_NCHW.device), :, top_N, left_N]


def ten_crops(images_NCHW: Tensor, size: int) -> list[Tensor]:
    """The four corners and the middle, then those of the mirrored image (Krizhevsky et al. 2012, section 4.1)."""
    end = images_NCHW.shape[-1] - size
    corners = [(0, 0), (0, end), (end, 0), (end, end)]
    crops = []
    for seen_NCHW in (images_NCHW, images_NCHW.flip(3)):
        crops += [seen_NCHW[:, :, top : top + size, left : left + size] for top, left in corners]
        crops.append(centre(seen_NCHW, size))
    return crops
