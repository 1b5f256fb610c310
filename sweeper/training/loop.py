"""One network in training: an epoch over the training images, an evaluation of a split. Legend: N images, K classes.

Nothing here waits for the device inside an epoch; losses and hits are summed on it and read once.
"""

import hashlib
import random
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sweeper.data import Dataset
from sweeper.data.split import Indices
from sweeper.experiment import Settings, Train, name_and_arguments
from sweeper.models import LOSSES, ModelError, build
from sweeper.models.losses import mean_loss
from sweeper.store import Machine, Row
from sweeper.training.feed import Batch, Feed
from sweeper.training.machine import settle
from sweeper.training.memory import forget_peak
from sweeper.training.metrics import Evaluation, evaluate_logits
from sweeper.training.optim import Average, make_optimizer
from sweeper.training.schedules import rates
from sweeper.training.weighting import class_weights

EVALUATION_BATCH, EVALUATION_PIXELS = 256, 256 * 128**2
Loss = Callable[[Tensor, Tensor], Tensor]


class Trainer:
    """A network, its optimiser and the images it sees, for one trial's settings on one machine."""

    def __init__(self, settings: Settings, dataset: Dataset, indices: Indices, machine: Machine) -> None:
        settle(machine)
        forget_peak()
        self.settings, self.machine, train = settings, machine, settings.train
        self.device = torch.device(machine.device)
        self.feed = Feed(settings.data, dataset, indices, self.device)
        self.evaluation_batch = evaluation_batch(settings.data.input_size)
        self.loss, self.classes = loss_of(train), len(dataset.classes)
        weights_K = class_weights(train.class_weights, dataset, torch.from_numpy(dataset.labels_N[indices.train_N]))
        self.weights_K = None if weights_K is None else weights_K.to(self.device)
        precision = machine.precision if train.precision == "auto" else train.precision
        self.autocast = precision == "bfloat16"
        seed_all(epoch_seed(settings.seed, 0))
        network = build(settings.model.name, settings.model.arguments, self.classes, settings.data.input_size)
        self.network = channels_last(network.to(self.device))
        self.optimizer = make_optimizer(self.network.parameters(), train)
        self.average = Average(self.network, train.ema) if train.ema else None

    @property
    def judged(self) -> nn.Module:
        """The network that is evaluated and kept: the average of the weights, where there is one."""
        return self.average.network if self.average else self.network

    def train_epoch(self, epoch: int, history: Sequence[Row]) -> Row:
        """One pass over the training images in an order, with augmentation and dropout, drawn from (seed, epoch).

        The row's `lr` is the rate of the last step.
        """
        start = time.perf_counter()
        slices = self.feed.slices(self.settings.train.batch_size)
        rate_S = rates(self.settings.train, epoch, len(slices), history)
        generator = torch.Generator().manual_seed(epoch_seed(self.settings.seed, epoch))
        seed_all(epoch_seed(self.settings.seed, epoch))
        self.network.train()
        sums_2 = torch.zeros(2, dtype=torch.float64, device=self.device)
        for at, batch in enumerate(self.feed.epoch(slices, generator)):
            sums_2 += self.step(batch, rate_S[at])
            if self.average:
                self.average.update((epoch - 1) * len(slices) + at)
        seen = slices[-1].stop
        loss, hits = (sums_2 / seen).tolist()
        seconds = time.perf_counter() - start
        return {"train/loss": loss, "train/top1": hits, "lr": rate_S[-1], "images_per_second": seen / seconds}

    def step(self, batch: Batch, rate: float) -> Tensor:
        """One optimiser step; returns the batch's summed loss and hits, (2,), on the device."""
        logits_NK = self._logits(self.network, batch.images_NCHW)
        loss, dominant_N = self._batch_loss(logits_NK, batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.settings.train.clip_norm:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.train.clip_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        hits = (logits_NK.detach().argmax(1) == dominant_N).sum()
        return torch.stack([loss.detach() * len(dominant_N), hits]).double()

    def _batch_loss(self, logits_NK: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """The weighted mean loss, of mixed images by the shares of both labels; and the labels of the larger shares."""
        own_N, mix = batch.labels_N, batch.mix
        loss = mean_loss(self.loss(logits_NK, own_N), own_N, self.weights_K)
        if mix is None:
            return loss, own_N
        other_N = own_N.roll(1, 0)
        other_loss = mean_loss(self.loss(logits_NK, other_N), other_N, self.weights_K)
        return mix.share * loss + (1 - mix.share) * other_loss, own_N if mix.share >= 0.5 else other_N

    def _logits(self, network: nn.Module, images_NCHW: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            logits_NK: Tensor = network(images_NCHW)
        if not isinstance(logits_NK, Tensor) or logits_NK.shape != (len(images_NCHW), self.classes):
            raise ModelError(_wrong_output(logits_NK, len(images_NCHW), self.classes))
        return logits_NK.float()

    @torch.no_grad()
    def evaluate(self, indices_N: Tensor, ten_crop: bool = False) -> Evaluation:
        """Every metric of the judged network on the images at `indices_N`: of their middles, or of ten crops each."""
        self.judged.eval()
        logits_of = self._ten_crop_logits if ten_crop else self._centre_logits
        indices_N = indices_N.to(self.feed.home)
        logits_NK = torch.cat([logits_of(at_N) for at_N in torch.split(indices_N, self.evaluation_batch)])
        labels_N = self.feed.labels_of(indices_N)
        return evaluate_logits(logits_NK, labels_N, mean_loss(self.loss(logits_NK, labels_N), labels_N))

    def _centre_logits(self, at_N: Tensor) -> Tensor:
        return self._logits(self.judged, self.feed.seen(at_N))

    def _ten_crop_logits(self, at_N: Tensor) -> Tensor:
        """The mean of the logits, which every loss can take."""
        return _mean(self._logits(self.judged, crop_NCHW) for crop_NCHW in self.feed.seen_ten_times(at_N))

    def example(self) -> Tensor:
        """A fixed batch of validation images, else of training images, as the network sees them."""
        at_N = self.feed.val_N if len(self.feed.val_N) else self.feed.train_N
        return self.feed.seen(at_N[: self.evaluation_batch].to(self.feed.home))

    def is_finite(self) -> bool:
        """Whether every weight is a number; where there are validation images, their loss tells."""
        return all(bool(tensor.isfinite().all()) for tensor in self.judged.parameters())

    def state(self) -> dict[str, Any]:
        average = {"average": self.average.network.state_dict()} if self.average else {}
        return {"model": self.network.state_dict(), "optimizer": self.optimizer.state_dict(), **average}

    def load_state(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average:
            self.average.network.load_state_dict(state["average"])


def channels_last(network: nn.Module) -> nn.Module:
    """The network with its images' channels last in memory; what has not four dimensions, as Conv3d's, stays as it is."""
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.dim() == 4:
            tensor.data = tensor.data.to(memory_format=torch.channels_last)
    return network


def evaluation_batch(pixels: int) -> int:
    """How many images of `pixels` a side are evaluated at once: fewer above 128 px, as activations grow with the image."""
    return max(1, min(EVALUATION_BATCH, EVALUATION_PIXELS // pixels**2))


def loss_of(train: Train) -> Loss:
    """The loss of each image, with its arguments."""
    name, arguments = name_and_arguments(train.loss)
    return partial(LOSSES[name].load(), **arguments)


def epoch_seed(seed: int, epoch: int) -> int:
    """The seed of all of an epoch's random numbers; epoch 0 is the initialisation."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{epoch}".encode()).digest()[:8])


def seed_all(seed: int) -> None:
    """Seed what a network may draw from: torch's generators, and for a user's own Python's and numpy's."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


def _mean(parts: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(parts)).mean(0)


def _wrong_output(output: object, images: int, classes: int) -> str:
    given = f"a tensor of shape {tuple(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
    return f"the model makes {given} of {images} images; it must make a tensor of logits, {(images, classes)}"
