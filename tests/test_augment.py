"""Augmentation against images made by hand, and normalisation against its formula."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeper.training.augment import Draws, augment, draw, normalise, pad_and_crop

CPU = torch.device("cpu")
BOTH = ("random_crop", "horizontal_flip")
NUMBERED_1CHW = torch.arange(192, dtype=torch.uint8).reshape(1, 3, 8, 8)  # no pixel is 0 but the first


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def corner(top: int, left: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([top]), torch.tensor([left])


def test_the_middle_window_is_the_image() -> None:
    assert torch.equal(pad_and_crop(NUMBERED_1CHW, *corner(1, 1)), NUMBERED_1CHW)


def test_the_first_window_has_the_padding_above_and_to_the_left() -> None:
    cut_CHW = pad_and_crop(NUMBERED_1CHW, *corner(0, 0))[0]
    assert cut_CHW[:, 0, :].eq(0).all()
    assert cut_CHW[:, :, 0].eq(0).all()
    assert torch.equal(cut_CHW[:, 1:, 1:], NUMBERED_1CHW[0, :, :7, :7])


def test_the_last_window_has_the_padding_below_and_to_the_right() -> None:
    cut_CHW = pad_and_crop(NUMBERED_1CHW, *corner(2, 2))[0]
    assert cut_CHW[:, 7, :].eq(0).all()
    assert cut_CHW[:, :, 7].eq(0).all()
    assert torch.equal(cut_CHW[:, :7, :7], NUMBERED_1CHW[0, :, 1:, 1:])


@settings(deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 6), st.sampled_from([8, 11, 16, 33]))
def test_every_image_is_cut_at_its_own_corner(seed: int, count: int, size: int) -> None:
    images_NCHW = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator(seed))
    pad = size // 8
    top_N, left_N = torch.randint(2 * pad + 1, (2, count), generator=generator(seed + 1))
    padded_NCHW = np.pad(images_NCHW.numpy(), ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    cut_NCHW = pad_and_crop(images_NCHW, top_N, left_N).numpy()
    for image, (top, left) in enumerate(zip(top_N.tolist(), left_N.tolist(), strict=True)):
        assert np.array_equal(cut_NCHW[image], padded_NCHW[image, :, top : top + size, left : left + size])


def test_only_the_images_drawn_are_flipped() -> None:
    images_NCHW = NUMBERED_1CHW.repeat(3, 1, 1, 1)
    flipped_NCHW = augment(images_NCHW, Draws(None, torch.tensor([True, False, True])), slice(0, 3))
    mirrored_CHW = torch.from_numpy(NUMBERED_1CHW[0].numpy()[:, :, ::-1].copy())
    assert torch.equal(flipped_NCHW, torch.stack([mirrored_CHW, NUMBERED_1CHW[0], mirrored_CHW]))


def test_a_batch_is_cropped_then_flipped_by_its_own_rows_of_the_draws() -> None:
    draws = Draws(torch.tensor([[1, 1, 0], [1, 1, 2]]), torch.tensor([False, False, True]))
    (cut_CHW,) = augment(NUMBERED_1CHW, draws, slice(2, 3))
    assert cut_CHW[:, 0, :].eq(0).all()
    assert cut_CHW[:, :, 0].eq(0).all()
    assert cut_CHW[0, 1].tolist() == [0, 7, 6, 5, 4, 3, 2, 1]


def test_without_augmentations_images_stay_as_they_are() -> None:
    draws = draw((), 1, 8, generator(), CPU)
    assert draws == Draws(None, None)
    assert augment(NUMBERED_1CHW, draws, slice(0, 1)) is NUMBERED_1CHW


@pytest.mark.parametrize("size", [1, 3, 7, 20])
def test_what_an_image_becomes_does_not_depend_on_the_batch_size(size: int) -> None:
    images_NCHW = torch.randint(0, 256, (20, 3, 16, 16), dtype=torch.uint8, generator=generator())
    draws = draw(BOTH, 20, 16, generator(1), CPU)
    parts = [augment(images_NCHW[at : at + size], draws, slice(at, min(at + size, 20))) for at in range(0, 20, size)]
    assert torch.equal(torch.cat(parts), augment(images_NCHW, draws, slice(0, 20)))


def test_draws_reach_every_window_and_flip_about_half() -> None:
    draws = draw(BOTH, 5000, 16, generator(), CPU)
    assert draws.corner_2N is not None
    assert draws.flip_N is not None
    assert [sorted(set(part.tolist())) for part in draws.corner_2N] == [[0, 1, 2, 3, 4]] * 2
    assert draws.flip_N.float().mean().item() == pytest.approx(0.5, abs=0.03)
    again, other = draw(BOTH, 5000, 16, generator(), CPU), draw(BOTH, 5000, 16, generator(1), CPU)
    assert again.corner_2N is not None
    assert other.corner_2N is not None
    assert torch.equal(again.corner_2N, draws.corner_2N)
    assert not torch.equal(other.corner_2N, draws.corner_2N)


def test_normalised_pixels_have_imagenets_mean_and_deviation_taken_out() -> None:
    images_NCHW = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).repeat(2, 3, 1, 1)
    normal_NCHW = normalise(images_NCHW)
    assert normal_NCHW.dtype == torch.float32
    assert normal_NCHW.is_contiguous(memory_format=torch.channels_last)
    for channel, (mean, deviation) in enumerate([(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]):
        expected = (images_NCHW[:, channel].numpy() / 255 - mean) / deviation
        np.testing.assert_allclose(normal_NCHW[:, channel], expected, atol=1e-6)
