"""Pixels with a mean and a deviation taken out: ImageNet's, or those of the training images. Legend: N images, C = 3."""

from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sweeper.data import Dataset, open_prepared

Colour = tuple[float, ...]
CHUNK_BYTES = 2**22  # of pixels; numpy counts them as eight times as many


@dataclass(frozen=True)
class Normalisation:
    """Mean and deviation of each channel, of pixels in [0, 1]."""

    mean: Colour
    deviation: Colour

    def __call__(self, images_NCHW: Tensor) -> Tensor:
        """uint8 in [0, 255], or floats in [0, 1], to normalised floats, channels last in memory."""
        levels = 255 if images_NCHW.dtype == torch.uint8 else 1
        scale_C11, shift_C11 = _scale_and_shift(self, levels, images_NCHW.device)
        return (images_NCHW * scale_C11).add_(shift_C11).contiguous(memory_format=torch.channels_last)


IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def normalisation_of(
    kind: Literal["imagenet", "dataset"], dataset: Dataset, train_N: NDArray[np.int64]
) -> Normalisation:
    """What `data.normalisation` names; `dataset` looks at the training images alone."""
    return IMAGENET if kind == "imagenet" else _measured(dataset.folder, train_N.tobytes())


@lru_cache(maxsize=8)
def _measured(folder: Path, indices: bytes) -> Normalisation:
    """Once for all trials of a process."""
    return measured(open_prepared(folder).images_NCHW, np.frombuffer(indices, np.int64))


def measured(images_NCHW: NDArray[np.uint8], train_N: NDArray[np.int64]) -> Normalisation:
    """From exact counts of each level, in little memory however large the images are."""
    counts_CL = np.zeros((3, 256), np.int64)
    step = max(1, CHUNK_BYTES // images_NCHW[0].size)
    for start in range(0, len(train_N), step):
        part_NCHW = images_NCHW[train_N[start : start + step]]
        counts_CL += [np.bincount(part_NCHW[:, channel].ravel(), minlength=256) for channel in range(3)]
    share_CL, levels_L = counts_CL / counts_CL.sum(1, keepdims=True), np.arange(256) / 255
    mean_C = share_CL @ levels_L
    deviation_C = np.sqrt((share_CL * (levels_L - mean_C[:, None]) ** 2).sum(1))
    return Normalisation(tuple(mean_C.tolist()), tuple(np.maximum(deviation_C, 1 / 255).tolist()))


@cache
def _scale_and_shift(normalisation: Normalisation, levels: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Copied to the device once: a copy from the host waits for it."""
    mean_C = torch.tensor(normalisation.mean, dtype=torch.float64)
    deviation_C = torch.tensor(normalisation.deviation, dtype=torch.float64)
    scale_C, shift_C = 1 / (levels * deviation_C), -mean_C / deviation_C
    return scale_C.float().to(device)[:, None, None], shift_C.float().to(device)[:, None, None]
