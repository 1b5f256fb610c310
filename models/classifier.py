"""A network with its preprocessing inside: what is logged to MLflow. Legend: N images, S pixels a side, K classes."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Classifier(nn.Module):
    """Raw uint8 images (N, 3, any, any) -> logits (N, K) float32.

    Of images of another size the largest centred square is scaled to S x S, as when a data set is prepared; with a
    `crop_size` the network sees the middle of that many pixels.
    """

    mean_3: Tensor
    deviation_3: Tensor

    def __init__(
        self,
        network: nn.Module,
        image_size: int,
        mean: Sequence[float],
        deviation: Sequence[float],
        classes: Sequence[str],
        crop_size: int | None = None,
    ) -> None:
        super().__init__()
        self.network, self.image_size, self.classes = network, image_size, list(classes)
        self.input_size = crop_size or image_size
        self.register_buffer("mean_3", torch.tensor(mean))
        self.register_buffer("deviation_3", torch.tensor(deviation))

    def forward(self, images_NCHW: Tensor) -> Tensor:
        scaled_NCHW = images_NCHW.to(self.mean_3.device).float() / 255
        if scaled_NCHW.shape[-2:] != (self.image_size, self.image_size):
            square_NCHW = centre(scaled_NCHW, min(scaled_NCHW.shape[-2:]))
            scaled_NCHW = F.interpolate(
                square_NCHW, (self.image_size, self.image_size), mode="bilinear", antialias=True
            )
        scaled_NCHW = centre(scaled_NCHW, self.input_size)
        normalised_NCHW = (scaled_NCHW - self.mean_3[:, None, None]) / self.deviation_3[:, None, None]
        logits_NK: Tensor = self.network(normalised_NCHW)
        return logits_NK.float()


def centre(images_NCHW: Tensor, size: int) -> Tensor:
    """The middle window of `size` x `size` pixels."""
    top, left = (middle(side, size) for side in images_NCHW.shape[-2:])
    return images_NCHW[:, :, top : top + size, left : left + size]


def middle(whole: int, size: int) -> int:
    """Where on a side of `whole` pixels its middle `size` pixels begin."""
    return round((whole - size) / 2)
