"""Each model with options that keep it small, and what tests ask of networks. Legend: N images, K classes."""

import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sweeper.models import MODELS

Options = dict[str, Any]
SIZE = 32
SMALL: dict[str, tuple[Options, ...]] = {  # the first is without dropout
    "alexnet": ({"compact": True, "dropout": 0.0}, {"compact": True}, {"compact": True, "batch_norm": True}),
    "logistic_regression": ({},),
    "one_hidden": ({"hidden": 16},),
    "resnet18": ({}, {"stem": "small"}),
    "resnet34": ({},),
    "resnet50": ({"stem": "imagenet"},),
    "vgg11": ({"hidden": 64, "batch_norm": True, "dropout": 0.0}, {"hidden": 64}),
    "vgg13": ({"hidden": 64, "dropout": 0.0},),
    "vgg16": ({"hidden": 64, "batch_norm": True, "dropout": 0.0},),
    "vgg16_tiny": ({"hidden": 64, "dropout": 0.0}, {"hidden": 64, "batch_norm": True}),
    "vgg19": ({"hidden": 64, "dropout": 0.0},),
    "wide_resnet_bottleneck": ({"width": 1}, {"width": 1, "blocks": 1, "basic_stages": 0, "dropout": 0.1}),
}
EVERY = [pytest.param(name, options, id=f"{name} {json.dumps(options)}") for name in MODELS for options in SMALL[name]]


def images(count: int = 4, size: int = SIZE, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def rate_to_lower(network: nn.Module, loss: float, share: float) -> float:
    """The rate of SGD that would lower the loss by `share` of it if the loss were a plane."""
    squared = sum(float(p.grad.norm()) ** 2 for p in network.parameters() if p.grad is not None)
    return share * loss / squared


def descend(network: nn.Module, loss: Tensor) -> None:
    """One step of SGD that would take a tenth of the loss away if the loss were a plane."""
    network.zero_grad()
    torch.autograd.backward(loss)
    torch.optim.SGD(network.parameters(), rate_to_lower(network, loss.item(), share=0.1)).step()


def assert_it_learns(network: nn.Module, classes: int, size: int = SIZE) -> None:
    logits_NK = network(images(size=size))
    assert logits_NK.shape == (4, classes)
    torch.autograd.backward(nn.functional.cross_entropy(logits_NK, torch.arange(4)))
    assert_every_parameter_has_a_slope(network)


def assert_every_parameter_has_a_slope(network: nn.Module) -> None:
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name
