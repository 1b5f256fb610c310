"""`prepare`: what each source gives, and what identifies it."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from images import REAL, WNIDS, encoded, nearly, tiny_files, write_folder, write_zip

from sweeper.data import ClassName, DataError, Dataset, default_cache, open_prepared, prepare
from sweeper.data.split import split
from sweeper.experiment import Data, Split

real = pytest.mark.skipif(not REAL.exists(), reason="the real images in ../shared/data are absent")


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write_zip(tmp_path / "tiny.zip", tiny_files())


def tiny(
    root: Path, classes: int | tuple[str, ...] | None = None, image_size: int = 64, name: str = "tiny-imagenet"
) -> Data:
    return Data(name, root=str(root), classes=classes, image_size=image_size)


def names(dataset: Dataset) -> list[str]:
    return [one.name for one in dataset.classes]


def test_tiny_imagenet_has_training_then_official_images_by_class(archive: Path, cache: Path) -> None:
    dataset = prepare(tiny(archive), cache)
    assert dataset.images_NCHW.shape == (35, 3, 64, 64)
    assert dataset.images_NCHW.dtype == np.uint8
    assert dataset.labels_N.dtype == np.int64
    assert dataset.labels_N.tolist() == [label for label in range(5) for _ in range(5)] + [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert dataset.official_from == 25
    assert dataset.classes[0] == ClassName("goldfish", "n01443537")
    assert dataset.samples[1] == "train/n01443537/images/n01443537_1.JPEG"
    assert dataset.samples[-1] == "val/images/val_401.JPEG"
    assert len(dataset.samples) == 35


def test_pixels_are_those_of_the_files_and_gray_ones_become_rgb(archive: Path, cache: Path) -> None:
    dataset, files = prepare(tiny(archive), cache), tiny_files()
    assert all(nearly(dataset.images_NCHW[index], files[name]) for index, name in enumerate(dataset.samples))
    gray = dataset.images_NCHW[0]
    assert np.array_equal(gray[0], gray[1])
    assert np.array_equal(gray[0], gray[2])


def test_prepared_arrays_are_read_only_memory_maps(archive: Path, cache: Path) -> None:
    dataset = prepare(tiny(archive), cache)
    assert isinstance(dataset.images_NCHW, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        dataset.images_NCHW[0] = 0


def test_names_shared_by_classes_get_their_ids(archive: Path, cache: Path) -> None:
    assert names(prepare(tiny(archive), cache))[3:] == ["crane (n02012849)", "crane (n03126707)"]
    assert names(prepare(tiny(archive, ("n02012849",)), cache)) == ["crane"]


def test_classes_are_kept_by_number_name_or_id(archive: Path, cache: Path) -> None:
    assert names(prepare(tiny(archive, 2), cache)) == ["goldfish", "European fire salamander"]
    dataset = prepare(tiny(archive, ("bullfrog", "n01443537")), cache)
    assert names(dataset) == ["goldfish", "bullfrog"]
    assert dataset.labels_N.tolist() == [0] * 5 + [1] * 5 + [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("goldfsh", "bullfrog"), "no class 'goldfsh'.*did you mean 'goldfish'.*5 classes"),
        (("crane",), "'crane' is the name of several classes.*n02012849, n03126707"),
        (6, "asks for 6 classes; the data set has 5"),
    ],
)
def test_classes_that_are_not_there_are_said(
    archive: Path, cache: Path, classes: int | tuple[str, ...], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        prepare(tiny(archive, classes), cache)


def test_first_ten_are_the_same_from_a_larger_archive(tmp_path: Path, cache: Path) -> None:
    files = tiny_files(train=2, val=1)
    wnids = [*WNIDS, *(f"n9000000{number}" for number in range(7))]
    for wnid in wnids[len(WNIDS) :]:
        files[f"train/{wnid}/images/{wnid}_0.JPEG"] = encoded(int(wnid[1:]))
    large = write_zip(tmp_path / "large.zip", {**files, "wnids.txt": "\n".join(wnids).encode()})
    cut = {
        name: content for name, content in files.items() if not name.startswith(("train/n90000005", "train/n90000006"))
    }
    small = write_folder(tmp_path / "small", {**cut, "wnids.txt": "\n".join(wnids[:10]).encode()})
    found = [prepare(tiny(root, name="tiny-image10"), cache) for root in (large, small)]
    assert len(found[0].classes) == 10
    assert found[0].folder == found[1].folder
    with pytest.raises(DataError, match="asks for 11 classes; the data set has 10"):
        prepare(tiny(large, 11, name="tiny-image10"), cache)


@pytest.mark.parametrize("top", ["", "a folder/of ünïcode, and commas/"])
@pytest.mark.parametrize("inner", ["", "tiny-imagenet-200"])
def test_an_archive_and_its_folder_are_the_same_data(
    tmp_path: Path, archive: Path, cache: Path, top: str, inner: str
) -> None:
    other = write_zip(tmp_path / "other name.zip", tiny_files(), top)
    extracted = write_folder(tmp_path / "extracted" / inner, tiny_files())
    roots = (archive, other, tmp_path / "extracted")
    assert len({prepare(tiny(root), cache).fingerprint for root in roots}) == 1
    assert extracted.is_dir()
    assert len(list((cache / "prepared").iterdir())) == 1


def test_long_and_foreign_names_within_an_archive_are_kept(tmp_path: Path, cache: Path) -> None:
    files = tiny_files(WNIDS[:1])
    long = f"train/{WNIDS[0]}/images/{'ü, ' * 100}.JPEG"
    files |= {long: encoded(5), "words.txt": f"{WNIDS[0]}\t{'Гольд фиш ' * 30}, other\r\n".encode()}
    dataset = prepare(tiny(write_zip(tmp_path / "tiny.zip", files)), cache)
    assert long in dataset.samples
    assert names(dataset) == [("Гольд фиш " * 30).strip()]


def test_the_archive_is_found_in_a_folder_and_in_the_cache(tmp_path: Path, archive: Path, cache: Path) -> None:
    in_folder = prepare(tiny(archive.parent), cache)
    (tmp_path / "second").mkdir()
    archive.rename(tmp_path / "second" / "tiny-imagenet-200.zip")
    assert prepare(Data("tiny-imagenet"), tmp_path / "second").fingerprint == in_folder.fingerprint


def test_size_and_split_are_not_part_of_the_fingerprint(archive: Path, cache: Path) -> None:
    small, large = prepare(tiny(archive, image_size=32), cache), prepare(tiny(archive), cache)
    assert small.fingerprint == large.fingerprint
    assert small.images_NCHW.shape[-2:] == (32, 32)
    assert small.folder.name == f"tiny-imagenet-32px-{small.fingerprint[:16]}"


def test_a_bad_checksum_in_the_archive_is_an_image_that_does_not_decode(archive: Path, cache: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        info = opened.getinfo(f"tiny-imagenet-200/train/{WNIDS[0]}/images/{WNIDS[0]}_1.JPEG")
    content = bytearray(archive.read_bytes())
    content[info.header_offset + 30 + len(info.filename) + info.file_size // 2] ^= 255
    archive.write_bytes(content)
    with pytest.raises(DataError, match=rf"1 of 35.*goldfish 1.*{WNIDS[0]}_1.JPEG.*CRC"):
        prepare(tiny(archive), cache)


def test_a_damaged_prepared_folder_is_refused_and_made_again(archive: Path, cache: Path) -> None:
    dataset = prepare(tiny(archive), cache)
    pixels = np.array(dataset.images_NCHW)
    for name in ("images.npy", "labels.npy", "samples.json", "about.json"):
        file = dataset.folder / name
        file.write_bytes(file.read_bytes()[:-10])
        with pytest.raises(DataError, match=r"not whole.*Remove that folder"):
            open_prepared(dataset.folder)
        assert np.array_equal(prepare(tiny(archive), cache).images_NCHW, pixels)


def test_open_prepared_gives_what_prepare_gave(archive: Path, cache: Path) -> None:
    dataset = prepare(tiny(archive), cache)
    again = open_prepared(dataset.folder)
    assert np.array_equal(again.images_NCHW, dataset.images_NCHW)
    assert (again.classes, again.fingerprint, again.official_from) == (dataset.classes, dataset.fingerprint, 25)
    assert json.loads((dataset.folder / "about.json").read_text())["fingerprint"] == dataset.fingerprint


def test_digits_are_real_images_without_an_official_part(cache: Path) -> None:
    dataset = prepare(Data("digits", image_size=32), cache)
    assert dataset.images_NCHW.shape == (1797, 3, 32, 32)
    assert dataset.official_from == 1797
    assert [one.id for one in dataset.classes] == list("0123456789")
    assert np.bincount(dataset.labels_N).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert dataset.images_NCHW.max() == 255
    assert names(prepare(Data("digits", classes=("7", "1"), image_size=8), cache)) == ["1", "7"]


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEPER_CACHE", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert default_cache() == Path("/a")
    monkeypatch.delenv("SWEEPER_CACHE")
    assert default_cache() == Path("/b/sweeper")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache() == Path.home() / ".cache" / "sweeper"


@real
def test_real_images_are_ten_classes_divided_400_50_50(tmp_path: Path) -> None:
    dataset = prepare(tiny(REAL, name="tiny-image10"), tmp_path)
    assert dataset.images_NCHW.shape == (5500, 3, 64, 64)
    assert names(dataset)[0::9] == ["goldfish", "tarantula"]
    counts = [np.bincount(dataset.labels_N[part]).tolist() for part in split(dataset, Split(test="official", val=0.2))]
    assert counts == [[400] * 10, [100] * 10, [50] * 10]
    with zipfile.ZipFile(REAL) as archive:
        for index in (0, 4999, 5499):
            assert nearly(dataset.images_NCHW[index], archive.read(f"tiny-imagenet-200/{dataset.samples[index]}"))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("wnids.txt", "no Tiny ImageNet at"),
        ("words.txt", "has no words.txt.*Extract or copy it again"),
        ("train/n01629819/images/", "no images in train/n01629819/images, but wnids.txt lists n01629819"),
        ("val/images/val_1.JPEG", "lacks 1 images that val/val_annotations.txt lists, val_1.JPEG the first"),
    ],
)
def test_an_incomplete_folder_is_said(tmp_path: Path, cache: Path, broken: str, message: str) -> None:
    files = {name: content for name, content in tiny_files().items() if not name.startswith(broken)}
    with pytest.raises(DataError, match=message):
        prepare(tiny(write_folder(tmp_path, files)), cache)


def test_roots_without_the_images_say_what_was_looked_for(tmp_path: Path, cache: Path, archive: Path) -> None:
    with pytest.raises(DataError, match=r"no Tiny ImageNet at '/not/there'. Looked for a zip archive.*is not there"):
        prepare(tiny(Path("/not/there")), cache)
    write_zip(tmp_path / "second.zip", {})
    with pytest.raises(DataError, match=r"holds several zip archives. Give the archive itself"):
        prepare(tiny(tmp_path), cache)
    with pytest.raises(DataError, match=r"has no wnids.txt: it is no Tiny ImageNet archive"):
        prepare(tiny(tmp_path / "second.zip"), cache)
    archive.write_bytes(archive.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"tiny.zip is not a whole zip archive"):
        prepare(tiny(archive), cache)


def test_without_annotations_there_is_no_official_part(tmp_path: Path, cache: Path) -> None:
    files = {name: content for name, content in tiny_files().items() if not name.startswith("val/")}
    dataset = prepare(tiny(write_folder(tmp_path, files)), cache)
    assert dataset.official_from == len(dataset.labels_N) == 25
