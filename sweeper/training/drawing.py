"""Pictures by Pillow alone: text that is cut to its place, and sheets of photographs in few bytes.

Photographs share a palette, and the text has shades of its own in it: a sheet has a third of the bytes that it would
have in full colour, and its captions exactly the colours they are given. Legend: H = W pixels.
"""

import io
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont

PAPER, INK, MUTED, RIGHT, WRONG = "#ffffff", "#20242a", "#626a75", "#1a7f37", "#c4262e"
CAPTIONS = (INK, MUTED, RIGHT, WRONG)
SHADES = 6  # of each colour of captions, for smooth edges
COLUMNS, CELL, GAP, LINE, FONT = 6, 128, 8, 15, 12
SMALL, FEW = 64, 12  # larger images are drawn at up to 96 px, and so many at most
LARGEST, MOST = 96, 24
LIMIT_BYTES = 150_000

Pixels = NDArray[np.uint8]


class Line(NamedTuple):
    """A line under a photograph, in one of the colours of `CAPTIONS`; `text` may be cut, `tail` is not."""

    text: str
    colour: str = INK
    tail: str = ""


class Tile(NamedTuple):
    """A photograph, (H, W, 3), and the lines under it."""

    pixels_HW3: Pixels
    lines: tuple[Line, ...]


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font, in pixels."""
    found = ImageFont.load_default(size)
    assert isinstance(found, ImageFont.FreeTypeFont), "Pillow is built with FreeType"
    return found


def readable(text: str) -> str:
    """What the font can draw of a text, on one line: without accents, emoji and other scripts; perhaps nothing."""
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", text) if _is_drawn(letter))
    return " ".join(plain.split())


@cache
def _is_drawn(letter: str) -> bool:
    if letter.isspace():
        return True
    return letter.isprintable() and bytes(font(FONT).getmask(letter)) != bytes(font(FONT).getmask("\uffff"))


@cache
def _width(letter: str, size: int) -> float:
    return font(size).getlength(letter)


def text_width(text: str, size: int = FONT) -> float:
    """Pixels that a text takes, with a little to spare."""
    return sum(_width(letter, size) for letter in text)


def cut(text: str, width: float, size: int = FONT) -> str:
    """The text, or as much of its beginning as fits into `width` pixels with an ellipsis."""
    if text_width(text, size) <= width:
        return text
    left, kept = width - _width("…", size), 0
    while kept < len(text) and (left := left - _width(text[kept], size)) >= 0:
        kept += 1
    return text[:kept].rstrip() + "…"


def fitting_sheet(pixels: int, make: Callable[[int], bytes]) -> bytes:
    """What `make` draws of as many photographs, of `pixels` a side, as make a small file; fewer of noisy ones."""
    for count in range(MOST if pixels <= SMALL else FEW, COLUMNS, -COLUMNS):
        picture = make(count)
        if len(picture) <= LIMIT_BYTES:
            return picture
    return make(COLUMNS)


def sheet(title: str, tiles: Sequence[Tile]) -> bytes:
    """A PNG of photographs in rows, small ones enlarged by whole numbers, each above its lines."""
    photographs = [_photograph(tile.pixels_HW3) for tile in tiles]
    lines = max((len(tile.lines) for tile in tiles), default=0)
    height = max((image.height * _scale(image) for image in photographs), default=0)
    top, step = GAP + LINE + GAP, height + GAP // 2 + lines * LINE + GAP
    text = _Text((GAP + COLUMNS * (CELL + GAP), top + -(-len(tiles) // COLUMNS) * step))
    text.write((GAP, GAP), Line(title, MUTED), COLUMNS * CELL)
    corners = [(GAP + at % COLUMNS * (CELL + GAP), top + at // COLUMNS * step) for at in range(len(tiles))]
    for (left, upper), tile in zip(corners, tiles, strict=True):
        for row, line in enumerate(tile.lines):
            text.write((left, upper + height + GAP // 2 + row * LINE), line, CELL)
    palette = _palette(photographs)
    page = text.page(palette)
    for corner, photograph in zip(corners, photographs, strict=True):
        page.paste(_enlarged(photograph.quantize(palette=palette)), corner)
    return png(page)


def png(image: Image.Image) -> bytes:
    """An image as the bytes of a PNG file."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=3)  # in half the time, at most a third larger
    return file.getvalue()


class _Text:
    """Text in several colours: how much of each colour every pixel has, in [0, 255]."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.layers = {colour: Image.new("L", size) for colour in CAPTIONS}

    def write(self, place: tuple[int, int], line: Line, width: int) -> None:
        text = cut(line.text, width - text_width(line.tail)) + line.tail
        ImageDraw.Draw(self.layers[line.colour]).text(place, text, 255, font(FONT))

    def page(self, palette: Image.Image) -> Image.Image:
        """The text on paper, in the last colours of a palette (see `_palette`)."""
        first = 256 - SHADES * len(CAPTIONS)
        page = Image.new("L", self.layers[INK].size, first - 1)
        shades = [(amount * SHADES + 127) // 255 for amount in range(256)]
        for at, layer in enumerate(self.layers.values()):
            if layer.getbbox():
                colours = [first + at * SHADES - 1 + shade for shade in shades]
                page.paste(layer.point(colours), mask=layer.point([255 * (shade > 0) for shade in shades]))
        page = page.convert("P")
        page.putpalette(palette.getpalette() or [])
        return page


def _palette(photographs: Sequence[Image.Image]) -> Image.Image:
    """An image whose palette has colours of the photographs, then paper, then the shades of each caption's colour."""
    own = SHADES * len(CAPTIONS) + 1
    strip = Image.new("RGB", (SMALL, SMALL * max(1, len(photographs))), PAPER)
    for at, photograph in enumerate(photographs):
        strip.paste(photograph.resize((SMALL, SMALL)), (0, at * SMALL))
    found = strip.quantize(256 - own, Image.Quantize.FASTOCTREE).getpalette() or []
    colours = [*found, *[0] * (3 * (256 - own) - len(found)), *ImageColor.getrgb(PAPER)]
    for caption in CAPTIONS:
        shades_S3 = np.linspace(ImageColor.getrgb(PAPER), ImageColor.getrgb(caption), SHADES + 1)[1:]
        colours += shades_S3.round().astype(int).ravel().tolist()
    palette = Image.new("P", (1, 1))
    palette.putpalette(colours)
    return palette


def _photograph(pixels_HW3: Pixels) -> Image.Image:
    """At most `SMALL` pixels a side as it is, larger ones `LARGEST`."""
    image = Image.fromarray(np.ascontiguousarray(pixels_HW3))
    side = max(image.size)
    if side <= SMALL:
        return image
    side = min(side, LARGEST)
    return image.resize((side, side), Image.Resampling.LANCZOS)


def _enlarged(image: Image.Image) -> Image.Image:
    return image.resize((image.width * _scale(image), image.height * _scale(image)), Image.Resampling.NEAREST)


def _scale(image: Image.Image) -> int:
    return max(1, CELL // max(image.size))
