"""Any of torchvision's classifiers, as `torchvision.<name>`, with its own arguments and, if asked, trained weights.

Legend: images (N, 3, S, S) -> logits (N, K).
"""

import difflib
from typing import TYPE_CHECKING, Any

from sweeper.models.registry import ModelError

if TYPE_CHECKING:
    from torch import nn

PREFIX = "torchvision."
LOGITS_ALONE: dict[str, dict[str, bool]] = {  # else these two give auxiliary logits as well in training
    "googlenet": {"aux_logits": False, "init_weights": True},
    "inception_v3": {"aux_logits": False, "init_weights": True},
}
CLASSIFIERS = frozenset({
    "alexnet", "convnext_base", "convnext_large", "convnext_small", "convnext_tiny", "densenet121",
    "densenet161", "densenet169", "densenet201", "efficientnet_b0", "efficientnet_b1", "efficientnet_b2",
    "efficientnet_b3", "efficientnet_b4", "efficientnet_b5", "efficientnet_b6", "efficientnet_b7",
    "efficientnet_v2_l", "efficientnet_v2_m", "efficientnet_v2_s", "googlenet", "inception_v3", "maxvit_t",
    "mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3", "mobilenet_v2", "mobilenet_v3_large",
    "mobilenet_v3_small", "regnet_x_16gf", "regnet_x_1_6gf", "regnet_x_32gf", "regnet_x_3_2gf",
    "regnet_x_400mf", "regnet_x_800mf", "regnet_x_8gf", "regnet_y_128gf", "regnet_y_16gf", "regnet_y_1_6gf",
    "regnet_y_32gf", "regnet_y_3_2gf", "regnet_y_400mf", "regnet_y_800mf", "regnet_y_8gf", "resnet101",
    "resnet152", "resnet18", "resnet34", "resnet50", "resnext101_32x8d", "resnext101_64x4d", "resnext50_32x4d",
    "shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0", "squeezenet1_0",
    "squeezenet1_1", "swin_b", "swin_s", "swin_t", "swin_v2_b", "swin_v2_s", "swin_v2_t", "vgg11", "vgg11_bn",
    "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn", "vit_b_16", "vit_b_32", "vit_h_14",
    "vit_l_16", "vit_l_32", "wide_resnet101_2", "wide_resnet50_2",
})  # fmt: skip
"""Those of torchvision 0.29, so that a file that names one is checked without the seconds that its import takes."""


def classifier(name: str, classes: int, image_size: int, arguments: dict[str, Any], from_trained: bool) -> "nn.Module":
    """torchvision's classifier `name`, without its prefix, for `classes` outputs.

    It starts from the trained weights that the argument `weights` names, but for `from_trained=False`. Raises ModelError for an
    unknown name, for arguments that it does not take and for images that it cannot take; see also `trained.start_from`.
    """
    from torchvision.models import get_model

    if wrong := what_is_wrong(name):
        raise ModelError(wrong)
    if arguments.get("aux_logits"):
        raise ModelError(f"{PREFIX}{name}: auxiliary logits are not trained here; leave `aux_logits` out")
    weights = arguments.pop("weights", None)
    # These two were trained on levels from -1 to 1, and make them of ImageNet's normalisation.
    levels = {"transform_input": True} if weights is not None and name in LOGITS_ALONE else {}
    given = {**LOGITS_ALONE.get(name, {}), **_sizes(name, image_size), **levels, **arguments}
    try:
        network: nn.Module = get_model(name, weights=None, num_classes=classes, **given)
    except (AssertionError, TypeError, ValueError) as error:
        told = (
            f"{PREFIX}{name} with {arguments}, for images of {image_size} px (made for {_stated_size(name)} px or more)"
        )
        raise ModelError(f"{told}: {error}") from error
    _require_size(name, network, image_size)
    if weights is not None and from_trained:
        from sweeper.models.trained import start_from

        start_from(network, name, weights, classes)
    return network


def what_is_wrong(name: str) -> str | None:
    """A sentence with the nearest names when torchvision has no classifier `name`, else None."""
    if name in CLASSIFIERS:
        return None
    import torchvision

    known: list[str] = torchvision.models.list_models(module=torchvision.models)  # a newer one may have more
    if name in known:
        return None
    near = " or ".join(f"`{PREFIX}{one}`" for one in difflib.get_close_matches(name, known))
    hint = f"did you mean {near}?" if near else f"it has {', '.join(known)}"
    return f"torchvision {torchvision.__version__} has no classifier `{name}`; {hint}"


def _sizes(name: str, image_size: int) -> dict[str, Any]:
    """What transformers with positions must know beforehand."""
    if name.startswith("vit_"):
        return {"image_size": image_size}
    return {"input_size": (image_size, image_size)} if name.startswith("maxvit_") else {}


def _require_size(name: str, network: "nn.Module", image_size: int) -> None:
    """Below the size that torchvision states, which for some is only what they were trained on, try a blank image."""
    import torch

    least = _stated_size(name)
    if image_size >= least:
        return
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, 3, image_size, image_size))
    except RuntimeError as error:
        message = f"{PREFIX}{name} needs images of {least} px or more, given {image_size} px: {error}"
        raise ModelError(message) from error
    network.train()


def _stated_size(name: str) -> int:
    """The least size, in pixels, by what torchvision says of its trained weights."""
    from torchvision.models import get_model_weights

    return min(int(weights.meta["min_size"][0]) for weights in get_model_weights(name))
