"""Saliency maps against what is known of them: linear networks, completeness, a Grad-CAM worked by hand; kernels' pixels."""

import io
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from sweeper import models
from sweeper.models.classifier import Classifier
from sweeper.training.drawing import GAP, LINE, Line
from sweeper.training.heat import NAMES, RAMP, heat, saliency_sheet
from sweeper.training.kernels import LARGEST, SPACE, deeper, kernels
from sweeper.training.saliency import (
    Convolution,
    SaliencyError,
    convolutions,
    integrated_gradients,
    last_convolution,
    saliencies,
)

MEAN, DEVIATION = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def classifier(network: nn.Module, pixels: int = 8, classes: int = 3, crop: int | None = None) -> Classifier:
    return Classifier(network, pixels, MEAN, DEVIATION, [f"class {i}" for i in range(classes)], crop).eval()


def images(count: int, pixels: int = 8) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, 3, pixels, pixels), np.uint8))


def test_the_gradients_of_a_linear_network_are_its_weights() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 3))
    maps = saliencies(classifier(network), images(2), torch.tensor([2, 0]))
    weight_KCHW = network[1].weight.detach().view(3, 3, 8, 8)
    scaled_KCHW = weight_KCHW / (255 * torch.tensor(DEVIATION)[:, None, None])
    torch.testing.assert_close(maps.gradients_NSS, scaled_KCHW[[2, 0]].abs().amax(1))
    assert maps.grad_cam_NSS is None


@pytest.mark.parametrize("name", ["logistic_regression", "alexnet", "resnet18"])
def test_integrated_gradients_sum_to_the_difference_of_logits(name: str) -> None:
    torch.manual_seed(0)
    of = classifier(models.build(name, {"compact": True} if name == "alexnet" else {}, 3, 16), 16)
    images_NCHW, targets_N = images(2, 16), torch.tensor([1, 2])
    found_NCHW = integrated_gradients(of, images_NCHW.float(), targets_N, steps=200)
    with torch.no_grad():
        difference_NK = of(images_NCHW) - of(torch.zeros_like(images_NCHW))
    torch.testing.assert_close(found_NCHW.sum((1, 2, 3)).float(), difference_NK[[0, 1], [1, 2]], rtol=0.02, atol=0.01)


class Seen(nn.Module):
    """Two channels of a convolution of one pixel, averaged; class 0 wants the first and not the second."""

    def __init__(self, rectified: bool) -> None:
        super().__init__()
        self.see = nn.Conv2d(3, 2, 1, bias=False)
        self.see.weight.data = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]])[:, :, None, None]
        self.then = nn.ReLU(inplace=True) if rectified else nn.Identity()
        self.judge = nn.Linear(2, 2, bias=False)
        self.judge.weight.data = torch.tensor([[2.0, -1.0], [0.0, 1.0]])

    def forward(self, images_NCHW: Tensor) -> Tensor:
        logits_NK: Tensor = self.judge(self.then(self.see(images_NCHW)).mean((2, 3)))
        return logits_NK


@pytest.mark.parametrize("crop", [None, 4])
@pytest.mark.parametrize("rectified", [False, True])
def test_grad_cam_is_what_the_paper_says_by_hand(rectified: bool, crop: int | None) -> None:
    of = Classifier(Seen(rectified), 8, (0.0,) * 3, (1.0,) * 3, ["a", "b"], crop).eval()
    images_NCHW = images(2).clamp(min=1)
    seen_NCHW = images_NCHW.float() / 255
    weights_C = torch.tensor([2.0, -1.0]) / (crop or 8) ** 2  # the mean over positions of d logit / d activation
    expected_NSS = (weights_C[0] * seen_NCHW[:, 0] + weights_C[1] * seen_NCHW[:, 1]).relu()
    if crop:
        expected_NSS = nn.functional.pad(expected_NSS[:, 2:6, 2:6], (2, 2, 2, 2))
    found = saliencies(of, images_NCHW, torch.tensor([0, 0])).grad_cam_NSS
    assert found is not None
    torch.testing.assert_close(found, expected_NSS)


def test_layers_write_in_place_again_afterwards() -> None:
    of = classifier(models.build("alexnet", {"compact": True}, 3, 16), 16)
    saliencies(of, images(1, 16), torch.tensor([0]), steps=2)
    rectifiers = [layer for layer in of.modules() if isinstance(layer, nn.ReLU)]
    assert rectifiers
    assert all(layer.inplace for layer in rectifiers)


def test_a_network_without_gradients_is_told() -> None:
    class Frozen(nn.Module):
        def forward(self, images_NCHW: Tensor) -> Tensor:
            return images_NCHW.detach().mean((2, 3))

    with pytest.raises(SaliencyError, match="gradients of this network cannot be taken"):
        saliencies(classifier(Frozen()), images(1), torch.tensor([0]))


# Convolutions


def test_convolutions_are_found_in_the_order_of_their_calls() -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last, self.squeeze, self.first = nn.Conv2d(4, 3, 3), nn.Conv2d(3, 3, 1), nn.Conv2d(3, 4, 3)

        def forward(self, images_NCHW: Tensor) -> Tensor:
            pooled_NC11 = self.last(self.first(images_NCHW)).mean((2, 3), keepdim=True)
            logits_NK: Tensor = self.squeeze(pooled_NC11).flatten(1)
            return logits_NK

    found = convolutions(classifier(Backwards()), images(1))
    assert [(one.name, one.positions) for one in found] == [("first", 36), ("last", 16), ("squeeze", 1)]
    last = last_convolution(found)
    assert last
    assert last.name == "last"


@pytest.mark.parametrize(
    ("sizes", "expected"), [([3], None), ([3, 1], "1"), ([3, 1, 3, 1], "2"), ([11, 5, 3, 3, 3], "3"), ([], None)]
)
def test_a_deeper_convolution_has_kernels_of_several_positions_if_any_has(
    sizes: Sequence[int], expected: str | None
) -> None:
    found = deeper([Convolution(str(at), nn.Conv2d(3, 4, size), 9) for at, size in enumerate(sizes)])
    assert (found.name if found else None) == expected


# Pixels


def opened(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


def tile(drawn: np.ndarray, at: int) -> np.ndarray:
    left, top = GAP + at * (LARGEST + SPACE), 2 * GAP + LINE
    return drawn[top : top + LARGEST, left : left + LARGEST][LARGEST // 6 :: LARGEST // 3, LARGEST // 6 :: LARGEST // 3]


def test_first_kernels_are_their_weights_as_colours() -> None:
    layer = nn.Conv2d(3, 5, 3)
    drawn = opened(kernels(Convolution("stem", layer, 9)))
    for at, weight_CHW in enumerate(layer.weight.detach().numpy()):
        levels = 255 * (weight_CHW - weight_CHW.min()) / (weight_CHW.max() - weight_CHW.min())
        assert np.array_equal(tile(drawn, at), levels.round().transpose(1, 2, 0))


def test_deeper_kernels_are_norms_over_the_channels() -> None:
    layer = nn.Conv2d(7, 4, 3)
    drawn = opened(kernels(Convolution("deep", layer, 9)))
    for at, weight_CHW in enumerate(layer.weight.detach().numpy()):
        norms = np.sqrt((weight_CHW**2).sum(0))
        levels = 255 * (norms - norms.min()) / (norms.max() - norms.min())
        assert np.abs(tile(drawn, at)[..., 0] - levels).max() <= 0.51


@pytest.mark.parametrize("layer", [nn.Conv2d(3, 1, 1), nn.Conv2d(2000, 300, 1), nn.Conv2d(64, 600, 3, groups=2)])
def test_kernels_of_any_shape_are_drawn_small(layer: nn.Conv2d) -> None:
    content = kernels(Convolution("any", layer, 1))
    assert opened(content).shape[1] == 816
    assert len(content) < 150_000


def test_heat_goes_from_black_at_zero_to_bright() -> None:
    map_NSS = np.zeros((1, 10, 10), np.float32)
    map_NSS[0, 0, :5] = 3.0
    drawn = heat(map_NSS)
    assert drawn[0, 0, 0].tolist() == list(RAMP[-1])
    assert drawn[0, 9, 9].tolist() == list(RAMP[0])
    assert heat(np.zeros((1, 4, 4), np.float32)).max() == RAMP[0][2]


@pytest.mark.parametrize("name", ["logistic_regression", "alexnet"])
def test_the_sheet_has_a_column_for_each_map(name: str) -> None:
    of = classifier(models.build(name, {"compact": True} if name == "alexnet" else {}, 3, 16), 16)
    images_NCHW = images(2, 16)
    maps = saliencies(of, images_NCHW, torch.tensor([0, 1]), steps=2)
    drawn = opened(saliency_sheet(images_NCHW.permute(0, 2, 3, 1).numpy(), maps, [[Line("a")], [Line("b")]]))
    columns = len(NAMES) - (name == "logistic_regression")
    assert drawn.shape == (2 * GAP + LINE + 2 * 168, GAP + columns * 168 + 190, 3)
