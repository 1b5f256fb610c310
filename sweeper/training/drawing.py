"""Pictures by Pillow alone: text that is cut to its place, and sheets of photographs in few bytes.

Photographs share a palette, and the text has shades of its own in it: a sheet has a third of the bytes that it would
have in full colour, and its captions exactly the colours they are given. Legend: H = W pixels.
"""

import io
import math
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont

PAPER, INK, MUTED, RIGHT, WRONG = "#ffffff", "#20242a", "#626a75", "#1a7f37", "#c4262e"
CAPTIONS = (INK, MUTED, RIGHT, WRONG)
SHADES = 6  # of each colour of captions, for smooth edges
PAPER_AT = 255 - SHADES * len(CAPTIONS)  # in the palette of a sheet, before the captions' shades
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
    photographs, palette = _in_one_palette(tuple((tile.pixels_HW3.shape, tile.pixels_HW3.tobytes()) for tile in tiles))
    lines = max((len(tile.lines) for tile in tiles), default=0)
    height = max((image.height for image in photographs), default=0)
    top, step = GAP + LINE + GAP, height + GAP // 2 + lines * LINE + GAP
    page = Image.new("P", (GAP + COLUMNS * (CELL + GAP), top + -(-len(tiles) // COLUMNS) * step), PAPER_AT)
    page.putpalette(palette)
    _write(page, (GAP, GAP), Line(title, MUTED), COLUMNS * CELL)
    for at, (tile, photograph) in enumerate(zip(tiles, photographs, strict=True)):
        left, upper = GAP + at % COLUMNS * (CELL + GAP), top + at // COLUMNS * step
        page.paste(photograph, (left, upper))
        for row, line in enumerate(tile.lines):
            _write(page, (left, upper + height + GAP // 2 + row * LINE), line, CELL)
    return png(page)


def png(image: Image.Image) -> bytes:
    """An image as the bytes of a PNG file."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=3)  # in half the time, at most a third larger
    return file.getvalue()


def drawing_png(page: Image.Image) -> bytes:
    """A drawing as a PNG of 256 colours: half the time and a third of the bytes. Its upper left pixel is paper."""
    found = page.quantize(256, Image.Quantize.FASTOCTREE)
    palette, paper = found.getpalette() or [], 3 * found.tobytes()[0]
    palette[paper : paper + 3] = ImageColor.getrgb(PAPER)  # exactly, not the mean of what is nearly white
    found.putpalette(palette)
    return png(found)


def _write(page: Image.Image, place: tuple[int, int], line: Line, width: int) -> None:
    """Write a line on a page whose palette is of `_in_one_palette`."""
    left, top = place
    for text in (cut(line.text, width - text_width(line.tail)), line.tail):
        stamp = _stamp(text, line.colour)
        page.paste(stamp, (left, top))
        left += round(text_width(text))


@lru_cache(maxsize=4096)  # names and percentages come again and again, on a page and in trial after trial
def _stamp(text: str, colour: str) -> Image.Image:
    """A text on paper, in the last colours of a palette (see `_in_one_palette`)."""
    ink = Image.new("L", (math.ceil(text_width(text)), LINE))
    ImageDraw.Draw(ink).text((0, 0), text, 255, font(FONT))
    before = PAPER_AT + CAPTIONS.index(colour) * SHADES
    shades = [(amount * SHADES + 127) // 255 for amount in range(256)]
    return ink.point([before + shade if shade else PAPER_AT for shade in shades]).convert("P")


@lru_cache(maxsize=2)  # those of `predictions.png` are the same for every trial
def _in_one_palette(photographs: tuple[tuple[tuple[int, ...], bytes], ...]) -> tuple[list[Image.Image], list[int]]:
    """Photographs, by (H, W, 3) and pixels, at the size they are drawn at, and the colours of their palette.

    It has colours of the photographs, then paper, then the shades of each caption's colour.
    """
    images = [_sized(np.frombuffer(pixels, np.uint8).reshape(shape)) for shape, pixels in photographs]
    strip = Image.new("RGB", (SMALL, SMALL * max(1, len(images))), PAPER)
    for at, image in enumerate(images):
        strip.paste(image.resize((SMALL, SMALL)), (0, at * SMALL))
    found = strip.quantize(PAPER_AT, Image.Quantize.FASTOCTREE).getpalette() or []
    colours = [*found, *[0] * (3 * PAPER_AT - len(found)), *ImageColor.getrgb(PAPER)]
    for caption in CAPTIONS:
        shades_S3 = np.linspace(ImageColor.getrgb(PAPER), ImageColor.getrgb(caption), SHADES + 1)[1:]
        colours += shades_S3.round().astype(int).ravel().tolist()
    palette = Image.new("P", (1, 1))
    palette.putpalette(colours)
    return [_enlarged(image.quantize(palette=palette)) for image in images], colours


def _sized(pixels_HW3: Pixels) -> Image.Image:
    """At most `SMALL` pixels a side as it is, larger ones `LARGEST`."""
    image = Image.fromarray(pixels_HW3)
    side = max(image.size)
    if side <= SMALL:
        return image
    side = min(side, LARGEST)
    return image.resize((side, side), Image.Resampling.LANCZOS)


def _enlarged(image: Image.Image) -> Image.Image:
    scale = max(1, CELL // max(image.size))
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
