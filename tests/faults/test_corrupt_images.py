"""Damaged and odd files among real images: told by class before anything trains, left out or refused; never trained on."""

import io
import json
import os
import sqlite3
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from sweeper.data.pictures import decode
from sweeper.text.terminal import printable
from tests.command import here
from tests.images import REAL, write_folder

pytestmark = pytest.mark.skipif(not REAL.exists(), reason="the real images in ../shared/data are absent")
CLASSES = {"n01443537": "goldfish", "n01629819": "=salamander, fire", "n01641577": "bull\u202efrog"}
EXPERIMENT = """
name: damaged
data: {{name: folder, root: "{root}", image_size: 16, on_corrupt: skip, augment: []}}
model: {{name: logistic_regression}}
train: {{epochs: 1, batch_size: 16}}
search: {{space: {{lr: [0.1]}}}}
artifacts: {{models: none}}
"""


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def damages(whole: bytes) -> dict[str, bytes]:
    """What is no image any more."""
    image = Image.open(io.BytesIO(whole)).convert("RGB")
    cuts = {f"cut at {share}.JPEG": whole[: len(whole) * share // 100] for share in (1, 30, 60, 99)}
    return {
        **cuts,
        "no bytes.jpg": b"",
        "zeros.jpg": bytes(5000),
        "without a head.jpg": whole[20:],
        "a text.jpg": b"The photograph has been removed.\n",
        "a page.png": b"<!doctype html><title>404</title>",
        "small.png": saved(image.resize((7, 40)), "PNG"),
        "cut.png": saved(image, "PNG")[:-200],
        "cut.webp": saved(image, "WEBP")[:-1],
        "bomb.png": saved(Image.new("1", (20_000, 20_000)), "PNG"),
        "bomb.jpg": saved(Image.new("1", (13_000, 13_000)), "PNG"),
        "icon.jpg": saved(image, "ICO", sizes=[(64, 64)]),
        "drawing.jpg": saved(image, "EPS"),
        "bomb.gif": saved(Image.new("P", (16, 16)), "GIF")[:6] + b"\xff\xff\xff\xff" + bytes(100),
    }


def oddities(whole: bytes) -> dict[str, bytes]:
    """What is unusual and an image all the same."""
    image = Image.open(io.BytesIO(whole)).convert("RGB")
    frames = [image.rotate(angle) for angle in (90, 180)]
    exif = Image.Exif()
    exif[0x0112] = 8
    return {
        "a png.JPEG": saved(image, "PNG"),
        "cmyk.jpg": saved(image.convert("CMYK"), "JPEG"),
        "gray.jpg": saved(image.convert("L"), "JPEG"),
        "deep.png": saved(image.convert("L").convert("I;16"), "PNG"),
        "palette.png": saved(image.convert("P"), "PNG", transparency=3),
        "animated.gif": saved(image, "GIF", save_all=True, append_images=frames),
        "animated.webp": saved(image, "WEBP", save_all=True, append_images=frames),
        "turned.jpg": saved(image, "JPEG", exif=exif),
        "progressive.JPG": saved(image, "JPEG", progressive=True),
        "narrow.bmp": saved(image.resize((8, 500)), "BMP"),
    }


@pytest.fixture(scope="module")
def real() -> dict[str, list[bytes]]:
    """Twelve real images of each of three classes."""
    with zipfile.ZipFile(REAL) as archive:
        top = archive.namelist()[0].partition("/")[0]
        return {
            name: [archive.read(f"{top}/train/{wnid}/images/{wnid}_{number}.JPEG") for number in range(12)]
            for wnid, name in CLASSES.items()
        }


@pytest.fixture
def root(tmp_path: Path, real: dict[str, list[bytes]]) -> Path:
    files = {f"{name}/{number}.JPEG": image for name, images in real.items() for number, image in enumerate(images)}
    files |= {f"{name}/{odd}": content for name in real for odd, content in oddities(real[name][0]).items()}
    return write_folder(tmp_path / "root", files)


def experiment(tmp_path: Path, root: Path) -> Path:
    file = tmp_path / "damaged.yaml"
    file.write_text(EXPERIMENT.format(root=root))
    return file


def test_damaged_images_are_listed_by_class_and_left_out(
    tmp_path: Path, root: Path, real: dict[str, list[bytes]]
) -> None:
    bad = damages(real["goldfish"][0])
    write_folder(root / "goldfish", bad)
    write_folder(root / "=salamander, fire", {"no bytes.jpg": b""})
    (root / "goldfish" / "a folder.jpg").mkdir()
    file, count = experiment(tmp_path, root), len(bad) + 1
    told = f"{count} images cannot be decoded and are left out. By class: goldfish {len(bad)}, =salamander, fire 1"
    assert told in here("plan", file, "--storage", tmp_path).stdout.replace("\n", " ")
    done = here("run", file, "--storage", tmp_path, "--executor", "inline")
    assert done.stderr.index(told) < done.stderr.index("1/1")
    listed = (tmp_path / "damaged" / "excluded.csv").read_text().splitlines()
    assert listed[0] == "sample,class,reason"
    assert len(listed) == count + 1
    assert any(line.startswith("'=salamander, fire/no bytes.jpg") or "\"'=salamander" in line for line in listed)
    database = sqlite3.connect(tmp_path / "mlflow.db")
    (parent,) = database.execute(
        "select artifact_uri from runs where run_uuid not in (select run_uuid from tags where key = 'mlflow.parentRunId')"
    ).fetchone()
    database.close()
    published = Path(parent.removeprefix("file://").replace("%20", " ")) / "excluded.csv"
    assert published.read_text() == (tmp_path / "damaged" / "excluded.csv").read_text()


def choosing(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A sweep over two of the three pairs of classes, its file's own pair the third; each class has one damaged image."""
    monkeypatch.setenv("SWEEPER_CACHE", str(tmp_path / "cache"))
    one, two, three = CLASSES.values()
    for name in (one, two, three):
        os.truncate(root / name / "3.JPEG", 100)
    axes, file = {"data.classes": [[one, two], [two, three]]}, experiment(tmp_path, root)
    file.write_text(file.read_text().replace("augment: []", f"augment: [], classes: {json.dumps([one, three])}"))
    return [file, "--storage", tmp_path, "--set", f"search.space={json.dumps(axes)}"]


def test_damaged_images_of_every_cell_are_listed_once_and_no_others_are_read(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = here("run", *choosing(tmp_path, root, monkeypatch), "--executor", "inline")
    assert "3 images cannot be decoded and are left out. By class: " in done.stderr
    listed = (tmp_path / "damaged" / "excluded.csv").read_text().splitlines()
    assert sorted(line.partition("/3.JPEG")[0].strip("\"'") for line in listed[1:]) == sorted(CLASSES.values())
    prepared = [json.loads((one / "about.json").read_text()) for one in (tmp_path / "cache" / "prepared").iterdir()]
    read = {tuple(each["name"] for each in one["classes"]) for one in prepared}
    names = sorted(CLASSES.values())
    assert read == {tuple(names[:2]), (names[0], names[2])}


def test_damaged_images_that_a_sampler_may_come_upon_are_told(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("--set", "search.method=random", "--set", "search.trials=2")
    told = here("plan", *choosing(tmp_path, root, monkeypatch), *words).stdout
    assert "3 images cannot be decoded and are left out. By class: " in told


def test_damaged_images_are_an_error_before_anything_trains(
    tmp_path: Path, root: Path, real: dict[str, list[bytes]]
) -> None:
    bad = damages(real["goldfish"][0])
    write_folder(root / "goldfish", bad)
    words = ("--storage", tmp_path, "--executor", "inline", "--set", "data.on_corrupt=fail")
    done = here("run", experiment(tmp_path, root), *words, expect=2)
    assert f"{len(bad)} of {66 + len(bad)} images cannot be decoded. By class: goldfish {len(bad)}." in done.stderr
    listing = Path(done.stderr.partition("all listed in ")[2].partition(". Restore")[0])
    assert {line.partition(": ")[0] for line in listing.read_text().splitlines()} == {
        f"goldfish/{name}" for name in bad
    }
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "damaged" / "trials").exists()


@pytest.mark.parametrize(("form", "mode"), [("PNG", "1"), ("JPEG", "L"), ("GIF", "P"), ("BMP", "1")])
def test_an_image_of_too_many_pixels_is_refused_by_its_head(form: str, mode: str) -> None:
    head = saved(Image.new(mode, (10_000, 5001)), form)[:1500]
    with pytest.raises(ValueError, match=r"10000 x 5001 pixels; an image has 50,000,000 or fewer, so scale it down"):
        decode(head, 16)


def test_a_photograph_of_fifty_megapixels_is_decoded() -> None:
    assert decode(saved(Image.new("1", (8160, 6120), 1), "PNG"), 16).min() == 255


@pytest.mark.parametrize("lost", [["goldfish"], list(CLASSES.values())], ids=["one class", "all"])
def test_a_class_without_whole_images_stops_the_sweep(tmp_path: Path, root: Path, lost: list[str]) -> None:
    for name in lost:
        for file in (root / name).iterdir():
            os.truncate(file, 10)
    done = here("run", experiment(tmp_path, root), "--storage", tmp_path, "--executor", "inline", expect=2)
    assert printable(f"no training image of {', '.join(sorted(lost))} can be decoded") in done.stderr


@pytest.mark.parametrize(
    ("link", "target", "told"),
    [
        ("goldfish/itself.jpg", "itself.jpg", "itself.jpg"),
        ("goldfish/gone.jpg", "nowhere", "links to a file that is not there"),
        ("goldfish/round", "..", "a linked folder in a class"),
        ("goldfish/round.jpg", "..", "a linked folder in a class"),
        ("looped", "looped", "symbolic links: "),
    ],
)
def test_links_that_lead_round_or_nowhere_are_named(
    tmp_path: Path, root: Path, link: str, target: str, told: str
) -> None:
    (root / link).symlink_to(target)
    done = here("plan", experiment(tmp_path, root), "--storage", tmp_path, expect=2)
    assert told in done.stderr
    assert link.rpartition("/")[2] in done.stderr
    assert "Traceback" not in done.stderr
