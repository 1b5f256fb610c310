"""Small image files and archives in the layouts that `sweeper.data` reads."""

import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

REAL = Path(__file__).parents[2] / "shared" / "data" / "tiny-imagenet-10.zip"
WORDS = {
    "n01443537": "goldfish, Carassius auratus",
    "n01629819": "European fire salamander, Salamandra salamandra",
    "n01641577": "bullfrog, Rana catesbeiana",
    "n02012849": "crane",
    "n03126707": "crane",
}
WNIDS = tuple(WORDS)


def encoded(seed: int, size: tuple[int, int] = (64, 64), mode: str = "RGB", form: str = "JPEG") -> bytes:
    """A file of smooth noise, so that JPEG keeps it nearly as it is."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode).save(file, form)
    return file.getvalue()


def tiny_files(wnids: tuple[str, ...] = WNIDS, train: int = 5, val: int = 2) -> dict[str, bytes]:
    """Tiny ImageNet's official layout, path to content; every third image is gray; the test images have no labels."""
    files = {
        "wnids.txt": "".join(f"{wnid}\n" for wnid in reversed(wnids)).encode(),
        "words.txt": "".join(f"{wnid}\t{words}\n" for wnid, words in {**WORDS, "n99": "never, seen"}.items()).encode(),
        "test/images/test_0.JPEG": encoded(10**6),
    }
    annotations = ""
    for wnid in wnids:
        files[f"train/{wnid}/{wnid}_boxes.txt"] = b""
        for number in range(train):
            seed = int(wnid[1:]) + number
            files[f"train/{wnid}/images/{wnid}_{number}.JPEG"] = encoded(seed, mode="RGB" if number % 3 else "L")
        for number in range(val):
            name = f"val_{WNIDS.index(wnid) * 100 + number}.JPEG"
            files[f"val/images/{name}"] = encoded(int(wnid[1:]) + 1000 + number)
            annotations += f"{name}\t{wnid}\t0\t1\t52\t48\n"
    return {**files, "val/val_annotations.txt": annotations.encode()}


def write_zip(file: Path, files: Mapping[str, bytes], top: str = "tiny-imagenet-200/") -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(top + name, content)
    return file


def write_folder(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def class_files(*classes: str, each: int = 3, start: int = 0) -> Iterator[tuple[str, bytes]]:
    for label, name in enumerate(classes):
        for number in range(each):
            yield f"{name}/{number}.jpg", encoded(start + 100 * label + number)


def nearly(images: np.ndarray, content: bytes) -> bool:
    """Whether a prepared image (CHW) is what Pillow makes of these bytes."""
    with Image.open(io.BytesIO(content)) as image:
        expected = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    return bool(np.array_equal(images, expected))
