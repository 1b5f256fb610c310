"""A disk without room: the sweep stops, what was saved stays, and the same command ends it once there is room."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import check_mlflow, here, sweeper, table

EXPERIMENT = """
name: grid
data: {name: digits, image_size: 8}
model: {name: one_hidden}
train: {epochs: 2, batch_size: 64}
search: {space: {lr: [0.1, 0.03]}}
checkpoint: {every_seconds: 0}
"""
DISK, KIB = 24 * 2**20, 2**10
ROOMS = (600, 20, 1200, 1800, 2400, 3600)
"""KiB that are left: less than a checkpoint's 1,650, or enough for some of them."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(path)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small disk can be mounted by root alone")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "grid.yaml"
    path.write_text(EXPERIMENT)
    return path


@pytest.fixture(scope="module")
def undisturbed(file: Path) -> str:
    here("run", file, "--storage", file.parent, "--executor", "inline")
    return table(file.parent, "grid")


def test_without_room_it_stops_and_with_room_it_ends_as_if_never_stopped(
    file: Path, undisturbed: str, disk: Path, is_long: bool
) -> None:
    if not is_long:
        pytest.skip("a disk without room takes most of a minute: make test-faults")
    for room in ROOMS:
        (disk / "ballast").write_bytes(bytes(DISK - room * KIB))
        arguments = ("run", file, "--storage", disk, "--executor", "inline")
        done = sweeper(*arguments, expect=(2, 3, 4))  # by where the room ends: before a trial, in one, in publishing
        assert "No space left on device" in done.stderr, room
        assert "Traceback" not in done.stderr
        assert not list(disk.rglob("trials/**/*.tmp")), room
        (disk / "ballast").unlink()
        sweeper(*arguments)
        assert table(disk, "grid") == undisturbed, room
        check_mlflow(disk, 2)
        for part in disk.iterdir():
            subprocess.run(["rm", "-r", str(part)], check=True)
