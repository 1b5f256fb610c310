"""Archives made to harm: read in place, so nothing is written anywhere, and refused in a sentence, in little memory."""

import io
import random
import resource
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeper.data import DataError, Dataset, prepare
from sweeper.experiment import Data
from tests.command import here
from tests.images import WNIDS, tiny_files, write_zip

IMAGE = f"train/{WNIDS[0]}/images/{WNIDS[0]}_1.JPEG"
TOP = "tiny-imagenet-200/"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write_zip(tmp_path / "tiny.zip", tiny_files(train=3, val=1))


def refused(archive: Path, **settings: object) -> str:
    """What a run on an archive says, having left nothing but its own folders."""
    place = archive.parent
    file = place / "tiny.yaml"
    file.write_text(
        f"name: tiny\ndata: {{name: tiny-imagenet, root: {archive}}}\nmodel: {{name: logistic_regression}}\n"
    )
    before = {*place.rglob("*")}
    done = here("run", file, "--storage", place / "sweeps", "--executor", "inline", expect=2)
    assert "Traceback" not in done.stderr
    assert {path for path in place.rglob("*") if "sweeps" not in path.parts} == before
    return done.stderr


def rewritten(archive: Path, change: Callable[[zipfile.ZipInfo], None], name: str = IMAGE) -> bytes:
    """The archive with the central directory telling another story of a member than its content does."""
    with zipfile.ZipFile(archive, "a") as opened:
        change(opened.getinfo(TOP + name))
        opened._didModify = True  # type: ignore[attr-defined]
    return archive.read_bytes()


def set_size(info: zipfile.ZipInfo) -> None:
    info.file_size = 2**40


def set_encrypted(info: zipfile.ZipInfo) -> None:
    info.flag_bits |= 1


def set_method(info: zipfile.ZipInfo) -> None:
    info.compress_type = 9


def set_crc(info: zipfile.ZipInfo) -> None:
    info.CRC ^= 1


@pytest.mark.parametrize("name", [IMAGE, "words.txt"], ids=["image", "words"])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (set_size, "claims 1,099,511,627,776 bytes"),
        (set_encrypted, "encrypted"),
        (set_method, "compression"),
        (set_crc, "Bad CRC-32"),
    ],
    ids=["size", "encrypted", "method", "crc"],
)
def test_a_member_that_is_not_what_it_says_is_named(
    archive: Path, change: Callable[[zipfile.ZipInfo], None], told: str, name: str
) -> None:
    rewritten(archive, change, name)
    said = refused(archive)
    assert told in said
    assert name.rpartition("/")[2] in said


def test_a_member_that_inflates_to_more_than_it_claims_costs_no_memory(tmp_path: Path) -> None:
    """It claims 1,000 bytes, and a compressed stream of 128 MiB follows."""
    inflating = zlib.compressobj(1, zlib.DEFLATED, -15)
    stream = b"".join(inflating.compress(bytes(2**20)) for _ in range(128)) + inflating.flush()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        for name, content in tiny_files(train=3, val=1).items():
            opened.writestr(TOP + name, stream if name == IMAGE else content)
        info = opened.getinfo(TOP + IMAGE)
        info.compress_type, info.file_size, info.CRC = zipfile.ZIP_DEFLATED, 1000, zlib.crc32(bytes(1000))
    content = bytearray(file.getvalue())
    content[info.header_offset + 8 : info.header_offset + 10] = struct.pack("<H", zipfile.ZIP_DEFLATED)
    (tmp_path / "bomb.zip").write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match=r"1 of .* images cannot be decoded.*not an image, 1,000 bytes"):
        prepare(Data("tiny-imagenet", root=str(tmp_path / "bomb.zip")), tmp_path / "cache")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024  # KiB


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("../../outside.JPEG", "leads out of its folder"),
        (f"{TOP}train/../../outside.JPEG", "leads out of its folder"),
        (f"{TOP}train/{WNIDS[0]}/images/..", "leads out of its folder"),
        ("/tmp/outside.JPEG", "has an absolute path"),
        ("C:/outside.JPEG", "has an absolute path"),
        ("C:\\outside.JPEG", "has a backslash"),
        (f"{TOP}train\\{WNIDS[0]}\\images\\x.JPEG", "has a backslash"),
        ("..\\..\\outside.JPEG", "has a backslash"),
        ("a\0b.JPEG", "a NUL in its name"),
    ],
)
def test_a_member_that_points_elsewhere_is_refused(archive: Path, name: str, told: str) -> None:
    with zipfile.ZipFile(archive, "a") as opened:
        info = zipfile.ZipInfo()
        info.filename = info.orig_filename = name  # the constructor would end it at a NUL
        opened.writestr(info, b"x")
    said = " ".join(refused(archive).split())
    assert f"is refused for its member {name!r}, which" in said
    assert told in said
    assert "pack the images again" in said
    assert not Path("/tmp/outside.JPEG").exists()
    assert not list(archive.parent.rglob("outside*"))


@pytest.mark.parametrize("name", [IMAGE, "words.txt", "wnids.txt", "test/images/link.txt"])
@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO], ids=["link", "device", "pipe"])
def test_a_link_or_a_device_is_refused(archive: Path, name: str, kind: int) -> None:
    files = {**tiny_files(train=3, val=1), "test/images/link.txt": b""}
    with zipfile.ZipFile(archive, "w") as opened:
        for member, content in files.items():
            info = zipfile.ZipInfo(TOP + member)
            info.external_attr = ((kind | 0o777) if member == name else 0o100644) << 16
            opened.writestr(info, "/etc/passwd" if member == name else content)
    assert f"is refused for its member '{TOP}{name}', which is a link or a device" in " ".join(refused(archive).split())


def test_what_packers_add_is_left_alone(archive: Path, tmp_path: Path) -> None:
    """Folders, macOS's resource forks and `./`, and names of every kind; the images are those of a plain archive."""
    whole = prepare(Data("tiny-imagenet", root=str(archive)), tmp_path / "cache")
    other = write_zip(tmp_path / "other.zip", tiny_files(train=3, val=1), top=f"./{TOP}")
    with zipfile.ZipFile(other, "a") as opened:
        opened.mkdir(f"./{TOP}train/empty")
        for name in ("__MACOSX/._x.JPEG", f"./{TOP}.DS_Store", f"./{TOP}train/Thumbs.db", "a..b/c..JPEG", "\u202egpj.x",
                     f"./{TOP}train/{WNIDS[0]}/im\u0430ges/x.JPEG"):  # fmt: skip
            opened.writestr(name, b"x")
        opened.writestr("inner.zip", archive.read_bytes())
    found = prepare(Data("tiny-imagenet", root=str(other)), tmp_path / "cache")
    assert found.fingerprint == whole.fingerprint
    assert list(found.samples) == list(whole.samples)


def test_names_that_are_there_twice_are_refused(archive: Path) -> None:
    with zipfile.ZipFile(archive, "a") as opened, pytest.warns(UserWarning, match="Duplicate"):
        opened.writestr(TOP + IMAGE, b"another")
    assert "has 1 names more than once" in refused(archive)


@pytest.mark.parametrize("length", [0, 1, 100, -1, -30, -2000])
def test_what_is_left_of_an_archive_is_refused(archive: Path, length: int) -> None:
    content = archive.read_bytes()
    archive.write_bytes(content[:length] if length else b"")
    assert "is not a whole zip archive" in refused(archive)


def seen(dataset: Dataset) -> tuple[object, ...]:
    return (
        list(dataset.samples),
        dataset.classes,
        dataset.labels_N.tolist(),
        dataset.official_from,
        dataset.fingerprint,
        dataset.images_NCHW.tobytes(),
    )


def test_random_damage_of_an_archive_is_told_or_harmless(archive: Path, is_long: bool) -> None:
    """Most of it in the directory at the end: an image renamed there is not to be missed in silence."""
    data, cache = Data("tiny-imagenet", root=str(archive), image_size=8), archive.parent / "cache"
    whole = seen(prepare(data, archive.parent / "undamaged"))
    content, draw = archive.read_bytes(), random.Random(0)
    told = 0
    for _ in range(6000 if is_long else 250):
        damaged = bytearray(content)
        for _ in range(draw.choice([1, 3, 10])):
            start = len(damaged) - 4000 if draw.random() < 0.7 else 0
            at = draw.randrange(start, len(damaged))
            damaged[at] = draw.choice([0, 255, draw.randrange(256), damaged[at] ^ 1 << draw.randrange(8)])
        archive.write_bytes(damaged)
        try:
            found = prepare(data, cache)
        except DataError:
            told += 1
            continue
        assert seen(found) == whole
    assert told


def test_an_image_that_the_directory_lacks_is_missed(archive: Path) -> None:
    """An entry's comment is as long as the entry that follows: the zip reader takes that for the comment."""
    content, name = bytearray(archive.read_bytes()), (TOP + IMAGE).encode()
    entry = content.rindex(name) - 46
    struct.pack_into("<H", content, entry + 32, 46 + len(name))  # the next image's name has the same length
    archive.write_bytes(content)
    assert len(zipfile.ZipFile(archive).filelist) == len(tiny_files(train=3, val=1)) - 1
    assert "cannot be told apart" in refused(archive)


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz"])
def test_a_folder_of_images_is_no_archive(tmp_path: Path, name: str) -> None:
    write_zip(tmp_path / name, {"cat/1.jpg": b""}, top="")
    with pytest.raises(DataError, match="is not a folder"):
        prepare(Data("folder", root=str(tmp_path / name)), tmp_path / "cache")
