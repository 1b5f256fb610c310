"""Prepared images in the cache that are torn, flipped or half made: never used, and made again from their source."""

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sweeper.data import Dataset, dataset, prepare
from sweeper.experiment import Data
from tests.command import ROOT, environment
from tests.faults.forks import DIED
from tests.images import class_files, encoded, write_folder

KILLED = """
import builtins, os, sys
from pathlib import Path
from unittest import mock
from sweeper.data import pictures, prepare, prepared
from sweeper.experiment import Data
from tests.faults.forks import Steps, always, is_opened_to_write
steps = Steps(int(sys.argv[3]))
with (
    mock.patch.object(builtins, "open", steps.before(open, is_opened_to_write)),
    mock.patch.object(os, "replace", steps.before(os.replace, always)),
    mock.patch.object(os, "rename", steps.before(os.rename, always)),
    mock.patch.object(os, "mkdir", steps.before(os.mkdir, always)),
    mock.patch.object(os, "fsync", steps.before(os.fsync, always)),
):
    prepare(Data("folder", root=sys.argv[1], image_size=16, on_corrupt="skip"), Path(sys.argv[2]))
print(steps.taken)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "root", {**dict(class_files("cat", "dog", each=4)), "dog/bad.jpg": b"not one"})


def prepared(root: Path, cache: Path) -> Dataset:
    return prepare(Data("folder", root=str(root), image_size=16, on_corrupt="skip"), cache)


def content(found: Dataset) -> tuple[object, ...]:
    arrays = (found.images_NCHW.tobytes(), found.labels_N.tobytes(), tuple(found.samples))
    return (*arrays, found.classes, found.official_from, found.fingerprint, found.excluded)


def flip(file: Path, bit: int) -> None:
    """Change one bit of a file and nothing else that a user could see."""
    times, changed = file.stat(), bytearray(file.read_bytes())
    changed[bit // 8] ^= 1 << bit % 8
    file.write_bytes(changed)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "samples.json", "about.json", "stamp", "verified-*"])
def test_a_flipped_bit_anywhere_never_reaches_a_sweep(name: str, root: Path, tmp_path: Path, is_long: bool) -> None:
    whole = content(prepared(root, tmp_path / "cache"))
    draw = random.Random(name)
    for _ in range(150 if is_long else 4):
        pattern = "stamps/*" if name == "stamp" else f"prepared/*/{name}"
        (file,) = (tmp_path / "cache").glob(pattern)
        flip(file, draw.randrange(8 * file.stat().st_size))
        assert content(prepared(root, tmp_path / "cache")) == whole


def test_a_bit_that_flips_on_the_disk_is_seen_after_the_next_boot(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing tells of it before: the file's times are what they were, and it is read from memory anyway."""
    found = prepared(root, tmp_path / "cache")
    whole = content(found)
    flip(found.folder / "images.npy", 8 * 1000)
    dataset.note_verified(found.folder)
    assert content(prepared(root, tmp_path / "cache")) != whole
    boot = tmp_path / "boot"
    boot.write_text("another")
    monkeypatch.setattr(dataset, "BOOT", boot)
    assert content(prepared(root, tmp_path / "cache")) == whole


def test_images_are_read_through_once(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared(root, tmp_path / "cache")
    monkeypatch.setattr(dataset, "checksums", None)  # whoever needed it would find nothing to call
    prepared(root, tmp_path / "cache")


def test_a_cache_that_cannot_be_written_is_read_through_each_time(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = prepared(root, tmp_path / "cache")
    for mark in found.folder.glob("verified-*"):
        mark.unlink()
    monkeypatch.setattr(os, "replace", lambda *names: (_ for _ in ()).throw(PermissionError()))
    assert content(prepared(root, tmp_path / "cache")) == content(found)
    assert not list(found.folder.glob("verified-*[!p]"))


def test_killed_at_any_write_of_the_cache_it_is_made_anew(root: Path, tmp_path: Path, is_long: bool) -> None:
    def run(cache: Path, last: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", KILLED, str(root), str(cache), str(last)]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment(), check=False)

    whole = content(prepared(root, tmp_path / "undisturbed"))
    steps = int(run(tmp_path / "counted", 0).stdout)
    assert steps > 10
    for last in range(1, steps + 1) if is_long else random.Random(0).sample(range(1, steps + 1), 2):
        cache = tmp_path / f"killed at {last}"
        assert run(cache, last).returncode == DIED
        assert content(prepared(root, cache)) == whole, last
        assert len(list((cache / "prepared").iterdir())) == 1, last


def test_an_image_that_changes_between_listing_and_decoding_is_named(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sweeper.data import folder

    data = Data("folder", root=str(root), image_size=16, on_corrupt="skip")
    contents = folder.find(data, tmp_path).contents()
    (root / "cat" / "1.jpg").unlink()
    (root / "cat" / "2.jpg").write_bytes(encoded(1000))
    told = []
    for position, sample in enumerate(contents.samples):
        try:
            contents.image(position, 16)
        except (OSError, ValueError) as error:
            told.append((sample, str(error)))
    assert [sample for sample, _ in told] == ["cat/1.jpg", "cat/2.jpg", "dog/bad.jpg"]
    assert "No such file" in told[0][1]
    assert "changed while" in told[1][1]
    assert np.unique(contents.labels_N).tolist() == [0, 1]
