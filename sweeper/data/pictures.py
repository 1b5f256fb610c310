"""Encoded images to uint8 arrays, on every core, with flat memory.

Imported only where images are decoded: opening a prepared data set needs neither this module nor Pillow.
Pillow gives the same pixels as torchvision's decode_jpeg (deprecated since 0.29), which would cost the import of torch.
"""

import io
import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache as cached
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from sweeper.data.source import Picture

BATCH_BYTES, BATCH_IMAGES = 64 * 2**20, 512  # also how long an interrupt waits
ORIENTATION = 0x0112  # the EXIF tag
UPRIGHT = {  # what undoes each of its values; 1 is upright. Exif 2.32, 4.6.4.A
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SMALLEST = 8  # pixels a side; what is smaller is a placeholder, or what is left of an image
# As many as cameras of 50 megapixels give (8160 x 6120). Pillow takes 4 bytes for each, twice where it converts, in each
# thread; its own limit is 179 million, and a bomb just under that is a file of 20 kB.
MOST_PIXELS = 50_000_000
# What may be in a file with one of tree.EXTENSIONS. Pillow would also run Ghostscript on EPS, and an icon has no size
# before it is decoded.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")


class Failure(NamedTuple):
    position: int
    reason: str


def decode(content: bytes, size: int) -> Picture:
    """An encoded image as uint8 CHW of `size` x `size` pixels: RGB, upright. Raises whatever its decoder raises."""
    try:
        image = Image.open(io.BytesIO(content), formats=_formats())
    except UnidentifiedImageError:
        raise ValueError(f"not an image, {len(content):,} bytes") from None  # Pillow's message is an address in memory
    with image:
        _check_size(*image.size)
        turn = _turn(image)
        return fit(image if turn is None else image.transpose(turn), size)


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What makes the image upright, if anything does. ImageOps.exif_transpose also writes the EXIF anew, which some defeat."""
    try:
        return UPRIGHT.get(image.getexif().get(ORIENTATION, 1)) if "exif" in image.info else None
    except MemoryError:
        raise
    except Exception:  # the pixels are whole where the EXIF is not
        return None


def reason(error: Exception) -> str:
    """Why an image cannot be decoded. Decoders raise nearly anything for a damaged one; raises what is no fault of its own."""
    if isinstance(error, MemoryError):
        raise error
    return str(error) or type(error).__name__


@cached
def _formats() -> list[str]:
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]  # AVIF came with Pillow 11.3


def _check_size(width: int, height: int) -> None:
    if min(width, height) < SMALLEST:
        raise ValueError(f"{width} x {height} pixels; an image has {SMALLEST} or more a side")
    if width * height > MOST_PIXELS:
        raise ValueError(f"{width} x {height} pixels; an image has {MOST_PIXELS:,} or fewer, so scale it down")


def fit(image: Image.Image, size: int) -> Picture:
    """The largest centred square of an image, scaled with antialiasing, as uint8 CHW."""
    image = _rgb(image)
    if image.size != (size, size):
        width, height = image.size
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        image = image.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
    return np.frombuffer(image.tobytes(), np.uint8).reshape(size, size, 3).transpose(2, 0, 1)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I;16"):  # Pillow would clip these to 255
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError(f"its pixels ({image.mode}) have no known range")
    if image.mode == "P":
        image = image.convert("RGBA")
    return image.convert("RGB")


def write_images(file: IO[bytes], count: int, size: int, image: Callable[[int, int], Picture]) -> list[Failure]:
    """Write images 0 to `count` as one .npy array of uint8 NCHW; return those that cannot be decoded.

    The array is written front to back, not through a memory map, so that a full disk is an OSError and not a SIGBUS.
    """
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, 3, size, size)}
    np.lib.format.write_array_header_1_0(file, header)
    workers = os.cpu_count() or 1
    step = max(workers, min(BATCH_IMAGES, BATCH_BYTES // (3 * size * size)))
    failures: list[Failure] = []
    with warnings.catch_warnings(), ThreadPoolExecutor(workers) as pool:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `decode` refuses sooner
        for start in range(0, count, step):
            batch_NCHW = np.zeros((min(step, count - start), 3, size, size), np.uint8)
            shares = [range(first, len(batch_NCHW), workers) for first in range(workers)]
            for failed in pool.map(lambda share, to=batch_NCHW, at=start: _fill(to, share, at, image), shares):
                failures += failed
            file.write(batch_NCHW.data)
    return sorted(failures)


def _fill(
    batch_NCHW: NDArray[np.uint8], share: range, start: int, image: Callable[[int, int], Picture]
) -> list[Failure]:
    failures = []
    for index in share:
        try:
            batch_NCHW[index] = image(start + index, batch_NCHW.shape[-1])
        except Exception as error:
            failures.append(Failure(start + index, reason(error)))
    return failures
