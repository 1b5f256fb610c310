"""`data.name: folder`: any images, one sub-folder a class."""

import io
import os
import struct
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from images import class_files, encoded, nearly, write_folder
from PIL import Image, ImageOps

from sweeper.data import ClassName, DataError, Dataset, passed_over, prepare, told_passed_over
from sweeper.data.pictures import decode, fit
from sweeper.experiment import Data


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def folder(root: Path, classes: int | tuple[str, ...] | None = None, image_size: int = 16) -> Data:
    return Data("folder", root=str(root), classes=classes, image_size=image_size)


def names(dataset: Dataset) -> list[str]:
    return [one.name for one in dataset.classes]


def test_any_change_of_an_image_changes_the_fingerprint(tmp_path: Path, cache: Path) -> None:
    root = write_folder(tmp_path / "root", dict(class_files("a", "b")))
    seen = [prepare(folder(root), cache).fingerprint]

    def changed() -> bool:
        seen.append(prepare(folder(root), cache).fingerprint)
        return seen[-1] not in seen[:-1]

    (root / "a" / "new.jpg").write_bytes(encoded(77))
    assert changed()
    content = bytearray((root / "a" / "0.jpg").read_bytes())
    content[-3] ^= 1
    times = (root / "a" / "0.jpg").stat()
    (root / "a" / "0.jpg").write_bytes(content)
    os.utime(root / "a" / "0.jpg", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert changed()
    (root / "a" / "1.jpg").rename(root / "spare")
    (root / "b" / "1.jpg").rename(root / "a" / "1.jpg")
    (root / "spare").rename(root / "b" / "1.jpg")
    assert changed()
    (root / "b" / "2.jpg").unlink()
    assert changed()


def test_a_touched_folder_is_the_same_data(tmp_path: Path, cache: Path) -> None:
    root = write_folder(tmp_path / "root", dict(class_files("a", "b")))
    before = prepare(folder(root), cache)
    os.utime(root / "a" / "0.jpg")
    assert prepare(folder(root), cache).folder == before.folder


def test_folder_with_train_and_val_has_an_official_part(tmp_path: Path, cache: Path) -> None:
    root = write_folder(tmp_path / "train", dict(class_files("cat", "dog"))).parent
    write_folder(tmp_path / "val", dict(class_files("dog", each=2, start=500)))
    dataset = prepare(folder(root), cache)
    assert dataset.labels_N.tolist() == [0, 0, 0, 1, 1, 1, 1, 1]
    assert dataset.official_from == 6
    assert dataset.samples[-1] == "val/dog/1.jpg"


def test_names_with_spaces_commas_and_any_alphabet_are_kept(tmp_path: Path, cache: Path) -> None:
    classes = ("Ünïcode, with comma", "日本 の 犬", "x" * 200)
    root = write_folder(
        tmp_path / "röot, 1",
        {f"{name}/{'n' * 200} ß,{number}.JPG": encoded(number) for name in classes for number in (1, 2)},
    )
    dataset = prepare(folder(root), cache)
    assert sorted(names(dataset)) == sorted(classes)
    assert f"日本 の 犬/{'n' * 200} ß,2.JPG" in dataset.samples
    assert prepare(folder(root, ("日本 の 犬",)), cache).classes == (ClassName("日本 の 犬", "日本 の 犬"),)


def test_a_name_from_a_mac_is_found_as_it_is_typed(tmp_path: Path, cache: Path) -> None:
    typed, stored = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    root = write_folder(tmp_path / "root", {f"{name}/1.jpg": encoded(0) for name in (stored, "bar")})
    assert names(prepare(folder(root, (typed,)), cache)) == [stored]
    write_folder(root, {f"{typed}/1.jpg": encoded(1)})
    assert names(prepare(folder(root, (typed,)), cache)) == [typed]


def test_folder_takes_links_nested_images_and_leaves_the_rest(tmp_path: Path, cache: Path) -> None:
    root = write_folder(
        tmp_path / "root", {"a/0.jpg": encoded(0), "a/deep/er/1.jpg": encoded(1), "b/2.jpg": encoded(2)}
    )
    write_folder(
        root, {"a/.hidden.jpg": b"", "a/notes.txt": b"", ".git/3.jpg": b"", "__MACOSX/a/4.jpg": b"", "readme.jpg": b""}
    )
    (root / "b" / "linked.jpg").symlink_to(root / "a" / "0.jpg")
    dataset = prepare(folder(root), cache)
    assert list(dataset.samples) == ["a/0.jpg", "a/deep/er/1.jpg", "b/2.jpg", "b/linked.jpg"]
    assert np.array_equal(dataset.images_NCHW[0], dataset.images_NCHW[3])


def test_files_that_are_passed_over_are_counted_by_their_endings(tmp_path: Path, cache: Path) -> None:
    root = write_folder(tmp_path / "root", dict(class_files("train/a", "train/b", "val/a")))
    undisturbed = prepare(folder(root), cache)
    missed = ["train/a/1.heic", "train/a/deep/er/2.HEIC", "train/b/3.nef", "train/b/README", "val/a/4.heic"]
    quiet = [
        "a/.DS_Store",
        "a/._1.heic",
        "a/Thumbs.db",
        "a/desktop.ini",
        "a/notes.TXT",
        "a/1.json",
        "a/1.jpg.xml",
        "c.heic",
    ]
    write_folder(root, dict.fromkeys([*missed, *(f"train/{name}" for name in quiet), "__MACOSX/train/a/5.heic"], b"x"))
    data = folder(root)
    assert passed_over(data, data) == missed
    assert ".heic 3, .nef 1, no ending 1)" in told_passed_over(missed)
    assert told_passed_over(missed[:1]).startswith("1 file in the classes' folders is passed over, for it does not end")
    assert passed_over(data, folder(root, ("b",))) == ["train/b/3.nef", "train/b/README"]
    assert prepare(data, cache).fingerprint == undisturbed.fingerprint


def test_large_images_are_scaled_and_cropped_at_the_centre(tmp_path: Path, cache: Path) -> None:
    wide = Image.new("RGB", (64, 32), "red")
    wide.paste("blue", (16, 0, 48, 32))
    wide.save(write_folder(tmp_path / "a", {"x.txt": b""}) / "wide.png")
    dataset = prepare(folder(tmp_path), cache)
    inner = dataset.images_NCHW[0, :, :, 1:-1]  # the outermost columns see a little of what was cut off
    assert (inner[2] == 255).all()
    assert (inner[0] == 0).all()


FORMS = {"jfif": "JPEG", "jpe": "JPEG", "jp2": "JPEG2000", "j2k": "JPEG2000", "tif": "TIFF", "pgm": "PPM", "pbm": "PPM"}


@pytest.mark.parametrize("ending", ["png", "bmp", "webp", "avif", "gif", "tiff", "ppm", *FORMS, "AVIF"])
def test_folder_reads_other_formats(tmp_path: Path, cache: Path, ending: str) -> None:
    form = FORMS.get(ending, ending.upper())
    if form not in Image.OPEN:
        pytest.skip(f"this Pillow reads no {form}")
    content = encoded(3, (16, 16), form=form)
    write_folder(tmp_path, {f"a/0.{ending}": content})
    assert nearly(prepare(folder(tmp_path), cache).images_NCHW[0], content)


@pytest.mark.parametrize("mode", ["P", "LA", "RGBA", "1", "CMYK", "I;16"])
def test_every_kind_of_pixel_becomes_rgb(tmp_path: Path, cache: Path, mode: str) -> None:
    ramp = np.tile(np.arange(0, 256, 16, dtype=np.uint8), (16, 1))
    image = Image.fromarray(ramp.astype(np.uint16) << 8) if mode == "I;16" else Image.fromarray(ramp).convert(mode)
    (tmp_path / "a").mkdir()
    image.save(tmp_path / "a" / ("0.tiff" if mode == "CMYK" else "0.png"))
    expected = np.where(ramp < 128, 0, 255) if mode == "1" else ramp
    difference = prepare(folder(tmp_path), cache).images_NCHW[0].astype(int) - expected
    assert np.abs(difference).mean() < (64 if mode == "1" else 2)


def test_photographs_are_turned_upright(tmp_path: Path, cache: Path) -> None:
    upright = Image.new("RGB", (16, 16), "black")
    upright.paste("white", (0, 0, 16, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the first row of the file is the right-hand side
    file = io.BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(file, "JPEG", exif=exif, quality=95)
    write_folder(tmp_path, {"a/0.jpg": file.getvalue()})
    picture = prepare(folder(tmp_path), cache).images_NCHW[0]
    assert picture[:, :6].min() > 200
    assert picture[:, 10:].max() < 55


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_orientation_is_undone_as_pillow_does(orientation: int, form: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.open(io.BytesIO(encoded(1, size=(20, 32)))).save(file, form, exif=exif)
    with Image.open(file) as image:
        expected = fit(ImageOps.exif_transpose(image), 16)
    assert np.array_equal(decode(file.getvalue(), 16), expected)


def odd_exif(form: str, exif: bytes) -> tuple[bytes, bytes]:
    """An image with these bytes for EXIF, and without them."""
    image, files = Image.open(io.BytesIO(encoded(1, size=(20, 32)))), (io.BytesIO(), io.BytesIO())
    image.save(files[0], form, exif=exif)
    image.save(files[1], form)
    return files[0].getvalue(), files[1].getvalue()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_what_is_no_exif_turns_nothing(form: str) -> None:
    odd, plain = odd_exif(form, b"Exif\0\0garbagegarbage")
    assert np.array_equal(decode(odd, 16), decode(plain, 16))


def test_an_image_is_turned_though_its_software_is_a_fraction() -> None:
    entries = struct.pack("<HHHIHHHHII", 2, 0x0112, 3, 1, 6, 0, 0x0131, 5, 1, 38)
    odd, plain = odd_exif("JPEG", b"Exif\0\0II*\0\x08\0\0\0" + entries + struct.pack("<III", 0, 1, 2))
    assert np.array_equal(decode(odd, 16), np.rot90(decode(plain, 16), -1, axes=(1, 2)))


def test_images_that_do_not_decode_are_counted_and_named(tmp_path: Path, cache: Path) -> None:
    files = dict(class_files("cat", "dog", "fox", each=4))
    for name in ("cat/0.jpg", "cat/2.jpg", "dog/3.jpg"):
        files[name] = files[name][:200] if name == "cat/0.jpg" else b"<html>not found</html>"
    write_folder(tmp_path / "root", {**files, "dog/empty.png": b""})
    with pytest.raises(
        DataError,
        match=r"4 of 13 images.*cat 2, dog 2.*cat/0.jpg \(.*cat/2.jpg \(not an image, 22 bytes\).*Restore or remove",
    ) as raised:
        prepare(folder(tmp_path / "root"), cache)
    assert "fox" not in str(raised.value)
    assert list((cache / "prepared").iterdir()) == []


def damaged(kind: str) -> bytes:
    """A file that is no image, or the remains of one."""
    if kind == "decompression bomb":
        file = io.BytesIO()
        Image.new("1", (20_000, 10_000)).save(file, "PNG")
        return file.getvalue()
    if kind == "no AV1":  # its decoder raises RuntimeError
        image, file = Image.open(io.BytesIO(encoded(0))), io.BytesIO()
        image.save(file, "AVIF")
        return file.getvalue().replace(b"av01", b"av00")
    if kind == "a TIFF whose offsets are a text":  # Pillow raises TypeError
        return encoded(0, form="TIFF").replace(struct.pack("<HHI", 273, 4, 1), struct.pack("<HHI", 273, 2, 1))
    whole = encoded(0)
    return {
        "truncated": whole[: len(whole) // 2],
        "no bytes": b"",
        "one pixel": encoded(0, size=(1, 1)),
        "a page": b"<html>not found</html>",
        "header alone": whole[:20],
    }[kind]


DAMAGES = (
    "truncated",
    "no bytes",
    "one pixel",
    "a page",
    "header alone",
    "decompression bomb",
    "no AV1",
    "a TIFF whose offsets are a text",
)


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_image_is_left_out_when_asked_and_the_rest_is_the_data_set_without_it(
    tmp_path: Path, cache: Path, kind: str
) -> None:
    files = dict(class_files("cat", "dog", each=4))
    without = prepare(folder(write_folder(tmp_path / "without", files)), cache / "other")
    data = folder(write_folder(tmp_path / "root", {**files, "dog/00.jpg": damaged(kind)}))
    for _ in range(2):  # the second time from the cache
        with pytest.raises(DataError, match=r"1 of 9 images.*dog 1.*dog/00.jpg.*on_corrupt: skip"):
            prepare(data, cache)
        found = prepare(replace(data, on_corrupt="skip"), cache)
        assert [(one.sample, one.class_name) for one in found.excluded] == [("dog/00.jpg", "dog")]
        assert found.fingerprint == without.fingerprint
        assert list(found.samples) == list(without.samples)
        assert np.array_equal(found.images_NCHW, without.images_NCHW)


def test_unusual_images_that_decode_are_kept(tmp_path: Path, cache: Path) -> None:
    files = {
        "cat/0.JPEG": encoded(0, form="PNG"),  # a PNG by another name
        "cat/1.jpg": encoded(1, mode="CMYK"),
        "dog/0.png": encoded(2, mode="L", form="PNG"),
        "dog/1.jpg": encoded(3, size=(8, 300)),
    }
    found = prepare(replace(folder(write_folder(tmp_path / "root", files)), on_corrupt="skip"), cache)
    assert len(found.samples) == 4
    assert found.excluded == ()


def test_a_class_that_loses_all_its_images_is_an_error(tmp_path: Path, cache: Path) -> None:
    files = {**dict(class_files("cat", each=2)), "dog/0.jpg": b"", "dog/1.jpg": b"", "cat/2.jpg": b""}
    data = replace(folder(write_folder(tmp_path / "root", files)), on_corrupt="skip")
    with pytest.raises(DataError, match=r"no training image of dog .*\(3 images.*data.classes"):
        prepare(data, cache)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no class folders in .*Expected one sub-folder a class"),
        ({"0.jpg": b""}, "no class folders"),
        ({"cat/0.jpg": encoded(0), "dog/readme.txt": b""}, "has no images for dog. Expected.*Images end in .jpg"),
        (
            {"train/cat/0.jpg": encoded(0), "val/cat/0.jpg": b"", "val/cow/0.jpg": b""},
            "without training images: cow.*Add train/cow",
        ),
    ],
)
def test_other_layouts_are_refused_with_the_one_expected(
    tmp_path: Path, cache: Path, files: dict[str, bytes], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        prepare(folder(write_folder(tmp_path, files)), cache)


@pytest.mark.parametrize(
    ("root", "message"),
    [(None, "'folder' needs data.root"), ("/not/there", r"root: '/not/there' is not a folder\. Expected")],
)
def test_a_missing_root_is_said(cache: Path, root: str | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        prepare(Data("folder", root=root), cache)


@pytest.mark.parametrize(
    ("link", "message"), [("a/1.jpg", "links to a file that is not there"), ("a/loop", "a linked folder")]
)
def test_links_that_lead_nowhere_or_round_are_refused(tmp_path: Path, cache: Path, link: str, message: str) -> None:
    root = write_folder(tmp_path, {"a/0.jpg": encoded(0)})
    (root / link).symlink_to(root / "a" if link == "a/loop" else root / "gone.jpg")
    with pytest.raises(DataError, match=message):
        prepare(folder(root), cache)


def test_train_alone_holds_the_classes_and_has_no_official_part(tmp_path: Path, cache: Path) -> None:
    write_folder(tmp_path / "train", dict(class_files("cat", "dog")))
    dataset = prepare(folder(tmp_path), cache)
    assert names(dataset) == ["cat", "dog"]
    assert dataset.official_from == len(dataset.labels_N)
