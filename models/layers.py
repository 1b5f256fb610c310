"""What several architectures share: initialisation, and the least size of an image."""

from torch import nn

from models.registry import ModelError


def he_initialise(layer: nn.Module) -> None:
    """He et al. 2015, equation 10: without it, or normalisation, the signal fades and nothing is learned for epochs."""
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def require_size(model: str, image_size: int, least: int) -> None:
    """Raise ModelError when images are smaller than `least` pixels a side."""
    if image_size < least:
        raise ModelError(
            f"{model} needs images of {least} px or more, given {image_size} px: its last layers would be left with "
            "nothing to look at. Use larger images or a model for smaller ones"
        )
