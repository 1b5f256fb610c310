"""`data.name: MNIST` and the like: torchvision's own files by class name."""

import struct
from pathlib import Path

import numpy as np
import pytest
from images import write_folder
from numpy.typing import NDArray

from sweeper.data import DataError, prepare
from sweeper.experiment import Data


def idx(array: NDArray[np.uint8]) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def mnist(root: Path, train: int = 30, official: int = 10) -> Path:
    """Files that torchvision takes for MNIST: image i shows the gray level i; its label is i mod 10."""
    files = {}
    for part, count in (("train", train), ("t10k", official)):
        levels = np.arange(count, dtype=np.uint8)
        files[f"{part}-images-idx3-ubyte"] = idx(np.tile(levels[:, None, None], (1, 28, 28)))
        files[f"{part}-labels-idx1-ubyte"] = idx(levels % 10)
    return write_folder(root / "MNIST" / "raw", files).parents[1]


def test_a_torchvision_class_gives_training_and_official_images(tmp_path: Path) -> None:
    root = mnist(tmp_path / "root")
    dataset = prepare(Data("MNIST", root=str(root), image_size=8), tmp_path / "cache")
    assert dataset.images_NCHW.shape == (40, 3, 8, 8)
    assert dataset.official_from == 30
    assert dataset.images_NCHW[:, 0, 0, 0].tolist()[:6] == [0, 10, 20, 1, 11, 21]
    assert dataset.labels_N.tolist()[:6] == [0, 0, 0, 1, 1, 1]
    assert dataset.classes[1].name == "1 - one"
    assert dataset.samples[2] == "train/20"


def test_other_files_are_other_data(tmp_path: Path) -> None:
    root = mnist(tmp_path / "root")
    data = Data("MNIST", root=str(root), image_size=8)
    first = prepare(data, tmp_path / "cache")
    assert prepare(data, tmp_path / "cache").folder == first.folder
    mnist(tmp_path / "root", train=31)
    assert prepare(data, tmp_path / "cache").fingerprint != first.fingerprint


def test_classes_of_a_torchvision_set_are_kept_by_name(tmp_path: Path) -> None:
    root = mnist(tmp_path / "root")
    dataset = prepare(Data("MNIST", root=str(root), image_size=8, classes=("3 - three",)), tmp_path / "cache")
    assert dataset.images_NCHW[:, 0, 0, 0].tolist() == [3, 13, 23, 3]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tiny-imagnet", "no data set 'tiny-imagnet' .did you mean 'tiny-imagenet'.*CIFAR10.*take `folder`"),
        ("CIFAR11", "did you mean 'CIFAR10"),
        ("DatasetFolder", "no data set 'DatasetFolder'"),
        ("../x", "no data set '../x'"),
    ],
)
def test_other_names_are_refused_with_those_there_are(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        prepare(Data(name), tmp_path)


def test_files_that_torchvision_cannot_read_are_said(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "root", {"raw-img/cat/0.jpg": b""})
    with pytest.raises(DataError, match=r"torchvision cannot load or download ImageNet.*by hand.*data.root"):
        prepare(Data("ImageNet", root=str(root)), tmp_path / "cache")
