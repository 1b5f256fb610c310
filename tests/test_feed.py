"""Where a data set's images live, and where what is made of them arrives. torch's `meta` device stands in for a GPU."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sweeper.data import Dataset, prepare
from sweeper.data.split import Indices, split
from sweeper.experiment import Data
from sweeper.training import feed
from sweeper.training.augment import Draws, draw
from sweeper.training.feed import Feed

CPU, META = torch.device("cpu"), torch.device("meta")
EVERYTHING = (
    "random_crop", "horizontal_flip", "brightness", "contrast", "saturation", "hue", "random_erasing", "mixup", "cutmix",
)  # fmt: skip


@pytest.fixture
def digits(tmp_path: Path) -> tuple[Data, Dataset, Indices]:
    data = Data("digits", image_size=8)
    dataset = prepare(data, tmp_path)
    return data, dataset, split(dataset, data.split)


def assert_all_arrives(of: Feed) -> None:
    for batch in of.epoch(of.slices(50), torch.Generator().manual_seed(0)):
        assert batch.images_NCHW.device == batch.labels_N.device == META
        assert batch.images_NCHW.shape == (len(batch.labels_N), 3, 8, 8)
    val_N = of.val_N.to(of.home)
    assert of.seen(val_N).device == META
    assert {crop_NCHW.device for crop_NCHW in of.seen_ten_times(val_N[:2])} == {META}


@pytest.mark.parametrize("words", [(), EVERYTHING])
def test_images_that_do_not_fit_stay_on_the_host_and_every_batch_arrives(
    digits: tuple[Data, Dataset, Indices], words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "_fits", lambda dataset, device: False)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)  # it needs a real GPU
    data, dataset, indices = digits
    of = Feed(replace(data, augment=words), dataset, indices, META)
    assert of.images_NCHW.device == CPU
    assert of.images_NCHW.data_ptr() == dataset.images_NCHW.ctypes.data  # no copy of what may not fit twice
    assert_all_arrives(of)


@pytest.mark.parametrize("words", [(), EVERYTHING])
def test_images_that_fit_are_on_the_device_and_so_is_what_is_drawn_for_them(
    digits: tuple[Data, Dataset, Indices], words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Draws] = []
    monkeypatch.setattr(feed, "_fits", lambda dataset, device: True)
    monkeypatch.setattr(feed, "draw", lambda *given: drawn.append(draw(*given)) or drawn[-1])
    data, dataset, indices = digits
    of = Feed(replace(data, augment=words), dataset, indices, META)
    assert of.images_NCHW.device == of.labels_N.device == META
    assert_all_arrives(of)
    (draws,) = drawn
    tensors = [*draws.colour_N.values(), *(part for part in draws if isinstance(part, torch.Tensor))]
    assert [tensor.device for tensor in tensors] == [META] * (7 if words else 0)


@pytest.mark.parametrize(("share", "stays"), [(0.4, False), (0.6, True)])
def test_images_of_more_than_half_of_the_free_memory_stay(
    digits: tuple[Data, Dataset, Indices], share: float, stays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, dataset, indices = digits
    free = int(dataset.images_NCHW.nbytes / share)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 2 * free))
    assert (Feed(data, dataset, indices, META).home == CPU) is stays
