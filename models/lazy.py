"""Lazy modules, such as `nn.LazyLinear`, which have no weights until they have seen an image."""

import torch
from torch import nn
from torch.nn.parameter import is_lazy


def materialised(network: nn.Module, image_size: int) -> nn.Module:
    """The network, with the weights of its lazy modules, if it has such, made for a blank image of that size."""
    if any(is_lazy(tensor) for tensor in (*network.parameters(), *network.buffers())):
        with torch.no_grad():
            network.eval()(torch.zeros(1, 3, image_size, image_size))
        network.train()
    return network
