"""`data.name: folder` with parts above the classes: training, validation and test images."""

from pathlib import Path

import pytest
from images import write_folder

from sweeper.data import DataError, prepare
from sweeper.data.split import split
from sweeper.experiment import Data, Split
from sweeper.launch.sweeping import Sweeping
from sweeper.reading import read_experiment
from sweeper.store import Sweep


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def folder(root: Path) -> Data:
    return Data("folder", root=str(root), image_size=8)


def flat(level: int) -> bytes:
    """An image of one gray level, the same bytes whatever Pillow does."""
    return b"P6 8 8 255\n" + bytes([level]) * 192


def parts(root: Path, names: tuple[str, ...]) -> Path:
    """Two classes of two images in each part, whose gray levels go on from part to part."""
    places = [f"{part}/{one}/{number}.ppm" for part in names for one in ("cat", "dog") for number in (0, 1)]
    return write_folder(root, {place.removeprefix("/"): flat(level) for level, place in enumerate(places)})


@pytest.mark.parametrize(
    ("names", "fingerprint", "official"),
    [
        (("",), "f2de6db2ffb4b4c8", 0),
        (("train",), "f2de6db2ffb4b4c8", 0),
        (("train", "val"), "3dfad1890c644c70", 4),
        (("train", "test"), "3dfad1890c644c70", 4),
        (("train", "val", "annotations"), "3dfad1890c644c70", 4),
        (("train", "valid"), "3dfad1890c644c70", 4),
        (("Train", "Validation"), "3dfad1890c644c70", 4),
        (("Training", "Testing"), "3dfad1890c644c70", 4),
        (("TRAIN", "testing"), "3dfad1890c644c70", 4),
    ],
)
def test_parts_go_by_their_usual_names_and_are_the_same_data(
    tmp_path: Path, cache: Path, names: tuple[str, ...], fingerprint: str, official: int
) -> None:
    found = prepare(folder(parts(tmp_path / "root", names)), cache)
    assert [one.name for one in found.classes] == ["cat", "dog"]
    assert (found.official_from, len(found.labels_N), found.test_from) == (4, 4 + official, None)
    assert found.images_NCHW[:, 0, 0, 0].tolist() == [*range(4 + official)]
    assert found.fingerprint.startswith(fingerprint)


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "valid", "Testing")])
def test_validation_and_test_images_that_are_both_there_are_told_apart(
    tmp_path: Path, cache: Path, names: tuple[str, ...]
) -> None:
    data = folder(parts(tmp_path / "root", names))
    for _ in range(2):  # the second time from the cache
        found = prepare(data, cache)
        train_N, val_N, test_N = split(found, "official")
        assert [found.images_NCHW[part, 0, 0, 0].tolist() for part in (train_N, val_N, test_N)] == [
            [0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11],
        ]  # fmt: skip
        assert split(found, Split(0.5, 0.5, "official")).test_N.tolist() == test_N.tolist()
        assert found.fingerprint[:16] not in ("f2de6db2ffb4b4c8", "3dfad1890c644c70")


@pytest.mark.parametrize(("shares", "told"), [("official", 0), ("{train: 0.5, val: 0.5, test: official}", 1)])
def test_a_sweep_tells_of_the_part_that_it_leaves_unused(tmp_path: Path, shares: str, told: int) -> None:
    root = parts(tmp_path / "root", ("train", "val", "test"))
    text = (
        f"name: parts\ndata: {{name: folder, root: {root}, image_size: 8, split: {shares}}}\nmodel: {{name: alexnet}}\n"
    )
    sweeping = Sweeping.of(Sweep(str(tmp_path), "parts"), read_experiment(text, "parts.yaml"))
    assert len([one for one in sweeping.cautions() if "not used" in one]) == told


@pytest.mark.parametrize("unlabelled", ["test/0.ppm", "test/images/0.ppm"])
def test_test_images_without_labels_are_left_out(tmp_path: Path, cache: Path, unlabelled: str) -> None:
    root = write_folder(parts(tmp_path / "root", ("train", "val")), {unlabelled: flat(99)})
    found = prepare(folder(root), cache)
    assert (len(found.labels_N), found.test_from) == (8, None)
    assert found.fingerprint.startswith("3dfad1890c644c70")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            ["train/cat/0", "dev/cat/0"],
            r"of what is beside it \(dev\) nothing is a valid.*data.root to .*train. Expected",
        ),
        (["train/cat/0", "test/0"], r"beside it \(test\) nothing is a validation or test part with class folders"),
        (["train/cat/0", "Train/cat/0", "val/cat/0"], "Train and train in .* same part by another name. Keep one"),
        (
            ["val/cat/0", "test/cat/0"],
            "has the parts test, val, but not class folders .*Sort the images .*Expected one",
        ),
        (["Train/0", "Valid/0"], "has the parts Train, Valid, but not class folders"),
        (["train/0", "test/cat/0", "extra/0"], "has the parts test, train, but not class folders"),
        (["train/cat/0", "val/cat/0", "test/cat/0", "test/cow/0"], "test has classes without training images: cow"),
    ],
)
def test_parts_that_make_no_set_are_refused(tmp_path: Path, cache: Path, files: list[str], message: str) -> None:
    root = write_folder(tmp_path / "root", {f"{name}.ppm": flat(1) for name in files})
    with pytest.raises(DataError, match=message):
        prepare(folder(root), cache)


@pytest.mark.parametrize("classes", [["bus", "train"], ["invalid", "valid"], ["check", "test"]])
def test_a_class_may_be_called_as_a_part_is(tmp_path: Path, cache: Path, classes: list[str]) -> None:
    root = write_folder(tmp_path / "root", {f"{name}/0.ppm": flat(1) for name in classes})
    assert [one.name for one in prepare(folder(root), cache).classes] == classes
