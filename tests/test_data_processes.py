"""`prepare` in real processes: at once, killed, out of disk, and warm."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from images import REAL, tiny_files, write_zip

from sweeper.data import prepare
from sweeper.experiment import Data

IMPORTS = """
import dataclasses, os, resource, sys
from pathlib import Path
from sweeper.data import prepare, tiny_imagenet
from sweeper.data.prepared import make
from sweeper.experiment import Data
data, cache = Data("tiny-imagenet", root=sys.argv[1]), Path(sys.argv[2])
"""
PREPARE = "print(prepare(data, cache).folder, flush=True)"
# Decodes half of the images, then waits for an end that the test brings.
STOP_HALF_WAY = """
contents = tiny_imagenet.find(data, cache).contents()
def image(position, size):
    if position == len(contents.labels_N) // 2:
        print("half", flush=True)
        sys.stdin.read()
    return contents.image(position, size)
folder = cache / "prepared" / f"tiny-imagenet-64px-{contents.fingerprint[:16]}"
make(cache, folder, dataclasses.replace(contents, image=image), 64)
"""
FULL_DISK = """
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    prepare(data, cache)
except OSError as error:
    print(error.strerror, sorted(os.listdir(cache / "prepared")))
"""
WARM = """
prepare(data, cache)
heavy = {"torch", "torchvision", "sklearn", "scipy", "PIL", "ray", "mlflow", "optuna"}
print(sorted(heavy & sys.modules.keys()))
"""


def start(script: str, archive: Path, cache: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", IMPORTS + script, str(archive), str(cache)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def output(process: subprocess.Popen[str]) -> str:
    printed = process.communicate(timeout=60)[0]
    assert process.returncode == 0
    return printed.strip()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write_zip(tmp_path / "tiny.zip", tiny_files(train=40))


def test_processes_that_prepare_at_once_end_with_one_good_copy(tmp_path: Path, archive: Path) -> None:
    cache = tmp_path / "cache"
    processes = [start(PREPARE, archive, cache) for _ in range(3)]
    folders = {output(process) for process in processes}
    assert [str(folder) for folder in (cache / "prepared").iterdir()] == list(folders)
    alone = prepare(Data("tiny-imagenet", root=str(archive)), tmp_path / "alone")
    together = prepare(Data("tiny-imagenet", root=str(archive)), cache)
    assert np.array_equal(alone.images_NCHW, together.images_NCHW)


def test_a_killed_process_leaves_nothing_usable_and_the_next_one_cleans_up(tmp_path: Path, archive: Path) -> None:
    cache = tmp_path / "cache"
    killed = start(STOP_HALF_WAY, archive, cache)
    assert killed.stdout
    assert killed.stdout.readline() == "half\n"
    (left,) = os.listdir(cache / "prepared")
    assert left.startswith(".tiny-imagenet-64px-")
    waiting = start(PREPARE, archive, cache)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    folder = Path(output(waiting))
    assert os.listdir(cache / "prepared") == [folder.name]
    dataset = prepare(Data("tiny-imagenet", root=str(archive)), cache)
    assert dataset.folder == folder
    assert dataset.images_NCHW[len(dataset.labels_N) // 2 :].any()


def test_a_full_disk_goes_up_as_it_is_and_leaves_no_folder(tmp_path: Path, archive: Path) -> None:
    assert output(start(FULL_DISK, archive, tmp_path / "cache")) == "File too large []"


@pytest.mark.parametrize("root", ["archive", "folder"])
def test_a_prepared_data_set_opens_without_heavy_imports(tmp_path: Path, archive: Path, root: str) -> None:
    if root == "folder":
        subprocess.run([sys.executable, "-m", "zipfile", "-e", archive, tmp_path / "out"], check=True)
        archive = tmp_path / "out"
    prepare(Data("tiny-imagenet", root=str(archive)), tmp_path / "cache")
    assert output(start(WARM, archive, tmp_path / "cache")) == "[]"


@pytest.mark.skipif(not REAL.exists(), reason="the real images in ../shared/data are absent")
def test_real_archive_and_its_extracted_folder_are_the_same_data(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "zipfile", "-e", REAL, tmp_path / "out"], check=True)
    first = prepare(Data("tiny-image10", root=str(REAL), classes=2, image_size=16), tmp_path / "cache")
    second = prepare(Data("tiny-imagenet", root=str(tmp_path / "out"), classes=2, image_size=16), tmp_path / "cache")
    assert first.fingerprint == second.fingerprint
    assert np.array_equal(first.images_NCHW, second.images_NCHW)
