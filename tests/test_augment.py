"""Crops, flips and erasing against images made by hand; normalisation against numpy; ten crops against torchvision."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as reference

from sweeper.data import Dataset, prepare
from sweeper.experiment import Data
from sweeper.models.classifier import centre
from sweeper.training import augment
from sweeper.training.augment import Draws, asked_for, draw, draw_boxes, erase, pad_and_crop, ten_crops
from sweeper.training.normalisation import IMAGENET, measured, normalisation_of

CPU = torch.device("cpu")
BOTH = Data("digits", image_size=16)
PLAIN = Data("digits", image_size=8, augment=())
PADDED = Data("digits", image_size=8)
NUMBERED_1CHW = torch.arange(192, dtype=torch.uint8).reshape(1, 3, 8, 8)  # no pixel is 0 but the first


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(count: int, size: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator(seed))


def cut(top: int, left: int) -> torch.Tensor:
    return pad_and_crop(NUMBERED_1CHW, torch.tensor([[top], [left]]), 1, 8)[0]


def place(images_NCHW: torch.Tensor, draws: Draws, rows: slice, data: Data) -> torch.Tensor:
    """What a CPU does image by image, and the same as a GPU does it."""
    copied_NCHW = augment.place(images_NCHW, torch.arange(len(images_NCHW)), draws, rows, data)
    assert torch.equal(copied_NCHW, augment.place_at_once(images_NCHW, draws, rows, data))
    return copied_NCHW


def test_the_middle_window_is_the_image() -> None:
    assert torch.equal(cut(1, 1), NUMBERED_1CHW[0])


def test_the_first_window_has_the_padding_above_and_to_the_left() -> None:
    cut_CHW = cut(0, 0)
    assert cut_CHW[:, 0, :].eq(0).all()
    assert cut_CHW[:, :, 0].eq(0).all()
    assert torch.equal(cut_CHW[:, 1:, 1:], NUMBERED_1CHW[0, :, :7, :7])


def test_the_last_window_has_the_padding_below_and_to_the_right() -> None:
    cut_CHW = cut(2, 2)
    assert cut_CHW[:, 7, :].eq(0).all()
    assert cut_CHW[:, :, 7].eq(0).all()
    assert torch.equal(cut_CHW[:, :7, :7], NUMBERED_1CHW[0, :, 1:, 1:])


@settings(deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 6), st.sampled_from([8, 11, 16, 33]), st.booleans())
def test_every_image_is_cut_at_its_own_corner(seed: int, count: int, side: int, is_padded: bool) -> None:
    images_NCHW = noise(count, side, seed)
    pad, size = (side // 8, side) if is_padded else (0, 8)
    corner_2N = torch.randint(side + 2 * pad - size + 1, (2, count), generator=generator(seed + 1))
    padded_NCHW = np.pad(images_NCHW.numpy(), ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    cut_NCHW = pad_and_crop(images_NCHW, corner_2N, pad, size).numpy()
    for image, (top, left) in enumerate(corner_2N.T.tolist()):
        assert np.array_equal(cut_NCHW[image], padded_NCHW[image, :, top : top + size, left : left + size])


def test_only_the_images_drawn_are_flipped() -> None:
    images_NCHW = NUMBERED_1CHW.repeat(3, 1, 1, 1)
    flipped_NCHW = place(images_NCHW, Draws(None, torch.tensor([True, False, True])), slice(0, 3), PLAIN)
    mirrored_CHW = torch.from_numpy(NUMBERED_1CHW[0].numpy()[:, :, ::-1].copy())
    assert torch.equal(flipped_NCHW, torch.stack([mirrored_CHW, NUMBERED_1CHW[0], mirrored_CHW]))


def test_a_batch_is_cropped_then_flipped_by_its_own_rows_of_the_draws() -> None:
    draws = Draws(torch.tensor([[1, 1, 0], [1, 1, 2]]), torch.tensor([False, False, True]))
    (cut_CHW,) = place(NUMBERED_1CHW, draws, slice(2, 3), PADDED)
    assert cut_CHW[:, 0, :].eq(0).all()
    assert cut_CHW[:, :, 0].eq(0).all()
    assert cut_CHW[0, 1].tolist() == [0, 7, 6, 5, 4, 3, 2, 1]


def test_without_augmentations_images_stay_as_they_are() -> None:
    draws = draw(PLAIN, 1, generator(), CPU, CPU)
    assert draws == Draws()
    assert torch.equal(place(NUMBERED_1CHW, draws, slice(0, 1), PLAIN), NUMBERED_1CHW)


@pytest.mark.parametrize("size", [1, 3, 7, 20])
def test_what_an_image_becomes_does_not_depend_on_the_batch_size(size: int) -> None:
    images_NCHW, draws = noise(20, 16), draw(BOTH, 20, generator(1), CPU, CPU)
    parts = [
        place(images_NCHW[at : at + size], draws, slice(at, min(at + size, 20)), BOTH) for at in range(0, 20, size)
    ]
    assert torch.equal(torch.cat(parts), place(images_NCHW, draws, slice(0, 20), BOTH))


def test_draws_reach_every_window_and_flip_about_half() -> None:
    draws = draw(BOTH, 5000, generator(), CPU, CPU)
    assert draws.corner_2N is not None
    assert draws.flip_N is not None
    assert [sorted(set(part.tolist())) for part in draws.corner_2N] == [[0, 1, 2, 3, 4]] * 2
    assert draws.flip_N.float().mean().item() == pytest.approx(0.5, abs=0.03)
    again, other = draw(BOTH, 5000, generator(), CPU, CPU), draw(BOTH, 5000, generator(1), CPU, CPU)
    assert again.corner_2N is not None
    assert other.corner_2N is not None
    assert torch.equal(again.corner_2N, draws.corner_2N)
    assert not torch.equal(other.corner_2N, draws.corner_2N)


def test_a_random_crop_to_a_smaller_size_reaches_every_window_and_pads_nothing() -> None:
    data = Data("digits", image_size=16, crop_size=13, augment=("random_crop",))
    draws = draw(data, 2000, generator(), CPU, CPU)
    assert draws.corner_2N is not None
    assert [sorted(set(part.tolist())) for part in draws.corner_2N] == [[0, 1, 2, 3]] * 2
    cut_NCHW = place(torch.full((2000, 3, 16, 16), 7, dtype=torch.uint8), draws, slice(0, 2000), data)
    assert cut_NCHW.shape == (2000, 3, 13, 13)
    assert cut_NCHW.eq(7).all()


def test_without_a_random_crop_a_smaller_size_is_the_middle() -> None:
    data = Data("digits", image_size=8, crop_size=4, augment=())
    seen_NCHW = place(NUMBERED_1CHW, draw(data, 1, generator(), CPU, CPU), slice(0, 1), data)
    assert torch.equal(seen_NCHW, NUMBERED_1CHW[:, :, 2:6, 2:6])


@pytest.mark.parametrize(("side", "size"), [(8, 8), (9, 8), (11, 8), (16, 9)])
def test_middles_and_ten_crops_are_torchvisions(side: int, size: int) -> None:
    images_NCHW = noise(3, side)
    assert torch.equal(centre(images_NCHW, size), reference.center_crop(images_NCHW, [size, size]))
    expected = reference.ten_crop(images_NCHW, [size, size])
    crops = ten_crops(images_NCHW, size)
    assert len(crops) == 10
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(crops, expected, strict=True))


# Erasing


def test_the_box_and_nothing_else_is_erased() -> None:
    boxes_4N = torch.tensor([[1, 0, 5], [2, 0, 0], [2, 0, 3], [3, 4, 8]])  # the second has no height
    erased_NCHW = erase(torch.ones(4, 3, 8, 8)[1:], Draws(erased_4N=boxes_4N), slice(0, 3))
    expected_NHW = np.ones((3, 8, 8))
    expected_NHW[0, 1:3, 2:5] = 0
    expected_NHW[2, 5:8, 0:8] = 0
    for channel in range(3):
        assert np.array_equal(erased_NCHW[:, channel], expected_NHW)


def test_boxes_have_the_areas_and_shapes_of_random_erasing_and_lie_inside() -> None:
    top_N, left_N, height_N, width_N = draw_boxes(1.0, 5000, 64, generator()).double()
    assert (top_N >= 0).all()
    assert (left_N >= 0).all()
    assert (top_N + height_N <= 64).all()
    assert (left_N + width_N <= 64).all()
    area_N, ratio_N = height_N * width_N / 64**2, height_N / width_N
    assert 0.015 < area_N.min() < 0.03
    assert 0.3 < area_N.max() < 0.34
    assert area_N.mean().item() == pytest.approx(0.175, abs=0.01)
    assert 0.25 < ratio_N.min() < 0.35
    assert 2.9 < ratio_N.max() < 3.7
    erased = draw_boxes(0.3, 5000, 64, generator())[2] > 0
    assert erased.float().mean().item() == pytest.approx(0.3, abs=0.03)


def test_defaults_are_filled_in() -> None:
    asked = asked_for(Data("digits", augment=("hue", "mixup", "random_crop")).augment)
    assert asked == {"hue": {"strength": 0.1}, "mixup": {"alpha": 0.2}, "random_crop": {}}


# Normalisation


def test_normalised_pixels_have_imagenets_mean_and_deviation_taken_out() -> None:
    images_NCHW = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).repeat(2, 3, 1, 1)
    normal_NCHW, from_floats_NCHW = IMAGENET(images_NCHW), IMAGENET(images_NCHW / 255)
    assert normal_NCHW.dtype == torch.float32
    assert normal_NCHW.is_contiguous(memory_format=torch.channels_last)
    for channel, (mean, deviation) in enumerate([(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]):
        expected = (images_NCHW[:, channel].numpy() / 255 - mean) / deviation
        np.testing.assert_allclose(normal_NCHW[:, channel], expected, atol=1e-6)
        np.testing.assert_allclose(from_floats_NCHW[:, channel], expected, atol=1e-6)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return prepare(Data("digits", image_size=8), tmp_path_factory.mktemp("cache"))


def test_the_data_sets_own_mean_and_deviation_are_those_of_its_training_images(digits: Dataset, tmp_path: Path) -> None:
    train_N = np.arange(0, 1700, 3)
    measured = normalisation_of("dataset", digits, train_N)
    pixels_NHWC = digits.images_NCHW[train_N].transpose(0, 2, 3, 1).astype(np.float64) / 255
    np.testing.assert_allclose(measured.mean, pixels_NHWC.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(measured.deviation, pixels_NHWC.std((0, 1, 2)), rtol=1e-9)
    assert normalisation_of("dataset", digits, train_N[1:]) != measured
    assert normalisation_of("imagenet", digits, train_N) is IMAGENET


def test_large_images_are_measured_a_few_at_a_time() -> None:
    images_NCHW = np.broadcast_to(np.uint8(51), (40, 3, 512, 512))  # 30 MiB, were they all there
    tracemalloc.start()
    found = measured(images_NCHW, np.arange(40))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.mean == pytest.approx([0.2] * 3)
    assert found.deviation == pytest.approx([1 / 255] * 3)  # there is none to divide by
    assert peak_bytes < 20 * 2**20
