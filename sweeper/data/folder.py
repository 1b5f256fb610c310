"""`folder`: one sub-folder a class; `train/`, `val/` and `test/` above them are the parts, by any of their usual names."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from sweeper.data.dataset import ClassName, DataError
from sweeper.data.image_files import ImageFiles, Listing, Sample
from sweeper.data.source import Wanted, choose, storable
from sweeper.data.tree import EXTENSIONS, Directory

if TYPE_CHECKING:
    from sweeper.experiment import Data

TRAINING, VALIDATION, TEST = ("train", "training"), ("val", "valid", "validation"), ("test", "testing")
NAMED_ENDINGS = 5
LAYOUT = (
    "Expected one sub-folder a class with its images inside (cat/1.jpg, dog/2.png), or such sub-folders in train/ and "
    f"in val/, test/ or both. Images end in {', '.join(EXTENSIONS)}."
)


class Parts(NamedTuple):
    """The folders that hold the class folders: of the training images, of the official ones, of tests beside the latter."""

    training: str
    official: str | None = None
    test: str | None = None


def find(data: "Data", cache: Path) -> ImageFiles:
    """The folder at `data.root`. Raises DataError when it is not one."""
    if data.root is None:
        raise DataError(f"data.name 'folder' needs data.root, the folder with the images. {LAYOUT}")
    root = Path(data.root).expanduser()
    if not root.is_dir():
        raise DataError(f"data.root: {str(root.absolute())!r} is not a folder. {LAYOUT}")
    tree = Directory(root)
    return ImageFiles(tree, partial(_listing, tree, data.classes))


def passed_over(data: "Data") -> list[str]:
    """The files in folders of the chosen classes that are not taken for images, and are no notes on them either."""
    tree = Directory(Path(data.root or "").expanduser())
    parts, classes = _parts_and_classes(tree, data.classes)
    bases = [_class_folder(part, one.id) for part in parts if part is not None for one in classes]
    return [storable(path) for base in bases for inner in _below(tree, base) for path in tree.passed_over(inner)]


def told_passed_over(paths: Sequence[str]) -> str:
    """One sentence on them."""
    counts = Counter(PurePosixPath(path).suffix.lower() or "no ending" for path in paths)
    told = ", ".join(f"{ending} {count:,}" for ending, count in counts.most_common(NAMED_ENDINGS))
    told += f" and {len(counts) - NAMED_ENDINGS} more endings" if len(counts) > NAMED_ENDINGS else ""
    files = (
        "1 file in the classes' folders is" if len(paths) == 1 else f"{len(paths):,} files in the classes' folders are"
    )
    why = "it does" if len(paths) == 1 else "they do"
    images = "Convert what is an image, to .png or .jpg for instance"
    return f"{files} passed over, for {why} not end as images do ({told}). {images}"


def _parts_and_classes(tree: Directory, wanted: Wanted) -> tuple[Parts, tuple[ClassName, ...]]:
    parts = _parts(tree)
    ids = tree.folders(parts.training)
    if not ids:
        raise DataError(f"data.root: there are no class folders in {tree.root / parts.training}. {LAYOUT}")
    return parts, choose([ClassName(storable(one), one) for one in ids], wanted)


def _listing(tree: Directory, wanted: Wanted) -> Listing:
    parts, classes = _parts_and_classes(tree, wanted)
    samples = [sample for one in classes for sample in _samples(tree, parts.training, one.id, 0)]
    empty = sorted({one.id for one in classes} - {sample.class_id for sample in samples})
    if empty:
        raise DataError(f"data.root: {tree.root / parts.training} has no images for {', '.join(empty)}. {LAYOUT}")
    for part, name in enumerate(parts[1:], 1):
        if name is not None:
            _check_same_classes(tree, parts.training, name)
            samples += [sample for one in classes for sample in _samples(tree, name, one.id, part)]
    return classes, samples


def _parts(tree: Directory) -> Parts:
    """Raises DataError where folders are called as parts are and do not make a set, so that no part becomes a class."""
    top = tree.folders("")
    training, validation, test = (_named(tree, top, names) for names in (TRAINING, VALIDATION, TEST))
    if training and (validation or test):
        if validation and test and not set(tree.folders(test)) & set(tree.folders(training)):
            test = None  # it has no labels, like Tiny ImageNet's `test/images/`
        return Parts(training, validation or test, test if validation else None)
    if training and top == [training]:
        return Parts(training)
    _check_no_parts(tree, top, training)
    return Parts("")


def _named(tree: Directory, top: list[str], names: tuple[str, ...]) -> str | None:
    """The top folder that has one of these names, in any case, and folders in it."""
    found = [one for one in top if one.lower() in names and tree.folders(one)]
    if len(found) > 1:
        raise DataError(
            f"data.root: {' and '.join(found)} in {tree.root} are the same part by another name. Keep one of them there."
        )
    return found[0] if found else None


def _check_no_parts(tree: Directory, top: list[str], training: str | None) -> None:
    if training and not tree.images(training):
        others = ", ".join(one for one in top if one != training)
        raise DataError(
            f"data.root: {tree.root / training} has folders in it, as a training part has, but of what is beside it "
            f"({others}) nothing is a validation or test part with class folders in it. Rename that to val or test, or, "
            f"for the training images alone, set data.root to {tree.root / training}. {LAYOUT}"
        )
    called = [one for one in top if one.lower() in TRAINING + VALIDATION + TEST]
    has_both = len({one.lower() in TRAINING for one in called}) == 2
    if called and (has_both or called == top):
        raise DataError(
            f"data.root: {tree.root} has the parts {', '.join(called)}, but not class folders both in a training part and in "
            f"a validation or test part. Sort the images of each part into class folders, or rename what is a class. {LAYOUT}"
        )


def _check_same_classes(tree: Directory, training: str, official: str) -> None:
    strange = sorted(set(tree.folders(official)) - set(tree.folders(training)))
    if strange:
        raise DataError(
            f"data.root: {tree.root / official} has classes without training images: {', '.join(strange)}. "
            f"Add {training}/{strange[0]}, or remove {official}/{strange[0]}."
        )


def _samples(tree: Directory, folder: str, class_id: str, part: int) -> list[Sample]:
    base = _class_folder(folder, class_id)
    return [
        Sample(part, class_id, file.path.removeprefix(f"{base}/"), file.path, file.size_bytes, file.version)
        for inner in _below(tree, base)
        for file in tree.images(inner)
    ]


def _class_folder(part: str, class_id: str) -> str:
    return f"{part}/{class_id}" if part else class_id


def _below(tree: Directory, path: str) -> Iterator[str]:
    """A folder and all those in it."""
    yield path
    for name in tree.folders(path):
        inner = f"{path}/{name}"
        if (tree.root / inner).is_symlink():  # it may lead round in a circle
            raise DataError(
                f"data.root: {tree.root / inner} is a linked folder in a class. Link whole classes or images."
            )
        yield from _below(tree, inner)
