"""Optimisers and learning rates."""

from collections.abc import Iterable

import torch
from torch import nn

from sweeper.experiment import Train


def make_optimizer(parameters: Iterable[nn.Parameter], train: Train) -> torch.optim.Optimizer:
    """SGD with momentum, and Nesterov's when asked for (Sutskever et al. 2013), in one fused kernel a step."""
    return torch.optim.SGD(
        parameters,
        lr=train.lr,
        momentum=train.momentum,
        weight_decay=train.weight_decay,
        nesterov=train.nesterov,
        fused=True,
    )


def learning_rate(train: Train, epoch: int) -> float:
    """The learning rate of an epoch (from 1). `step` multiplies it by gamma every `step_size` epochs."""
    if train.schedule == "constant":
        return train.lr
    return float(train.lr * train.gamma ** ((epoch - 1) // train.step_size))
