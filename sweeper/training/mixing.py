"""mixup and cutmix: each image of a batch mixed with its neighbour in the (shuffled) batch. Legend: N images."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sweeper.training.augment import Asked

MIXES = ("mixup", "cutmix")


class Mix(NamedTuple):
    """How a batch is mixed: the share of the image's own label, and cutmix's box (top, bottom, left, right) in pixels."""

    share: float
    box: tuple[int, int, int, int] | None = None


def draw_mixes(asked: Asked, count: int, size: int, generator: torch.Generator) -> list[Mix | None]:
    """One a batch for `count` batches of images of `size` pixels; of two kinds asked for, each is as likely."""
    kinds = [name for name in MIXES if name in asked]
    if not kinds:
        return [None] * count
    numbers = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
    return [_mix(kinds[numbers.integers(len(kinds))], asked, size, numbers) for _ in range(count)]


def _mix(kind: str, asked: Asked, size: int, numbers: np.random.Generator) -> Mix:
    alpha = asked[kind]["alpha"]
    share = float(numbers.beta(alpha, alpha))
    if kind == "mixup":
        return Mix(share)
    return box_of(share, int(numbers.integers(size)), int(numbers.integers(size)), size)


def box_of(share: float, row: int, column: int, size: int) -> Mix:
    """The box around (row, column) that leaves `share` of the image, cut off at its edges (Yun et al. 2019, section 3.2).

    The label's share is that of the pixels which are left.
    """
    half = int(size * (1 - share) ** 0.5) // 2
    top, bottom = max(row - half, 0), min(row + half, size)
    left, right = max(column - half, 0), min(column + half, size)
    return Mix(1 - (bottom - top) * (right - left) / size**2, (top, bottom, left, right))


def mixed(images_NCHW: Tensor, mix: Mix) -> Tensor:
    """A batch with its neighbours mixed in (Zhang et al. 2018, equation 1); cutmix writes into the batch itself."""
    if mix.box is None:
        return images_NCHW.lerp(images_NCHW.roll(1, 0), 1 - mix.share)
    top, bottom, left, right = mix.box
    images_NCHW[:, :, top:bottom, left:right] = images_NCHW[:, :, top:bottom, left:right].roll(1, 0)
    return images_NCHW
