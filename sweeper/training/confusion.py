"""A confusion matrix as a picture, by Pillow alone. Legend: K classes."""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw

from sweeper.training.drawing import FONT, INK, MUTED, PAPER, Pixels, cut, drawing_png, font, text_width

CORRECT, CONFUSED, NOTHING = "#153668", "#a3231c", "#e3e0d8"
MARGIN, NAME, LEGEND = 12, 190, 350  # pixels; of the longest name, and of what tells the colours
SIDE, LARGEST, NUMBERED, NAMED, WHOLE = 640, 40, 28, 10, 2000  # pixels: the matrix, a cell; the whole when it has names
SHARES = (0.02, 0.1, 0.25, 0.5, 1.0)


class _Grid(NamedTuple):
    """Pixels of a cell, of the letters of names (0: none), of the room for names, and to the first cell."""

    cell: int
    letters: int
    room: int
    left: int
    top: int


def confusion_matrix(title: str, names: Sequence[str], counts_KK: NDArray[np.int64]) -> bytes:
    """A PNG of a matrix of counts, a row a true class, as shares of the row: the square root of one is its darkness.

    Right answers are blue, mistakes red; the row of a class without images is grey. Rows and columns have their names as
    long as these can be read, up to 200 classes, and cells their percentages where there is room.
    """
    grid = _grid(names)
    shares_KK = counts_KK / np.maximum(counts_KK.sum(1, keepdims=True), 1)
    side = grid.cell * len(names)
    width = grid.left + max(side, LEGEND) + MARGIN
    page = Image.new("RGB", (width, grid.top + side + 2 * MARGIN + 2 * FONT), PAPER)
    pen = ImageDraw.Draw(page)
    pen.text((MARGIN, MARGIN), cut(title, width - 2 * MARGIN), MUTED, font(FONT))
    page.paste(_cells(counts_KK, shares_KK, grid.cell), (grid.left, grid.top))
    _write_names(page, names, grid)
    if grid.cell >= NUMBERED:
        _write_percentages(page, shares_KK, grid)
    _write_legend(pen, grid.left, grid.top + side + MARGIN)
    return drawing_png(page)


def _grid(names: Sequence[str]) -> _Grid:
    classes = len(names)
    is_named = classes * NAMED <= WHOLE
    cell = min(LARGEST, max(SIDE // classes, NAMED)) if is_named else max(1, WHOLE // classes)
    letters = min(FONT, cell) if is_named else 0
    room = int(max(text_width(cut(name, NAME, letters), letters) for name in names)) + 6 if is_named else 0
    return _Grid(cell, letters, room, MARGIN + 2 * FONT + room, 2 * MARGIN + 3 * FONT + room)


def _cells(counts_KK: NDArray[np.int64], shares_KK: NDArray[np.float64], cell: int) -> Image.Image:
    """Each cell in its colour, with a line of paper between cells that are large enough."""
    is_right_KK = np.eye(len(counts_KK), dtype=bool)[:, :, None]
    full_KK3 = np.where(is_right_KK, ImageColor.getrgb(CORRECT), ImageColor.getrgb(CONFUSED))
    paper_3 = np.array(ImageColor.getrgb(PAPER))
    colours_KK3 = paper_3 + np.sqrt(shares_KK)[:, :, None] * (full_KK3 - paper_3)
    colours_KK3[counts_KK.sum(1) == 0] = ImageColor.getrgb(NOTHING)
    pixels_HW3: Pixels = colours_KK3.round().astype(np.uint8).repeat(cell, 0).repeat(cell, 1)
    if cell >= NAMED:
        pixels_HW3[cell - 1 :: cell] = pixels_HW3[:, cell - 1 :: cell] = ImageColor.getrgb(NOTHING)
    return Image.fromarray(pixels_HW3)


def _write_names(page: Image.Image, names: Sequence[str], grid: _Grid) -> None:
    """The names of true classes beside the rows, those of predicted ones above the columns, from the bottom upwards."""
    pen = ImageDraw.Draw(page)
    pen.text((grid.left, grid.top - grid.room - FONT - 6), "predicted", MUTED, font(FONT))
    word = Image.new("RGB", (40, FONT + 6), PAPER)
    ImageDraw.Draw(word).text((40, 0), "true", MUTED, font(FONT), anchor="ra")
    page.paste(word.transpose(Image.Transpose.ROTATE_90), (MARGIN, grid.top))
    if not grid.letters:
        return
    above = Image.new("RGB", (grid.room, grid.cell * len(names)), PAPER)
    above_pen, half = ImageDraw.Draw(above), grid.cell // 2
    for at, name in enumerate(names):
        text, middle = cut(name, NAME, grid.letters), at * grid.cell + half
        pen.text((grid.left - 4, grid.top + middle), text, INK, font(grid.letters), anchor="rm")
        above_pen.text((4, middle), text, INK, font(grid.letters), anchor="lm")
    page.paste(above.transpose(Image.Transpose.ROTATE_90), (grid.left, grid.top - grid.room))


def _write_percentages(page: Image.Image, shares_KK: NDArray[np.float64], grid: _Grid) -> None:
    half = grid.cell // 2
    for row, column in np.argwhere(shares_KK >= 0.005).tolist():
        share = shares_KK[row, column]
        left, top, mask = _stencil(f"{100 * share:.0f}")
        place = (grid.left + column * grid.cell + half + left, grid.top + row * grid.cell + half + top)
        page.paste(PAPER if share > 0.2 else INK, place, mask)


@cache
def _stencil(text: str) -> tuple[int, int, Image.Image]:
    """A small text as a mask, and where its upper left corner is from the text's middle."""
    left, top, right, bottom = map(round, font(FONT - 1).getbbox(text, anchor="mm"))
    mask = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(mask).text((-left, -top), text, 255, font(FONT - 1), anchor="mm")
    return left, top, mask


def _write_legend(pen: ImageDraw.ImageDraw, left: int, top: int) -> None:
    """The darkness of some shares, of right answers and of mistakes."""
    pen.text((left, top), "% of the true class's images", MUTED, font(FONT))
    for at, share in enumerate(SHARES):
        start = left + 180 + at * 34
        for row, colour in enumerate((CORRECT, CONFUSED)):
            paint = tuple(round(255 + share**0.5 * (part - 255)) for part in ImageColor.getrgb(colour)[:3])
            pen.rectangle((start, top + row * 9, start + 32, top + row * 9 + 7), paint)
        pen.text((start + 16, top + 20), f"{100 * share:.0f}", MUTED, font(FONT - 1), anchor="mt")
