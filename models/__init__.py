"""Network architectures and losses, in pure torch.

`MODELS` and `LOSSES` are literal tables. Their entries name a constructor and its arguments without importing torch,
so that an experiment file is checked in milliseconds; torch comes in when an entry is called.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models.registry import CALLABLE, Entry, ModelError, takes, user_callable

if TYPE_CHECKING:
    from torch import nn

__all__ = ["CALLABLE", "LOSSES", "MODELS", "Entry", "ModelError", "build", "user_callable"]

MODELS: dict[str, Entry] = {
    "alexnet": Entry("models.alexnet:alexnet", compact=bool, batch_norm=bool, dropout=float),
}

LOSSES: dict[str, Entry] = {
    "cross_entropy": Entry("models.losses:cross_entropy"),
    "focal": Entry("models.losses:focal", gamma=float),
    "multi_margin": Entry("models.losses:multi_margin"),
    "one_vs_all_hinge": Entry("models.losses:one_vs_all_hinge"),
    "smooth_cross_entropy": Entry("models.losses:smooth_cross_entropy", smoothing=float),
}


def build(name: str, arguments: Mapping[str, Any], classes: int, image_size: int) -> "nn.Module":
    """The network `name`, an entry of `MODELS` or "package.module:callable", for `classes` outputs.

    The constructor is called with the number of classes and its arguments, and with `image_size` where it takes that.
    """
    constructor = MODELS[name].load() if name in MODELS else user_callable(name)
    size = {"image_size": image_size} if takes(constructor, "image_size") else {}
    network: nn.Module = constructor(classes, **size, **arguments)
    return network
