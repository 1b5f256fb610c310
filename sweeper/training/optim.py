"""Optimisers, and the average of the weights that they leave."""

import copy
import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from sweeper.experiment import Train

Parameters = Iterable[nn.Parameter]
K = TypeVar("K", bound=torch.optim.Optimizer)


def _uncompiled(kind: type[K]) -> type[K]:
    """An optimiser without what torch wraps around its methods for `torch.compile`, whose import takes 1.5 s.

    No optimiser is compiled here. A step computes what it did, without gradients as of any that is not `differentiable`.
    """
    wrapped = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    plain = {name: inspect.unwrap(getattr(kind, name)) for name in wrapped}
    step = torch.no_grad()(inspect.unwrap(kind.step))
    return cast("type[K]", type(kind.__name__, (kind,), {**plain, "step": step}))


SGD, Adam, AdamW = _uncompiled(torch.optim.SGD), _uncompiled(torch.optim.Adam), _uncompiled(torch.optim.AdamW)


def make_optimizer(parameters: Parameters, train: Train) -> torch.optim.Optimizer:
    """The optimiser that the settings name, in one fused kernel a step."""
    return OPTIMIZERS[train.optimizer](parameters, train)


def sgd(parameters: Parameters, train: Train) -> torch.optim.Optimizer:
    """SGD with momentum, and Nesterov's when asked for (Sutskever et al. 2013); weight decay is L2."""
    optimizer = SGD(
        parameters,
        lr=train.lr,
        momentum=train.momentum,
        weight_decay=train.weight_decay,
        nesterov=train.nesterov,
        fused=True,
    )
    # The fused kernel takes buffers of all weights or of none, and a layer may be left out of the first step.
    if train.momentum:
        for weight in filter(lambda weight: weight.requires_grad, optimizer.param_groups[0]["params"]):
            optimizer.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
    return optimizer


def adam(parameters: Parameters, train: Train) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba 2015) with `momentum` as its beta1; weight decay is L2."""
    betas = (train.momentum, train.beta2)
    return Adam(parameters, lr=train.lr, betas=betas, weight_decay=train.weight_decay, fused=True)


def adamw(parameters: Parameters, train: Train) -> torch.optim.Optimizer:
    """Adam whose weight decay shrinks the weights by themselves (Loshchilov and Hutter 2019)."""
    betas = (train.momentum, train.beta2)
    return AdamW(parameters, lr=train.lr, betas=betas, weight_decay=train.weight_decay, fused=True)


OPTIMIZERS: dict[str, Callable[[Parameters, Train], torch.optim.Optimizer]] = {
    "sgd": sgd,
    "adam": adam,
    "adamw": adamw,
}


class Average:
    """The exponential moving average of a network's weights, as a network of its own that is only evaluated.

    Running statistics of normalisation are averaged alike; counters are copied. Buffers are looked up at each step, as a
    module may assign them anew.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = _copy_of(network).eval().requires_grad_(False)
        self.decay = decay
        self.parameters = list(zip(self.network.parameters(), network.parameters(), strict=True))
        self.buffers = list(zip(_buffers(self.network), _buffers(network), strict=True))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after a step (from 0): a <- d a + (1 - d) w, with d = min(decay, (1 + step) / (10 + step)).

        The smaller d of the first steps forgets where the weights began.
        """
        decay = min(self.decay, (1 + step) / (10 + step))
        pairs = [*self.parameters, *((own[name], current[name]) for (own, name), (current, _) in self.buffers)]
        ours, theirs = ([pair[side] for pair in pairs if pair[0].is_floating_point()] for side in (0, 1))
        get_ema_multi_avg_fn(decay)(ours, theirs, step)  # type: ignore[no-untyped-call]
        for own, current in pairs:
            if not own.is_floating_point():
                own.copy_(current)


def _copy_of(network: nn.Module) -> nn.Module:
    """With what modules compute of their weights and keep, as `weight_norm` does, by its value: deepcopy refuses that."""
    attributes = (value for module in network.modules() for value in vars(module).values())
    computed = (value for value in attributes if isinstance(value, torch.Tensor) and not value.is_leaf)
    return copy.deepcopy(network, {id(value): value.detach().clone() for value in computed})


def _buffers(network: nn.Module) -> list[tuple[dict[str, Any], str]]:
    """Where each of them is: a module's buffers, and its name there."""
    places = (path.rpartition(".") for path, _ in network.named_buffers())
    return [(network.get_submodule(module)._buffers, name) for module, _, name in places]
