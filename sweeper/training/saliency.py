"""Which pixels a prediction rests on, by captum. Legend: N images, S pixels a side of an image, I of what is seen of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from captum.attr import IntegratedGradients, LayerGradCam, Saliency
from torch import Tensor, nn

from sweeper.models.classifier import Classifier, middle

STEPS, AT_ONCE = 50, 32


class SaliencyError(ValueError):
    """A network whose gradients cannot be taken."""


class Convolution(NamedTuple):
    """A convolution by its name in the network, and how many positions it looks at in one of the images."""

    name: str
    layer: nn.Conv2d
    positions: int


class Saliencies(NamedTuple):
    """Three maps of each image, (N, S, S), none of them negative; `grad_cam` is None without convolutions."""

    gradients_NSS: Tensor
    integrated_NSS: Tensor
    grad_cam_NSS: Tensor | None


def saliencies(classifier: Classifier, images_NCHW: Tensor, targets_N: Tensor, steps: int = STEPS) -> Saliencies:
    """Maps of what speaks for the classes `targets_N` in uint8 images (N, 3, S, S). Raises SaliencyError.

    Gradients: the largest of the three channels' |d logit / d pixel| (Simonyan et al. 2014, section 3).
    Integrated gradients: from a black image, summed over the channels, as a magnitude (Sundararajan et al. 2017, equation 3).
    Grad-CAM: of the last convolution (Selvaraju et al. 2017, equations 1 and 2), enlarged bilinearly.
    """
    last = last_convolution(convolutions(classifier, images_NCHW[:1]))
    with _differentiable(classifier):
        pixels_NCHW = images_NCHW.float().requires_grad_()
        try:
            gradients_NCHW = Saliency(classifier).attribute(pixels_NCHW, target=targets_N)
            integrated_NCHW = integrated_gradients(classifier, pixels_NCHW, targets_N, steps)
            grad_cam_NSS = grad_cam(classifier, last, pixels_NCHW, targets_N) if last else None
        except (RuntimeError, AssertionError) as error:
            raise SaliencyError(f"the gradients of this network cannot be taken: {error}") from error
    return Saliencies(gradients_NCHW.amax(1).detach(), integrated_NCHW.sum(1).abs().detach(), grad_cam_NSS)


def integrated_gradients(classifier: nn.Module, pixels_NCHW: Tensor, targets_N: Tensor, steps: int = STEPS) -> Tensor:
    """Of each pixel and channel, from black; an image's sum is its logit minus that of a black image."""
    batch = max(AT_ONCE, len(pixels_NCHW))
    found: Tensor = IntegratedGradients(classifier).attribute(
        pixels_NCHW, 0, targets_N, n_steps=steps, internal_batch_size=batch
    )
    return found


def grad_cam(classifier: Classifier, of: Convolution, pixels_NCHW: Tensor, targets_N: Tensor) -> Tensor:
    """The map of a convolution in the places of the image that it saw, (N, S, S)."""
    map_N1HW = LayerGradCam(classifier, of.layer).attribute(pixels_NCHW, targets_N, relu_attributions=True)
    seen, whole = classifier.input_size, classifier.image_size
    map_N1II = F.interpolate(map_N1HW.detach(), (seen, seen), mode="bilinear", align_corners=False)
    before = middle(whole, seen)
    after = whole - seen - before
    return F.pad(map_N1II, (before, after, before, after))[:, 0]


@torch.no_grad()
def convolutions(classifier: Classifier, images_NCHW: Tensor) -> list[Convolution]:
    """The network's convolutions in the order in which they are first called."""
    names = {layer: name for name, layer in classifier.network.named_modules() if isinstance(layer, nn.Conv2d)}
    positions: dict[nn.Conv2d, int] = {}

    def note(layer: nn.Module, given: object, output: Tensor) -> None:
        assert isinstance(layer, nn.Conv2d)
        positions.setdefault(layer, output.shape[-2] * output.shape[-1])

    hooks = [layer.register_forward_hook(note) for layer in names]
    try:
        classifier(images_NCHW)
    finally:
        for hook in hooks:
            hook.remove()
    return [Convolution(names[layer], layer, count) for layer, count in positions.items()]


def last_convolution(found: list[Convolution]) -> Convolution | None:
    """The last that looks at more than one position; else the last."""
    several = [convolution for convolution in found if convolution.positions > 1]
    return several[-1] if several else found[-1] if found else None


@contextmanager
def _differentiable(classifier: nn.Module) -> Iterator[None]:
    """Layers that write into what they are given keep it meanwhile: Grad-CAM looks at what the convolution made."""
    changed = [layer for layer in classifier.modules() if getattr(layer, "inplace", False)]
    for layer in changed:
        layer.inplace = False  # type: ignore[assignment]
    try:
        yield
    finally:
        for layer in changed:
            layer.inplace = True  # type: ignore[assignment]
