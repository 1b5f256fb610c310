"""A picture of what augmentation makes of training images. Legend: N images, H = W pixels."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from sweeper.data import Dataset
from sweeper.data.split import Indices
from sweeper.experiment import Data
from sweeper.training.augment import draw
from sweeper.training.drawing import cut
from sweeper.training.examples import spread
from sweeper.training.feed import Feed
from sweeper.training.mixing import draw_mixes
from sweeper.training.pictures import drawn_name

CELL, GAP, CAPTION = 96, 4, 14
FONT = 10  # pixels, of Pillow's own font where none is named
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")


class SheetError(ValueError):
    """A picture that cannot be written."""


def augmented_sheet(data: Data, dataset: Dataset, indices: Indices, rows: int = 8, draws: int = 8) -> Image.Image:
    """A row an image, of as many classes as the rows allow: as it is, then as `draws` epochs might show it."""
    feed = Feed(data, dataset, indices, torch.device("cpu"))
    at_N = torch.from_numpy(indices.train_N[spread(np.asarray(dataset.labels_N[indices.train_N]), rows)])
    columns = [_pixels(feed, feed.seen(at_N))]
    columns += [_pixels(feed, _augmented(feed, at_N, seed)) for seed in range(draws)]
    captions = [drawn_name(dataset.classes[label], label) for label in feed.labels_N[at_N].tolist()]
    return _pasted(columns, captions)


def write_sheet(sheet: Image.Image, file: Path) -> None:
    """Write a picture in the format of the file's ending. Raises SheetError when that names none."""
    if file.suffix.lower() not in ENDINGS:
        raise SheetError(f"given {file}, allowed a name that ends in {', '.join(ENDINGS)}")
    file.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(file)


def _augmented(feed: Feed, at_N: Tensor, seed: int) -> Tensor:
    """A batch of these images as an epoch of that seed shows it, normalised."""
    generator = torch.Generator().manual_seed(seed)
    draws = draw(feed.data, len(at_N), generator, feed.device, feed.home)
    (mix,) = draw_mixes(feed.asked, 1, feed.data.input_size, generator)
    return feed.augmented(at_N, draws, slice(0, len(at_N)), mix)


def _pixels(feed: Feed, images_NCHW: Tensor) -> NDArray[np.uint8]:
    """Normalised images back in uint8, (N, H, W, 3)."""
    mean_3, deviation_3 = (torch.tensor(part) for part in (feed.normalisation.mean, feed.normalisation.deviation))
    scaled_NHWC = images_NCHW.permute(0, 2, 3, 1) * deviation_3 + mean_3
    pixels_NHWC: NDArray[np.uint8] = (scaled_NHWC * 255).round().clamp(0, 255).byte().numpy()
    return pixels_NHWC


def _pasted(columns: list[NDArray[np.uint8]], captions: list[str]) -> Image.Image:
    step, height = CELL + GAP, CELL + GAP + CAPTION
    sheet = Image.new("RGB", (GAP + step * len(columns), GAP + CAPTION + height * len(captions)), "white")
    pen = ImageDraw.Draw(sheet)
    pen.text((GAP, 2), "original", fill="dimgrey")
    pen.text((GAP + step, 2), "as training may see it", fill="dimgrey")
    for row, caption in enumerate(captions):
        top = CAPTION + GAP + row * height
        for column, pixels_NHWC in enumerate(columns):
            image = Image.fromarray(pixels_NHWC[row]).resize((CELL, CELL), Image.Resampling.NEAREST)
            sheet.paste(image, (GAP + column * step, top))
        pen.text((GAP, top + CELL + 1), cut(caption, sheet.width - 2 * GAP, FONT), fill="black")
    return sheet
