"""One network in training: an epoch over the training images, an evaluation of a split. Legend: N images, K classes.

Nothing here waits for the device inside an epoch; losses and hits are summed on it and read once.
"""

import hashlib
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from models import LOSSES, build
from models.losses import mean_loss
from sweeper.data import Dataset
from sweeper.data.split import Indices
from sweeper.experiment import Settings
from sweeper.store import Machine, Row
from sweeper.training.augment import augment, draw, normalise
from sweeper.training.machine import settle
from sweeper.training.metrics import Evaluation, evaluate_logits
from sweeper.training.optim import learning_rate, make_optimizer

EVALUATION_BATCH = 256


class Trainer:
    """A network, its optimiser and the images it sees, for one trial's settings on one machine."""

    def __init__(self, settings: Settings, dataset: Dataset, indices: Indices, machine: Machine) -> None:
        settle(machine)
        self.settings, self.machine = settings, machine
        self.device = torch.device(machine.device)
        self.images_NCHW, self.labels_N = _resident(dataset, self.device)
        self.train_N, self.val_N, self.test_N = (torch.from_numpy(part) for part in indices)
        precision = machine.precision if settings.train.precision == "auto" else settings.train.precision
        self.autocast = precision == "bfloat16"
        torch.manual_seed(epoch_seed(settings.seed, 0))
        network = build(settings.model.name, settings.model.arguments, len(dataset.classes), settings.data.image_size)
        self.network = network.to(self.device).to(memory_format=torch.channels_last)
        self.optimizer = make_optimizer(self.network.parameters(), settings.train)
        self.loss: Callable[[Tensor, Tensor], Tensor] = LOSSES[settings.train.loss].load()

    def train_epoch(self, epoch: int) -> Row:
        """One pass over the training images in an order, with augmentation and dropout, drawn from (seed, epoch)."""
        start = time.perf_counter()
        train, data = self.settings.train, self.settings.data
        generator = torch.Generator().manual_seed(epoch_seed(self.settings.seed, epoch))
        torch.manual_seed(epoch_seed(self.settings.seed, epoch))
        order_N = self.train_N[torch.randperm(len(self.train_N), generator=generator)].to(self.device)
        draws = draw(data.augment, len(order_N), data.image_size, generator, self.device)
        rate = learning_rate(train, epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        sums_2 = torch.zeros(2, dtype=torch.float64, device=self.device)
        self.network.train()
        slices = batches(len(order_N), train.batch_size)
        for rows in slices:
            at_N = order_N[rows]
            sums_2 += self.step(augment(self.images_NCHW[at_N], draws, rows), self.labels_N[at_N])
        seen = slices[-1].stop
        loss, hits = (sums_2 / seen).tolist()
        seconds = time.perf_counter() - start
        return {"train/loss": loss, "train/top1": hits, "lr": rate, "images_per_second": seen / seconds}

    def step(self, images_NCHW: Tensor, labels_N: Tensor) -> Tensor:
        """One optimiser step; returns the batch's summed loss and hits, (2,), on the device."""
        logits_NK = self._logits(images_NCHW)
        loss = mean_loss(self.loss(logits_NK, labels_N), labels_N)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        hits = (logits_NK.detach().argmax(1) == labels_N).sum()
        return torch.stack([loss.detach() * len(labels_N), hits]).double()

    def _logits(self, images_NCHW: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            logits_NK: Tensor = self.network(normalise(images_NCHW))
        return logits_NK.float()

    @torch.no_grad()
    def evaluate(self, indices_N: Tensor) -> Evaluation:
        """Every metric of the network as it is on the images at `indices_N`."""
        self.network.eval()
        indices_N = indices_N.to(self.device)
        parts = torch.split(indices_N, EVALUATION_BATCH)
        logits_NK = torch.cat([self._logits(self.images_NCHW[at_N]) for at_N in parts])
        labels_N = self.labels_N[indices_N]
        return evaluate_logits(logits_NK, labels_N, mean_loss(self.loss(logits_NK, labels_N), labels_N))

    def weights(self) -> dict[str, Tensor]:
        """A copy of the network's state, on its device."""
        return {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}

    def state(self) -> dict[str, Any]:
        return {"model": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])


def epoch_seed(seed: int, epoch: int) -> int:
    """The seed of all of an epoch's random numbers; epoch 0 is the initialisation."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{epoch}".encode()).digest()[:8])


def batches(count: int, size: int) -> list[slice]:
    """Slices of `size` over `count` images. A last batch of one image, which normalisation cannot take, is left out."""
    if size > 1 and count > 1 and count % size == 1:
        count -= 1
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def _resident(dataset: Dataset, device: torch.device) -> tuple[Tensor, Tensor]:
    """The images and labels on the device; on the CPU the images stay in the shared memory map."""
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # the map is read-only, and so are we
        images_NCHW = torch.from_numpy(dataset.images_NCHW)
    return images_NCHW.to(device), torch.from_numpy(dataset.labels_N.copy()).to(device)


def peak_memory_mib(device: torch.device) -> float:
    """The most memory this process has held: on the GPU of its tensors, else of the whole process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
