"""The images that `benchmarks.faults` trains on: forty handwritten digits of each class, as PNG files in a folder a class."""

from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.peers.digits import IMAGE_SIZE

EACH = 40


def write_images(folder: Path) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    for label in range(10):
        (folder / str(label)).mkdir(parents=True)
        for number, pixels_HW in enumerate(digits.images[digits.target == label][:EACH]):
            image = Image.fromarray((pixels_HW * 255 / 16).astype(np.uint8)).resize((IMAGE_SIZE, IMAGE_SIZE))
            image.convert("RGB").save(folder / str(label) / f"{number}.png")
