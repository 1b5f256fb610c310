"""Images on the device as the network sees them. Legend: N images, C = 3 channels, H = W pixels."""

import warnings
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sweeper.data import Dataset
from sweeper.data.split import Indices
from sweeper.experiment import Data
from sweeper.models.classifier import centre
from sweeper.training.augment import Draws, asked_for, colour, draw, erase, place, ten_crops
from sweeper.training.mixing import Mix, draw_mixes, mixed
from sweeper.training.normalisation import normalisation_of


class Batch(NamedTuple):
    """Normalised images, their labels, and how they were mixed."""

    images_NCHW: Tensor
    labels_N: Tensor
    mix: Mix | None = None


class Feed:
    """A data set's images and labels, at their `home`: the device, or the memory map that the CPU's processes share.

    Images that would fill more than half of a GPU's free memory stay in the map, and go over a batch at a time.
    """

    def __init__(self, data: Data, dataset: Dataset, indices: Indices, device: torch.device) -> None:
        self.data, self.device = data, device
        self.home = device if _fits(dataset, device) else torch.device("cpu")
        self.images_NCHW, self.labels_N = _resident(dataset, self.home)
        self.train_N, self.val_N, self.test_N = (torch.from_numpy(part) for part in indices)
        self.normalisation = normalisation_of(data.normalisation, dataset, indices.train_N)
        self.asked = asked_for(data.augment)

    def slices(self, batch_size: int) -> list[slice]:
        """The batches of an epoch, as rows of its order."""
        return batches(len(self.train_N), batch_size)

    def epoch(self, slices: Sequence[slice], generator: torch.Generator) -> Iterator[Batch]:
        """The training images once, in an order and with augmentation drawn from `generator`."""
        order_N = self.train_N[torch.randperm(len(self.train_N), generator=generator)].to(self.home)
        draws = draw(self.data, len(order_N), generator, self.device, self.home)
        mixes = draw_mixes(self.asked, len(slices), self.data.input_size, generator)
        for rows, mix in zip(slices, mixes, strict=True):
            at_N = order_N[rows]
            yield Batch(self.augmented(at_N, draws, rows, mix), self.labels_of(at_N), mix)

    def augmented(self, at_N: Tensor, draws: Draws, rows: slice, mix: Mix | None) -> Tensor:
        """The images at `at_N` by rows `rows` of an epoch's draws, normalised."""
        images_NCHW = self._on_device(place(self.images_NCHW, at_N, draws, rows, self.data))
        images_NCHW = colour(images_NCHW, draws, rows)
        images_NCHW = erase(self.normalisation(images_NCHW), draws, rows)
        return mixed(images_NCHW, mix) if mix else images_NCHW

    def seen(self, at_N: Tensor) -> Tensor:
        """The middles of the images at `at_N`, normalised."""
        return self.normalisation(centre(self._images_of(at_N), self.data.input_size))

    def seen_ten_times(self, at_N: Tensor) -> Iterator[Tensor]:
        """The ten crops of the images at `at_N`, normalised, one after another."""
        for crop_NCHW in ten_crops(self._images_of(at_N), self.data.input_size):
            yield self.normalisation(crop_NCHW)

    def labels_of(self, at_N: Tensor) -> Tensor:
        """The labels of the images at `at_N`, on the device."""
        return self._on_device(self.labels_N[at_N])

    def _images_of(self, at_N: Tensor) -> Tensor:
        return self._on_device(self.images_NCHW[at_N])

    def _on_device(self, tensor: Tensor) -> Tensor:
        """From home to the device, through pinned memory, so that nothing waits for it."""
        if self.home == self.device:
            return tensor
        return tensor.pin_memory().to(self.device, non_blocking=True)


def batches(count: int, size: int) -> list[slice]:
    """Slices of `size` over `count` images. A last batch of one image, which normalisation cannot take, is left out."""
    if size > 1 and count > 1 and count % size == 1:
        count -= 1
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def _fits(dataset: Dataset, device: torch.device) -> bool:
    if device.type == "cpu":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # from the trial before
    return dataset.images_NCHW.nbytes <= (free + kept) / 2


def _resident(dataset: Dataset, device: torch.device) -> tuple[Tensor, Tensor]:
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # the map is read-only, and so are we
        images_NCHW = torch.from_numpy(dataset.images_NCHW)
    return images_NCHW.to(device), torch.from_numpy(dataset.labels_N.copy()).to(device)
