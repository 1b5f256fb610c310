"""What both sides of a benchmark look at: Tiny Image10 as this project prepares it, and the same JPEGs as a folder a class.

The folders are divided as `data.split` divides, so that a peer trains and is judged on the very same images.
"""

from pathlib import Path
from typing import NamedTuple

from sweeper.data import Dataset, default_cache, prepare
from sweeper.data.split import Indices, split
from sweeper.data.tiny_imagenet import ARCHIVE, MARKER
from sweeper.data.tree import Archive, Directory
from sweeper.experiment import Data, Split

PARTS = ("train", "val", "test")
ROOT_HELP = "Tiny ImageNet, whole or cut: an archive or a folder; left out: the archive in the cache, else downloaded"
SHARE_HELP = "of the 5,000 training images: what is trained on; 0.1 for a quick look"


class Images(NamedTuple):
    """A prepared data set, what it was prepared from, and which images are for what."""

    data: Data
    dataset: Dataset
    indices: Indices


def prepared(root: str | None, cache: Path | None = None, share: float = 0.8) -> Images:
    """Tiny Image10 from `root`, decoded into `cache` if it is not there yet; `share` is what is trained on."""
    data = Data("tiny-image10", root=root, split=Split(train=share))
    dataset = prepare(data, cache or default_cache())
    return Images(data, dataset, split(dataset, data.split))


def write_folders(images: Images, to: Path) -> None:
    """Write the encoded images, byte for byte, as `to`/<part>/<class>/<name>.JPEG for torchvision's ImageFolder."""
    source = Path(images.data.root).expanduser() if images.data.root else default_cache() / ARCHIVE
    tree = Directory(source) if source.is_dir() else Archive(source, MARKER)
    dataset = images.dataset
    for part, indices_N in zip(PARTS, images.indices, strict=True):
        for index in indices_N.tolist():
            path = dataset.samples[index]
            target = to / part / dataset.classes[dataset.labels_N[index]].id / Path(path).name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(tree.read(path))
