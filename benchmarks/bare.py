"""The loop that one would write by hand for one experiment: SGD, crops, flips, top-1. Legend: N images, C = 3 channels."""

import hashlib

import torch
import torch.nn.functional as F
from torch import Tensor

from sweeper.data import Dataset
from sweeper.data.split import Indices
from sweeper.experiment import Settings
from sweeper.models import build

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Bare:
    """The same maths as `fit` for these settings, and nothing else: no metrics but top-1, no history, no files."""

    def __init__(self, settings: Settings, dataset: Dataset, indices: Indices, is_bfloat16: bool) -> None:
        self.settings, self.indices, self.is_bfloat16 = settings, indices, is_bfloat16
        self.images_NCHW = torch.from_numpy(dataset.images_NCHW.copy())
        self.labels_N = torch.from_numpy(dataset.labels_N.copy())
        self.size, self.padding = settings.data.image_size, settings.data.image_size // 8
        deviation_C = 255 * torch.tensor(DEVIATION, dtype=torch.float64)
        self.scale_C11 = (1 / deviation_C).float()[:, None, None]
        self.shift_C11 = (-255 * torch.tensor(MEAN, dtype=torch.float64) / deviation_C).float()[:, None, None]
        torch.manual_seed(seed_of(settings.seed, 0))
        network = build(settings.model.name, settings.model.arguments, len(dataset.classes), self.size)
        self.network = network.to(memory_format=torch.channels_last)
        train = settings.train
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=train.lr, momentum=train.momentum, fused=True)

    def train_epoch(self, epoch: int) -> None:
        """One pass over the training images, in the order and with the crops that `fit` draws for this epoch."""
        seed = seed_of(self.settings.seed, epoch)
        generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        self.network.train()
        order_N = torch.from_numpy(self.indices.train_N)
        order_N = order_N[torch.randperm(len(order_N), generator=generator)]
        corner_2N = torch.randint(2 * self.padding + 1, (2, len(order_N)), generator=generator)
        flip_N = torch.rand(len(order_N), generator=generator) < 0.5
        batch = self.settings.train.batch_size
        rows = zip(*(torch.split(drawn, batch, dim=-1) for drawn in (order_N, corner_2N, flip_N)), strict=True)
        for at_N, corners_2N, flips_N in rows:
            images_NCHW = self.normalised(self.augmented(at_N, corners_2N, flips_N))
            with torch.autocast("cpu", torch.bfloat16, enabled=self.is_bfloat16):
                logits_NK = self.network(images_NCHW)
            loss = F.cross_entropy(logits_NK.float(), self.labels_N[at_N])
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()

    def augmented(self, at_N: Tensor, corner_2N: Tensor, flip_N: Tensor) -> Tensor:
        padded_NCHW = F.pad(self.images_NCHW[at_N], [self.padding] * 4)
        windows = padded_NCHW.unfold(2, self.size, 1).unfold(3, self.size, 1)
        images_NCHW = windows[torch.arange(len(at_N)), :, corner_2N[0], corner_2N[1]]
        return torch.where(flip_N[:, None, None, None], images_NCHW.flip(3), images_NCHW)

    def normalised(self, images_NCHW: Tensor) -> Tensor:
        normal_NCHW = (images_NCHW * self.scale_C11).add_(self.shift_C11)
        return normal_NCHW.contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def top1(self, indices_N: object) -> float:
        """The accuracy on the images at `indices_N`."""
        self.network.eval()
        all_N, hits = torch.as_tensor(indices_N), 0
        for at_N in torch.split(all_N, 256):
            with torch.autocast("cpu", torch.bfloat16, enabled=self.is_bfloat16):
                logits_NK = self.network(self.normalised(self.images_NCHW[at_N]))
            hits += int((logits_NK.float().argmax(1) == self.labels_N[at_N]).sum())
        return hits / len(all_N)


def seed_of(seed: int, epoch: int) -> int:
    """The project's seed of an epoch's random numbers; epoch 0 is the initialisation."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{epoch}".encode()).digest()[:8])
