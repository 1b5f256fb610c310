"""`data.name: MNIST` and the like: torchvision's own files by class name."""

import itertools
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
import torchvision
from images import class_files, write_folder
from numpy.typing import NDArray
from PIL import Image

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


def imagenet(root: Path) -> Path:
    """Files that torchvision takes for ImageNet: two classes of three have one name, each class its own gray level."""
    names = {"n01440764": ("tench", "Tinca tinca"), "n02012849": ("crane",), "n03126707": ("crane",)}
    levels = {wnid: Image.new("RGB", (8, 8), (level,) * 3) for wnid, level in zip(names, (10, 20, 30), strict=True)}
    for part, count in (("train", 2), ("val", 1)):
        for wnid, number in itertools.product(names, range(count)):
            (root / part / wnid).mkdir(parents=True, exist_ok=True)
            levels[wnid].save(root / part / wnid / f"{number}.JPEG", "PNG")
    torch.save((names, [*names]), root / "meta.bin")
    return root


@pytest.mark.parametrize(
    ("classes", "levels"),
    [
        (None, [10, 10, 20, 20, 30, 30, 10, 20, 30]),
        (("n03126707", "tench"), [10, 10, 30, 30, 10, 30]),
        (("crane (n02012849)",), [20, 20, 20]),
    ],
)
def test_classes_of_imagenet_with_one_name_are_told_apart_by_their_ids(
    tmp_path: Path, classes: tuple[str, ...] | None, levels: list[int]
) -> None:
    data = Data("ImageNet", root=str(imagenet(tmp_path / "root")), image_size=8, classes=classes)
    found = prepare(data, tmp_path / "cache")
    assert found.images_NCHW[:, 0, 0, 0].tolist() == levels
    known = {10: "n01440764", 20: "n02012849", 30: "n03126707"}
    assert [found.classes[label].id for label in found.labels_N] == [known[level] for level in levels]
    assert len({one.name for one in found.classes}) == len(found.classes)


def places(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files that torchvision takes for Places365: image i shows the gray level i; the last two are for validation."""
    lists = {
        "categories_places365.txt": "/a/airfield 0\n/b/bar 1\n",
        "places365_train_standard.txt": "/a/0.jpg 0\n/b/1.jpg 1\n/b/2.jpg 1\n",
        "places365_val.txt": "3.jpg 1\n4.jpg 0\n",
    }
    images = (
        "data_large_standard/a/0",
        "data_large_standard/b/1",
        "data_large_standard/b/2",
        "val_large/3",
        "val_large/4",
    )
    write_folder(root, {f"{name}.jpg": b"P6 8 8 255\n" + bytes([level]) * 192 for level, name in enumerate(images)})
    write_folder(root, {name: lines.encode() for name, lines in lists.items()})
    monkeypatch.setattr("torchvision.datasets.places365.check_integrity", lambda file, md5: True)
    return root


def test_places_are_trained_on_and_judged_on_those_with_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = places(tmp_path / "root", monkeypatch)
    found = prepare(Data("Places365", root=str(root), image_size=8), tmp_path / "cache")
    assert found.images_NCHW[:, 0, 0, 0].tolist() == [0, 1, 2, 4, 3]
    assert found.labels_N.tolist() == [0, 1, 1, 0, 1]
    assert [one.name for one in found.classes] == ["/a/airfield", "/b/bar"]
    assert found.official_from == 3


class Alike:
    """A data set of the kind that torchvision has, whose classes may share a name."""

    classes: tuple[str, ...]

    def __init__(self, root: str, **kwargs: object) -> None:
        if kwargs:
            raise TypeError(f"unexpected keywords: {', '.join(kwargs)}")

    def __len__(self) -> int:
        return 3

    def __getitem__(self, position: int) -> tuple[Image.Image, int]:
        return Image.new("RGB", (8, 8), (position,) * 3), 2 - position


@pytest.mark.parametrize(
    ("classes", "wnids", "known", "levels"),
    [
        (("ray", "crane", "crane"), None, [("ray", "0"), ("crane (1)", "1"), ("crane (2)", "2")], [2, 1, 0]),
        (
            ("ray", "crane", "crane"),
            ("n2", "n1", "n0"),
            [("crane (n0)", "n0"), ("crane (n1)", "n1"), ("ray", "n2")],
            [0, 1, 2],
        ),
        (("ray", "crane", "emu"), ("n2", "n1", "n0"), [("crane", "crane"), ("emu", "emu"), ("ray", "ray")], [1, 0, 2]),
    ],
)
def test_classes_are_known_by_their_names_unless_these_are_shared(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    classes: tuple[str, ...],
    wnids: tuple[str, ...] | None,
    known: list[tuple[str, str]],
    levels: list[int],
) -> None:
    monkeypatch.setattr(torchvision.datasets, "Alike", Alike, raising=False)
    monkeypatch.setattr(Alike, "classes", classes, raising=False)
    monkeypatch.setattr(Alike, "wnids", wnids, raising=False)
    found = prepare(Data("Alike", root=str(tmp_path), image_size=8), tmp_path / "cache")
    assert [(one.name, one.id) for one in found.classes] == known
    assert found.images_NCHW[:, 0, 0, 0].tolist() == levels


class Refusing:
    """A data set of the kind that torchvision has, with a part of its own name, or of a type that it does not take."""

    error: type[Exception]

    def __init__(self, root: str, split: str = "standard", download: bool = False) -> None:
        raise self.error(f"Unknown value '{split}', download {download}")


@pytest.mark.parametrize("error", [ValueError, TypeError])
def test_what_torchvision_refuses_is_said_with_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    monkeypatch.setattr(torchvision.datasets, "Refusing", Refusing, raising=False)
    monkeypatch.setattr(Refusing, "error", error, raising=False)
    with pytest.raises(DataError, match=r"load or download Refusing \(Unknown value 'train', download True\)"):
        prepare(Data("Refusing", root=str(tmp_path)), tmp_path / "cache")


@pytest.mark.parametrize("name", ["LSUN", "LSUNClass"])
def test_a_package_that_torchvision_lacks_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lmdb", None)  # as where it is not installed
    with pytest.raises(DataError, match=f"reads {name} with the package lmdb, .*pip install lmdb"):
        prepare(Data(name, root=str(tmp_path / "root"), image_size=8), tmp_path / "cache")


def test_keywords_are_handed_on_to_who_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(torchvision.datasets.QMNIST, "download", lambda self: asked.append(self.what))
    with pytest.raises(DataError, match="cannot load or download QMNIST "):
        prepare(Data("QMNIST", root=str(tmp_path)), tmp_path / "cache")
    assert asked == ["train"]


def textures(root: Path) -> Path:
    """Files that torchvision takes for its DTD: two classes of three training and two test images."""
    files = {f"dtd/images/{name}": image for name, image in class_files("dotted", "woven", each=5)}
    for part, numbers in (("train1", range(3)), ("test1", range(3, 5)), ("val1", range(0))):
        lines = [f"{name}/{number}.jpg\n" for name in ("dotted", "woven") for number in numbers]
        files[f"dtd/labels/{part}.txt"] = "".join(lines).encode()
    return write_folder(root / "dtd", files).parent


def pets(root: Path) -> Path:
    return write_folder(root, dict(class_files("cat", "dog")))


@pytest.mark.parametrize(
    ("name", "make", "file", "sample", "of"),
    [
        ("DTD", textures, "dtd/dtd/images/woven/1.jpg", "train/4", 10),
        ("DTD", textures, "dtd/dtd/images/dotted/4.jpg", "official/1", 10),
        ("ImageFolder", pets, "cat/2.jpg", "train/2", 6),
    ],
)
@pytest.mark.parametrize("left", [0, 300], ids=["nothing left", "cut"])
def test_an_image_that_torchvision_cannot_load_is_listed_or_left_out(
    tmp_path: Path, name: str, make: Callable[[Path], Path], file: str, sample: str, of: int, left: int
) -> None:
    root = make(tmp_path / "root")
    whole = prepare(Data(name, root=str(root), image_size=8), tmp_path / "cache")
    os.truncate(root / file, left)
    class_name = file.split("/")[-2]
    with pytest.raises(DataError, match=f"1 of {of} images cannot be decoded. By class: {class_name} 1.") as caught:
        prepare(Data(name, root=str(root), image_size=8), tmp_path / "cache")
    assert f"They are: {sample} (" in str(caught.value)
    assert str(root / file) in str(caught.value)
    found = prepare(Data(name, root=str(root), image_size=8, on_corrupt="skip"), tmp_path / "cache")
    assert [one[:2] for one in found.excluded] == [(sample, class_name)]
    kept = [position for position, other in enumerate(whole.samples) if other != sample]
    assert list(found.samples) == [whole.samples[position] for position in kept]
    np.testing.assert_array_equal(found.images_NCHW, whole.images_NCHW[kept])
    np.testing.assert_array_equal(found.labels_N, whole.labels_N[kept])
    assert found.official_from == whole.official_from - sample.startswith("train")


class Failing:
    """A data set of the kind that torchvision has, with a second image whose decoder raises what decoders hardly do."""

    def __init__(self, root: str) -> None:
        self.targets = [0, 0, 1]

    def __len__(self) -> int:
        return 3

    def __getitem__(self, position: int) -> tuple[Image.Image, int]:
        if position == 1:
            raise AttributeError("'float' object has no attribute 'encode'")
        return Image.new("RGB", (8, 8)), self.targets[position]


def test_whatever_a_decoder_raises_is_told_as_its_images_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torchvision.datasets, "Failing", Failing, raising=False)
    data = Data("Failing", root=str(tmp_path), image_size=8, on_corrupt="skip")
    (left_out,) = prepare(data, tmp_path / "cache").excluded
    assert left_out == ("train/1", "0", "'float' object has no attribute 'encode'")


def test_memory_that_has_run_out_is_no_images_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(image: Image.Image, size: int) -> None:
        raise MemoryError

    monkeypatch.setattr("sweeper.data.pictures.fit", full)
    with pytest.raises(MemoryError):
        prepare(Data("digits", image_size=8, on_corrupt="skip"), tmp_path / "cache")


class Unlisted:
    """A data set of the kind that torchvision has, which keeps its labels to itself and cannot load its third image."""

    def __init__(self, root: str) -> None:
        self.root = root

    def __len__(self) -> int:
        return 4

    def __getitem__(self, position: int) -> tuple[Image.Image, int]:
        if position == 2:
            raise OSError("image file is truncated")
        return Image.new("RGB", (8, 8)), 0


@pytest.mark.parametrize("on_corrupt", ["fail", "skip"])
def test_an_image_of_an_unknown_class_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_corrupt: Literal["fail", "skip"]
) -> None:
    monkeypatch.setattr(torchvision.datasets, "Unlisted", Unlisted, raising=False)
    with pytest.raises(DataError, match=r"Unlisted cannot load image 2 of its train part \(image file is truncated\)"):
        prepare(Data("Unlisted", root=str(tmp_path), on_corrupt=on_corrupt), tmp_path / "cache")
