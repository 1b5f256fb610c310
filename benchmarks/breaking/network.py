"""What sweeper trains in `benchmarks.faults`: a network that notes its training batches as the peers do."""

import torch
from torch import Tensor, nn

from benchmarks.peers.digits import HIDDEN, IMAGE_SIZE, note_batch


class Noted(nn.Module):
    """One hidden layer, as the peers have it."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        inputs = 3 * IMAGE_SIZE**2
        self.inner = nn.Sequential(nn.Flatten(), nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, classes))

    def forward(self, images_NCHW: Tensor) -> Tensor:
        if self.training and torch.is_grad_enabled():
            note_batch()
        logits_NK: Tensor = self.inner(images_NCHW)
        return logits_NK


def network(classes: int) -> nn.Module:
    return Noted(classes)
