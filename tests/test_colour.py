"""Colours against torchvision's functional on float images, one image at a time."""

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from sweeper.experiment import Data, named_of
from sweeper.training.augment import colour, draw
from sweeper.training.colour import COLOURS

CPU = torch.device("cpu")
AMOUNTS = {"brightness": (0.0, 2.0), "contrast": (0.0, 2.0), "saturation": (0.0, 2.0), "hue": (-0.5, 0.5)}


def images() -> torch.Tensor:
    """Noise, greys, black, white and pure colours."""
    noise_NCHW = torch.rand((8, 3, 6, 6), generator=torch.Generator().manual_seed(0))
    noise_NCHW[4] = noise_NCHW[4, :1]
    noise_NCHW[5], noise_NCHW[6] = 0, 1
    noise_NCHW[7] = torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]]).repeat(1, 4)[:, :6, None]
    return noise_NCHW


@pytest.mark.parametrize("name", COLOURS)
def test_each_image_is_changed_by_its_own_amount_as_torchvision_would(name: str) -> None:
    images_NCHW, (low, high) = images(), AMOUNTS[name]
    adjust = getattr(reference, f"adjust_{name}")
    for amounts_N in (torch.linspace(low, high, 8), torch.linspace(high, low, 8)):
        ours_NCHW = COLOURS[name](images_NCHW.clone(), amounts_N[:, None, None, None])
        for image_CHW, amount, ours_CHW in zip(images_NCHW, amounts_N.tolist(), ours_NCHW, strict=True):
            np.testing.assert_allclose(ours_CHW, adjust(image_CHW, amount), atol=2e-5)


def test_colours_are_drawn_within_their_strength_and_act_in_a_fixed_order() -> None:
    words = ("hue", "brightness", named_of({"name": "saturation", "strength": 0.2}), "contrast")
    data = Data("digits", image_size=8, augment=words)
    draws = draw(data, 4000, torch.Generator().manual_seed(0), CPU, CPU)
    assert list(draws.colour_N) == ["brightness", "contrast", "saturation", "hue"]
    ranges = {"brightness": (0.6, 1.4), "contrast": (0.6, 1.4), "saturation": (0.8, 1.2), "hue": (-0.1, 0.1)}
    for name, (low, high) in ranges.items():
        drawn_N = draws.colour_N[name]
        assert low <= drawn_N.min() < low + 0.01
        assert high - 0.01 < drawn_N.max() <= high
    image_NCHW = torch.randint(0, 256, (1, 3, 8, 8), dtype=torch.uint8)
    expected_CHW = image_NCHW[0] / 255
    for name, drawn_N in draws.colour_N.items():
        expected_CHW = getattr(reference, f"adjust_{name}")(expected_CHW, drawn_N[7].item())
    np.testing.assert_allclose(colour(image_NCHW, draws, slice(7, 8))[0], expected_CHW, atol=2e-5)
