"""Tiny ImageNet in its official layout, from the archive or from a folder that it was extracted to.

    wnids.txt   words.txt   train/<wnid>/images/*.JPEG   val/images/*.JPEG   val/val_annotations.txt

The official part is the validation images: the test images have no labels.
"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sweeper.data.dataset import ClassName, DataError
from sweeper.data.image_files import ImageFiles, Listing, Sample
from sweeper.data.source import Wanted, choose
from sweeper.data.tree import Archive, Directory, File

if TYPE_CHECKING:
    from sweeper.experiment import Data

MARKER = "wnids.txt"
EXTRACTED = "tiny-imagenet-200"
ARCHIVE = "tiny-imagenet-200.zip"
Tree = Archive | Directory


def find(data: "Data", cache: Path) -> ImageFiles:
    """All of Tiny ImageNet: `data.root`, else the archive in the cache, else downloaded to there."""
    tree = _tree(data.root, cache)
    return ImageFiles(tree, partial(_listing, tree, None, data.classes))


def find_first_ten(data: "Data", cache: Path) -> ImageFiles:
    """The first ten classes in the order of their ids, or those of them that `data.classes` keeps."""
    tree = _tree(data.root, cache)
    return ImageFiles(tree, partial(_listing, tree, 10, data.classes))


def _tree(root: str | None, cache: Path) -> Tree:
    if root is None:
        from sweeper.data import download

        return Archive(download.fetch(cache / ARCHIVE, cache), MARKER)
    given = Path(root).expanduser()
    if given.is_file():
        return Archive(given, MARKER)
    for folder in (given, given / EXTRACTED):
        if (folder / MARKER).is_file():
            return Directory(folder)
    archives = [given / ARCHIVE] if (given / ARCHIVE).is_file() else sorted(given.glob("*.zip"))
    if len(archives) == 1:
        return Archive(archives[0], MARKER)
    there = "holds several zip archives" if archives else "holds none of these" if given.exists() else "is not there"
    raise DataError(
        f"data.root: no Tiny ImageNet at {root!r}. Looked for a zip archive, a folder with {ARCHIVE} or one other zip "
        f"archive in it, and an extracted folder ({MARKER} in it or in {EXTRACTED}/); {given.absolute()} {there}. "
        "Give the archive itself, or leave data.root out to download it."
    )


def _listing(tree: Tree, first: int | None, wanted: Wanted) -> Listing:
    classes = choose(_known(tree)[:first], wanted)
    samples = [sample for one in classes for sample in _training(tree, one.id)]
    return classes, samples + _official(tree, {one.id for one in classes})


def _known(tree: Tree) -> list[ClassName]:
    """The classes of wnids.txt, sorted by id; a class is called by the first of its synonyms in words.txt."""
    ids = {line.strip() for line in _lines(tree, MARKER)}
    names = {}
    for line in _lines(tree, "words.txt"):
        wnid, _, synonyms = line.partition("\t")
        if wnid in ids:
            names[wnid] = synonyms.partition(",")[0].strip()
    return [ClassName(names.get(wnid) or wnid, wnid) for wnid in sorted(ids)]


def _training(tree: Tree, wnid: str) -> list[Sample]:
    files = tree.images(f"train/{wnid}/images")
    if not files:
        raise DataError(f"{tree} has no images in train/{wnid}/images, but {MARKER} lists {wnid}. Extract it again.")
    return [_sample(file, wnid, official=False) for file in files]


def _official(tree: Tree, wnids: set[str]) -> list[Sample]:
    if not tree.exists("val/val_annotations.txt"):
        return []
    files = {file.name: file for file in tree.images("val/images")}
    samples, missing = [], []
    for line in _lines(tree, "val/val_annotations.txt"):
        name, _, rest = line.partition("\t")
        wnid = rest.partition("\t")[0].strip()
        if wnid in wnids:
            if name in files:
                samples.append(_sample(files[name], wnid, official=True))
            else:
                missing.append(name)
    if missing:
        raise DataError(
            f"{tree} lacks {len(missing):,} images that val/val_annotations.txt lists, {missing[0]} the first. "
            "Extract or copy it again."
        )
    return samples


def _sample(file: File, wnid: str, *, official: bool) -> Sample:
    return Sample(int(official), wnid, file.name, file.path, file.size_bytes, file.version)


def _lines(tree: Tree, path: str) -> list[str]:
    if not tree.exists(path):
        raise DataError(f"{tree} has no {path}: it is not a whole Tiny ImageNet. Extract or copy it again.")
    try:
        text = tree.read(path).decode()
    except (UnicodeDecodeError, DataError) as error:
        raise DataError(f"{path} in {tree} cannot be read ({error}). Extract or copy it again.") from error
    return [line for line in text.split("\n") if line.strip()]
