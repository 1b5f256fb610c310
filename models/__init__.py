"""Network architectures and losses, in pure torch.

`MODELS` and `LOSSES` are literal tables. Their entries name a callable and its arguments without importing torch,
so that an experiment file is checked in milliseconds; torch comes in when an entry is loaded.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from sweeper.models import from_torchvision
from sweeper.models.registry import CALLABLE, Entry, ModelError, takes, user_callable

if TYPE_CHECKING:
    from torch import nn

__all__ = ["CALLABLE", "LIMITS", "LOSSES", "MODELS", "Entry", "ModelError", "build", "user_callable"]

MODELS: dict[str, Entry] = {
    "alexnet": Entry("sweeper.models.alexnet:alexnet", compact=bool, batch_norm=bool, dropout=float),
    "logistic_regression": Entry("sweeper.models.simple:logistic_regression"),
    "one_hidden": Entry("sweeper.models.simple:one_hidden", hidden=int),
    "resnet18": Entry("sweeper.models.resnet:resnet18", stem=Literal["imagenet", "small"]),
    "resnet34": Entry("sweeper.models.resnet:resnet34", stem=Literal["imagenet", "small"]),
    "resnet50": Entry("sweeper.models.resnet:resnet50", stem=Literal["imagenet", "small"]),
    "vgg11": Entry("sweeper.models.vgg:vgg11", batch_norm=bool, dropout=float, hidden=int),
    "vgg13": Entry("sweeper.models.vgg:vgg13", batch_norm=bool, dropout=float, hidden=int),
    "vgg16": Entry("sweeper.models.vgg:vgg16", batch_norm=bool, dropout=float, hidden=int),
    "vgg16_tiny": Entry("sweeper.models.vgg:vgg16_tiny", batch_norm=bool, dropout=float, hidden=int),
    "vgg19": Entry("sweeper.models.vgg:vgg19", batch_norm=bool, dropout=float, hidden=int),
    "wide_resnet_bottleneck": Entry(
        "sweeper.models.wide_resnet:wide_resnet_bottleneck", width=int, blocks=int, basic_stages=int, dropout=float
    ),
}

LOSSES: dict[str, Entry] = {
    "cross_entropy": Entry("sweeper.models.losses:cross_entropy"),
    "focal": Entry("sweeper.models.losses:focal", gamma=float),
    "multi_margin": Entry("sweeper.models.losses:multi_margin", violations=Literal["all", "largest"]),
    "one_vs_all_hinge": Entry("sweeper.models.losses:one_vs_all_hinge"),
    "smooth_cross_entropy": Entry("sweeper.models.losses:smooth_cross_entropy", smoothing=float),
}

LIMITS: dict[str, tuple[int, int | None]] = {  # of the models' arguments, inclusive; None: no limit
    "basic_stages": (0, 4), "blocks": (1, None), "dropout": (0, 1), "hidden": (2, None), "width": (1, None),
}  # fmt: skip


def build(
    name: str, arguments: Mapping[str, Any], classes: int, image_size: int, from_trained: bool = True
) -> "nn.Module":
    """The network `name` for `classes` outputs: an entry of `MODELS`, "torchvision.<name>" or "package.module:callable".

    The constructor is called with the number of classes and its arguments, and with `image_size` where it takes that.
    `from_trained=False` leaves trained weights out that the arguments name, where others are loaded next. Raises ModelError
    when there is no such network or it cannot take images of that size.
    """
    if name.startswith(from_torchvision.PREFIX) and ":" not in name:
        return from_torchvision.classifier(
            name.removeprefix(from_torchvision.PREFIX), classes, image_size, dict(arguments), from_trained
        )
    constructor = MODELS[name].load() if name in MODELS else user_callable(name)
    size = {"image_size": image_size} if takes(constructor, "image_size") else {}
    from sweeper.models.lazy import materialised

    return materialised(constructor(classes, **size, **arguments), image_size)
