"""Optimisers, and the average of the weights that they leave."""

import copy
from collections.abc import Callable, Iterable

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from sweeper.experiment import Train

Parameters = Iterable[nn.Parameter]


def make_optimizer(parameters: Parameters, train: Train) -> torch.optim.Optimizer:
    """The optimiser that the settings name, in one fused kernel a step."""
    return OPTIMIZERS[train.optimizer](parameters, train)


def sgd(parameters: Parameters, train: Train) -> torch.optim.Optimizer:
    """SGD with momentum, and Nesterov's when asked for (Sutskever et al. 2013); weight decay is L2."""
    return torch.optim.SGD(
        parameters,
        lr=train.lr,
        momentum=train.momentum,
        weight_decay=train.weight_decay,
        nesterov=train.nesterov,
        fused=True,
    )


def adam(parameters: Parameters, train: Train) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba 2015) with `momentum` as its beta1; weight decay is L2."""
    betas = (train.momentum, train.beta2)
    return torch.optim.Adam(parameters, lr=train.lr, betas=betas, weight_decay=train.weight_decay, fused=True)


def adamw(parameters: Parameters, train: Train) -> torch.optim.Optimizer:
    """Adam whose weight decay shrinks the weights by themselves (Loshchilov and Hutter 2019)."""
    betas = (train.momentum, train.beta2)
    return torch.optim.AdamW(parameters, lr=train.lr, betas=betas, weight_decay=train.weight_decay, fused=True)


OPTIMIZERS: dict[str, Callable[[Parameters, Train], torch.optim.Optimizer]] = {
    "sgd": sgd,
    "adam": adam,
    "adamw": adamw,
}


class Average:
    """The exponential moving average of a network's weights, as a network of its own that is only evaluated.

    Running statistics of normalisation are averaged alike; counters are copied.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        pairs = list(zip(_tensors(self.network), _tensors(network), strict=True))
        self.averaged = [pair for pair in pairs if pair[0].is_floating_point()]
        self.copied = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after a step (from 0): a <- d a + (1 - d) w, with d = min(decay, (1 + step) / (10 + step)).

        The smaller d of the first steps forgets where the weights began.
        """
        decay = min(self.decay, (1 + step) / (10 + step))
        ours, theirs = ([pair[side] for pair in self.averaged] for side in (0, 1))
        get_ema_multi_avg_fn(decay)(ours, theirs, step)  # type: ignore[no-untyped-call]
        for own, current in self.copied:
            own.copy_(current)


def _tensors(network: nn.Module) -> list[torch.Tensor]:
    return [*network.parameters(), *network.buffers()]
