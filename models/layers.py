"""What several architectures share: layers, initialisation, and the least size of an image."""

from torch import Tensor, nn

from sweeper.models.registry import ModelError


class PlainNetwork(nn.Module):
    """Convolutions one after the other, a pool and a head of linear layers; named as torchvision names them."""

    def __init__(self, features: nn.Sequential, pool: nn.Module, classifier: nn.Sequential) -> None:
        super().__init__()
        self.features, self.avgpool, self.classifier = features, pool, classifier

    def forward(self, images_NCHW: Tensor) -> Tensor:
        logits_NK: Tensor = self.classifier(self.avgpool(self.features(images_NCHW)).flatten(1))
        return logits_NK


def convolution(channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """Without a bias, and padded so that only the stride makes the image smaller."""
    return nn.Conv2d(channels_in, channels_out, kernel, stride=stride, padding=kernel // 2, bias=False)


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
