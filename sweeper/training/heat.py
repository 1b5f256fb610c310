"""Images beside maps of what their predictions rest on. Legend: N images, S pixels a side."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sweeper.training.drawing import CELL, FONT, GAP, LINE, MUTED, PAPER, Line, Pixels, cut, font, png, text_width
from sweeper.training.saliency import Saliencies

RAMP = ((0, 0, 4), (66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164))  # dark to bright
NAMES = ("image", "gradients", "integrated gradients", "Grad-CAM")
TOP_SHARE = 0.99  # of a map's values, below its brightest colour: a few extreme pixels would darken all the others
SIDE, CAPTION = 160, 190  # pixels


def saliency_sheet(images_NSS3: Pixels, maps: Saliencies, captions: Sequence[Sequence[Line]]) -> bytes:
    """A PNG of a row an image: the image, its maps, and lines beside them. Grad-CAM lies over the grey image."""
    shown = [maps.gradients_NSS, maps.integrated_NSS, *([] if maps.grad_cam_NSS is None else [maps.grad_cam_NSS])]
    columns = [images_NSS3, *(heat(map_NSS.numpy()) for map_NSS in shown[:2])]
    if maps.grad_cam_NSS is not None:
        columns.append(_over(images_NSS3, heat(maps.grad_cam_NSS.numpy(), 1.0)))
    step, top = SIDE + GAP, 2 * GAP + LINE
    page = Image.new("RGB", (GAP + len(columns) * step + CAPTION, top + len(images_NSS3) * step), PAPER)
    pen = ImageDraw.Draw(page)
    for at, (name, pixels_NSS3) in enumerate(zip(NAMES, columns, strict=False)):
        pen.text((GAP + at * step, GAP), name, MUTED, font(FONT))
        for row, pixels_SS3 in enumerate(pixels_NSS3):
            page.paste(_sized(pixels_SS3, at == 0), (GAP + at * step, top + row * step))
    for row, lines in enumerate(captions):
        for at, line in enumerate(lines):
            place = (GAP + len(columns) * step, top + row * step + at * LINE)
            text = cut(line.text, CAPTION - GAP - text_width(line.tail)) + line.tail
            pen.text(place, text, line.colour, font(FONT))
    return png(page.quantize(256, Image.Quantize.FASTOCTREE))


def heat(map_NSS: NDArray[np.float32], share: float = TOP_SHARE) -> Pixels:
    """Colours of maps, (N, S, S, 3): black where a map is 0, bright from its quantile `share` on."""
    top_N11 = np.quantile(map_NSS, share, axis=(1, 2), keepdims=True)
    levels_NSS = np.clip(map_NSS / np.maximum(top_N11, 1e-30), 0, 1)
    at = np.linspace(0, 1, len(RAMP))
    channels = [np.interp(levels_NSS, at, [colour[channel] for colour in RAMP]) for channel in range(3)]
    return np.stack(channels, -1).round().astype(np.uint8)


def _over(images_NSS3: Pixels, heat_NSS3: Pixels) -> Pixels:
    grey_NSS1 = images_NSS3.mean(-1, keepdims=True)
    return np.asarray((0.45 * grey_NSS1 + 0.55 * heat_NSS3).round(), np.uint8)


def _sized(pixels_SS3: Pixels, is_photograph: bool) -> Image.Image:
    image = Image.fromarray(np.ascontiguousarray(pixels_SS3))
    smooth = image.width > SIDE or (is_photograph and image.width >= CELL // 2)
    return image.resize((SIDE, SIDE), Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST)
