"""`folder`: one sub-folder a class; with `train/` and `val/` (or `test/`) above them, those are the two parts."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sweeper.data.dataset import ClassName, DataError
from sweeper.data.source import ImageFiles, Listing, Sample, Wanted, choose, storable
from sweeper.data.tree import EXTENSIONS, Directory, File

if TYPE_CHECKING:
    from sweeper.experiment import Data

OFFICIAL = ("val", "test")
LAYOUT = (
    "Expected one sub-folder a class with its images inside (cat/1.jpg, dog/2.png), or such sub-folders in train/ and "
    f"in val/ or test/. Images end in {', '.join(EXTENSIONS)}."
)


def find(data: "Data", cache: Path) -> ImageFiles:
    """The folder at `data.root`. Raises DataError when it is not one."""
    if data.root is None:
        raise DataError(f"data.name 'folder' needs data.root, the folder with the images. {LAYOUT}")
    root = Path(data.root).expanduser()
    if not root.is_dir():
        raise DataError(f"data.root: {data.root!r} is not a folder ({root.absolute()}). {LAYOUT}")
    tree = Directory(root)
    return ImageFiles(tree, partial(_listing, tree, data.classes))


def _listing(tree: Directory, wanted: Wanted) -> Listing:
    training, official = _parts(tree)
    ids = tree.folders(training)
    if not ids:
        raise DataError(f"data.root: there are no class folders in {tree.root / training}. {LAYOUT}")
    classes = choose([ClassName(storable(one), one) for one in ids], wanted)
    samples = [sample for one in classes for sample in _samples(tree, training, one.id, official=False)]
    empty = sorted({one.id for one in classes} - {sample.class_id for sample in samples})
    if empty:
        raise DataError(f"data.root: {tree.root / training} has no images for {', '.join(empty)}. {LAYOUT}")
    if official is not None:
        _check_same_classes(tree, official, ids)
        samples += [sample for one in classes for sample in _samples(tree, official, one.id, official=True)]
    return classes, samples


def _parts(tree: Directory) -> tuple[str, str | None]:
    """The folders that hold the class folders of the training and of the official images."""
    official = next((name for name in OFFICIAL if tree.folders(name)), None)
    if tree.folders("train") and (official or tree.folders("") == ["train"]):
        return "train", official
    return "", None


def _check_same_classes(tree: Directory, official: str, ids: list[str]) -> None:
    strange = sorted(set(tree.folders(official)) - set(ids))
    if strange:
        raise DataError(
            f"data.root: {tree.root / official} has classes without training images: {', '.join(strange)}. "
            f"Add train/{strange[0]}, or remove {official}/{strange[0]}."
        )


def _samples(tree: Directory, part: str, class_id: str, *, official: bool) -> list[Sample]:
    base = f"{part}/{class_id}" if part else class_id
    return [
        Sample(official, class_id, file.path.removeprefix(f"{base}/"), file.path, file.size_bytes, file.version)
        for file in _below(tree, base)
    ]


def _below(tree: Directory, path: str) -> Iterator[File]:
    yield from tree.images(path)
    for name in tree.folders(path):
        inner = f"{path}/{name}"
        if (tree.root / inner).is_symlink():  # it may lead round in a circle
            raise DataError(
                f"data.root: {tree.root / inner} is a linked folder in a class. Link whole classes or images."
            )
        yield from _below(tree, inner)
