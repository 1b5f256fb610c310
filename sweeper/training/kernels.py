"""The weights of a network as pictures: kernels of convolutions, and how weights are spread."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import nn

from sweeper.store import Folder
from sweeper.training import histograms
from sweeper.training.drawing import FONT, GAP, INK, LINE, MUTED, PAPER, Pixels, cut, font, png, readable
from sweeper.training.saliency import Convolution

WIDTH, SPACE = 816, 3  # pixels: of the picture, between tiles
TILE, LARGEST, MOST = 24, 48, 256  # pixels: a tile at least and at most; tiles
MATRIX = (128, 256)  # kernels and channels that are shown of kernels of one position
PANEL, HEIGHT, PANELS = (193, 92), 64, 24
BAR = "#2369a1"


def kernels(of: Convolution) -> bytes:
    """A PNG of a convolution's kernels, each stretched to the full range: in colour when they look at RGB.

    Else as the norms of each position over the channels; where a kernel is one position, a row is a kernel and a column
    a channel.
    """
    weight_OIHW: NDArray[np.float32] = of.layer.weight.detach().float().numpy()
    out, channels, height, width = weight_OIHW.shape
    told = f"{of.name}: {out} kernels of {height} x {width} over {channels} channels"
    if height * width == 1:
        values_OI = np.abs(weight_OIHW[: MATRIX[0], : MATRIX[1], 0, 0])
        first = f"the first {MATRIX[0]} x {MATRIX[1]}, " if values_OI.size < out * channels else ""
        return _matrix(f"{told}; {first}rows are kernels, columns channels, bright is large", values_OI)
    shown = f"; the first {MOST}" if out > MOST else ""
    if channels == 3:
        return _tiles(f"{told}, as colours{shown}", weight_OIHW[:MOST].transpose(0, 2, 3, 1))
    norms_OHW1 = np.linalg.norm(weight_OIHW[:MOST], axis=1)[..., None]
    return _tiles(f"{told}, as norms over the channels{shown}; bright is large", norms_OHW1)


def deeper(found: list[Convolution]) -> Convolution | None:
    """The convolution in the middle of those after the first that have kernels of several positions, else of all."""
    rest = found[1:]
    wide = [one for one in rest if max(one.layer.kernel_size) > 1] or rest
    return wide[len(wide) // 2] if wide else None


def _tiles(title: str, values_OHWC: NDArray[np.float32]) -> bytes:
    count, height, width = values_OHWC.shape[:3]
    low_O111, high_O111 = (reduce(values_OHWC, axis=(1, 2, 3), keepdims=True) for reduce in (np.min, np.max))
    levels_OHWC = 255 * (values_OHWC - low_O111) / np.maximum(high_O111 - low_O111, 1e-12)
    pixels_OHW3: Pixels = np.broadcast_to(levels_OHWC.round(), (count, height, width, 3)).astype(np.uint8)
    size = LARGEST if count <= 64 else TILE + 8 if count <= 144 else TILE
    step = size + SPACE
    columns = max(1, (WIDTH - 2 * GAP) // step)
    page, top = _page(title, -(-count // columns) * step)
    for at, pixels_HW3 in enumerate(pixels_OHW3):
        tile = Image.fromarray(pixels_HW3).resize((size, size), Image.Resampling.NEAREST)
        page.paste(tile, (GAP + at % columns * step, top + at // columns * step))
    return png(page)


def _matrix(title: str, values_OI: NDArray[np.float32]) -> bytes:
    image = Image.fromarray((255 * values_OI / max(values_OI.max(), 1e-12)).astype(np.uint8))
    scale = min((WIDTH - 2 * GAP) // image.width, LARGEST)
    image = image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
    page, top = _page(title, image.height)
    page.paste(image, (GAP, top))
    return png(page)


def _page(title: str, height: int) -> tuple[Image.Image, int]:
    """Paper with a title, and where what is below it begins."""
    top = 2 * GAP + LINE
    page = Image.new("RGB", (WIDTH, top + height + GAP), PAPER)
    ImageDraw.Draw(page).text((GAP, GAP), cut(readable(title), WIDTH - 2 * GAP), MUTED, font(FONT))
    return page, top


def weight_histograms(network: nn.Module, artifacts: Folder) -> bytes:
    """A PNG of how the weights of each layer are spread: of the last epoch that the sweep kept, else of the best one."""
    layers = [name for name, parameter in network.named_parameters() if parameter.dim() > 1]
    epoch, rows = "the best epoch", {row["layer"]: row for row in histograms.weights(network)}
    kept = [row for row in histograms.read(artifacts) if row["kind"] == "weight"]
    if kept:
        last = max(row["epoch"] for row in kept)
        epoch, rows = f"epoch {last}", {row["layer"]: row for row in kept if row["epoch"] == last}
    shown = [layers[at] for at in np.linspace(0, len(layers) - 1, min(PANELS, len(layers))).round().astype(int)]
    left_out = f"; {len(shown)} of {len(layers)} layers" if len(shown) < len(layers) else ""
    return _panels(f"weights after {epoch}, layer by layer{left_out}", [rows[name] for name in shown if name in rows])


def _panels(title: str, rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Bars on a scale of their own in each panel, between the smallest and the largest weight."""
    rows, columns = list(rows), (WIDTH - GAP) // (PANEL[0] + GAP)
    page, top = _page(title, -(-len(rows) // columns) * (PANEL[1] + GAP + 4))
    pen = ImageDraw.Draw(page)
    for at, row in enumerate(rows):
        left, upper = GAP + at % columns * (PANEL[0] + GAP), top + at // columns * (PANEL[1] + GAP + 4)
        pen.text((left, upper), cut(readable(row["layer"]), PANEL[0]), INK, font(FONT))
        bottom, most = upper + LINE + HEIGHT, max(1, *row["counts"])
        for bin, count in enumerate(row["counts"]):
            if count:
                height = max(1, round((HEIGHT - 2) * count / most))
                pen.rectangle((left + 3 * bin, bottom - height, left + 3 * bin + 2, bottom), BAR)
        pen.text((left, bottom + 2), f"{row['low']:.3g}", MUTED, font(FONT - 1))
        pen.text((left + PANEL[0], bottom + 2), f"{row['high']:.3g}", MUTED, font(FONT - 1), anchor="ra")
    return png(page)
