"""A network's state as a value: its tensors by name, and the versions of its modules, which some need to load it."""

import copy
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

Weights = Mapping[str, Any]
"""What `Module.state_dict` gives: tensors, and what a user's own module adds. Its attribute `_metadata` holds the versions."""


def copy_of(network: nn.Module) -> Weights:
    """A copy of the state, on its device."""
    return copy.deepcopy(network.state_dict())


def on_cpu(weights: Weights) -> Weights:
    """The same state with its tensors on the CPU."""
    moved = {name: value.cpu() if isinstance(value, Tensor) else value for name, value in weights.items()}
    return _with_versions(moved, weights)


def load(network: nn.Module, weights: Weights) -> None:
    """Put a state into a network; the versions that files of before do not tell are this network's own."""
    tells = weights if hasattr(weights, "_metadata") else network.state_dict()
    network.load_state_dict(_with_versions(weights, tells))


def _with_versions(weights: Weights, of: Weights) -> Weights:
    versioned = OrderedDict(weights)
    versioned._metadata = of._metadata  # type: ignore[attr-defined]
    return versioned
