"""What an epoch shows of a data set's images, where they live, and where what is made of them arrives.

torch's `meta` device stands in for a GPU.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as reference

from sweeper.data import Dataset, prepare
from sweeper.data.split import Indices, split
from sweeper.experiment import Data
from sweeper.training import feed
from sweeper.training.augment import Draws, draw
from sweeper.training.feed import Feed
from sweeper.training.mixing import Mix

CPU, META = torch.device("cpu"), torch.device("meta")
EVERYTHING = (
    "random_crop", "horizontal_flip", "brightness", "contrast", "saturation", "hue", "random_erasing", "mixup", "cutmix",
)  # fmt: skip


@pytest.fixture
def digits(tmp_path: Path) -> tuple[Data, Dataset, Indices]:
    data = Data("digits", image_size=8)
    dataset = prepare(data, tmp_path)
    return data, dataset, split(dataset, data.split)


def as_seen(image_CHW: Tensor, draws: Any, at: int, data: Data) -> Tensor:
    """One image by one column of an epoch's draws, in the order that the documents give."""
    size, (top, left) = data.input_size, draws.corner_2N[:, at].tolist()
    padded_CHW = image_CHW if data.crop_size else reference.pad(image_CHW, [size // 8])
    seen_CHW = reference.crop(padded_CHW, top, left, size, size)
    seen_CHW = (reference.horizontal_flip(seen_CHW) if draws.flip_N[at] else seen_CHW) / 255
    for name in ("brightness", "contrast", "saturation", "hue"):
        seen_CHW = getattr(reference, f"adjust_{name}")(seen_CHW, draws.colour_N[name][at].item())
    seen_CHW = reference.normalize(seen_CHW, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    return reference.erase(seen_CHW, *draws.erased_4N[:, at].tolist(), v=torch.zeros(1))


def with_the_one_before(images_NCHW: Tensor, mix: Mix) -> Tensor:
    others_NCHW = torch.stack([images_NCHW[at - 1] for at in range(len(images_NCHW))])
    if mix.box is None:
        return mix.share * images_NCHW + (1 - mix.share) * others_NCHW
    (top, bottom, left, right), is_inside_HW = mix.box, torch.zeros(images_NCHW.shape[2:], dtype=torch.bool)
    is_inside_HW[top:bottom, left:right] = True
    return torch.where(is_inside_HW, others_NCHW, images_NCHW)


@pytest.mark.parametrize("crop_size", [None, 8])
def test_an_epoch_shows_each_image_as_torchvision_makes_it_by_its_draws(
    digits: tuple[Data, Dataset, Indices], crop_size: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    for name in ("draw", "draw_mixes"):
        made = getattr(feed, name)
        monkeypatch.setattr(feed, name, lambda *given, made=made: drawn.append(made(*given)) or drawn[-1])
    plain, dataset, (train_N, *rest) = digits
    data = replace(plain, image_size=11, crop_size=crop_size, augment=EVERYTHING[::-1])
    pixels = torch.randint(0, 256, (len(dataset.labels_N), 3, 11, 11), generator=torch.Generator().manual_seed(0))
    coloured = replace(dataset, images_NCHW=pixels.to(torch.uint8).numpy())
    of = Feed(data, coloured, Indices(train_N[:40], *rest), CPU)
    batches = list(of.epoch(of.slices(7), torch.Generator().manual_seed(5)))
    order_N = train_N[torch.randperm(40, generator=torch.Generator().manual_seed(5))]
    (draws, mixes), first = drawn, 0
    assert len({mix.box is None for mix in mixes}) == 2
    assert [len(batch.labels_N) for batch in batches] == [7] * 5 + [5]
    for batch, mix in zip(batches, mixes, strict=True):
        rows = range(first, first + len(batch.labels_N))
        images = [as_seen(torch.from_numpy(coloured.images_NCHW[order_N[at]]), draws, at, data) for at in rows]
        torch.testing.assert_close(batch.images_NCHW, with_the_one_before(torch.stack(images), mix), atol=1e-4, rtol=0)
        assert batch.labels_N.tolist() == dataset.labels_N[order_N[rows.start : rows.stop]].tolist()
        first = rows.stop


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
