"""A disk without room: the sweep stops, what was saved stays, and the same command ends it once there is room."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import check_mlflow, here, in_shell, sweeper, table

EXPERIMENT = """
name: grid
data: {name: digits, image_size: 8}
model: {name: one_hidden}
train: {epochs: 2, batch_size: 64}
search: {space: {lr: [0.1, 0.03]}}
checkpoint: {every_seconds: 0}
"""
DISK, KIB = 24 * 2**20, 2**10
ROOMS = (600, 20, 1200, 1800, 2400, 3600, 0, 4, 60, 200)
"""KiB that are left: none, less than a checkpoint's 1,650, or enough for some of them."""
FULL = "No space left on device"


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


@pytest.fixture(autouse=True)
def only_long(is_long: bool) -> None:
    if not is_long:
        pytest.skip("disks without room take minutes: make test-faults")


def leave(disk: Path, room: int) -> None:
    """Fill the disk up to so many KiB."""
    used = sum(file.stat().st_blocks * 512 for file in disk.rglob("*"))
    (disk / "ballast").write_bytes(bytes(DISK - used - room * KIB))


def test_without_room_it_stops_and_with_room_it_ends_as_if_never_stopped(
    file: Path, undisturbed: str, disk: Path
) -> None:
    for room in ROOMS:
        leave(disk, room)
        arguments = ("run", file, "--storage", disk, "--executor", "inline")
        done = sweeper(*arguments, expect=(2, 3, 4))  # by where the room ends: before a trial, in one, in publishing
        assert FULL in done.stderr, room
        assert "Traceback" not in done.stderr
        assert not list(disk.rglob("trials/**/*.tmp")), room
        (disk / "ballast").unlink()
        sweeper(*arguments)
        assert table(disk, "grid") == undisturbed, room
        check_mlflow(disk, 2)
        for part in disk.iterdir():
            subprocess.run(["rm", "-r", str(part)], check=True)


@pytest.mark.parametrize("room", [0, 1000, 5393])
def test_images_that_do_not_fit_into_the_cache_leave_nothing_half_made(
    room: int, file: Path, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1,797 images of 32 pixels are 5,391 KiB, for which room is looked for; the other files are small."""
    arguments = ("run", file, "--set", "data.image_size=32", "--executor", "inline", "--storage")
    here(*arguments, tmp_path / "undisturbed")
    monkeypatch.setenv("SWEEPER_CACHE", str(disk / "cache"))
    leave(disk, room)
    done = here(*arguments, tmp_path / "stopped", expect=2)
    assert "Make room" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(disk.rglob("*.npy"))
    (disk / "ballast").unlink()
    here(*arguments, tmp_path / "stopped")
    assert table(tmp_path / "stopped", "grid") == table(tmp_path / "undisturbed", "grid")


@pytest.mark.parametrize("room", [0, 100, 500, 1000])
def test_a_database_without_room_is_given_the_runs_once_there_is(
    room: int, file: Path, undisturbed: str, disk: Path, tmp_path: Path
) -> None:
    """Training, whose files are on another disk, is done all the same; an empty database of MLflow's takes 0.6 MiB."""
    leave(disk, room)
    uri = ("--tracking-uri", f"sqlite:///{disk}/mlflow.db")
    done = here("run", file, "--storage", tmp_path / "sweeps", "--executor", "inline", *uri, expect=4)
    assert "not published" in done.stderr
    assert "Traceback" not in done.stderr
    assert table(tmp_path / "sweeps", "grid") == undisturbed
    (disk / "ballast").unlink()
    here("sync", "grid", "--storage", tmp_path / "sweeps", *uri)
    check_mlflow(disk, 2)


WRITERS: dict[str, tuple[str, ...]] = {
    "page.html": ("dashboard", "grid"),
    "table.csv": ("export", "grid", "--table", "history"),
    "table.xlsx": ("export", "grid"),
    "explained": ("explain", "grid"),
    "start.yaml": ("init",),
}


@pytest.mark.parametrize("name", WRITERS)
def test_what_does_not_fit_leaves_no_file_of_its_name(name: str, undisturbed: str, file: Path, disk: Path) -> None:
    command, target = WRITERS[name], disk / name
    words = (*command, target) if command == ("init",) else (*command, "-o", target, "--storage", file.parent)
    leave(disk, 0)
    done = here(*words, expect=2)
    assert FULL in done.stderr
    assert not [path for path in disk.rglob("*") if path.is_file() and path.name != "ballast"]
    (disk / "ballast").unlink()
    here(*words)
    assert target.exists()


def test_files_that_may_not_grow_stop_it_and_larger_ones_let_it_end(
    file: Path, undisturbed: str, tmp_path: Path
) -> None:
    arguments = ("run", file, "--storage", tmp_path, "--executor", "inline")
    limited = f'ulimit -f {1000 * KIB // 512}; exec "$@"'  # less than a checkpoint
    done = in_shell(limited, *arguments)
    assert (done.returncode, "Traceback" in done.stderr) == (3, False)
    assert "ulimit -f unlimited" in done.stderr
    sweeper(*arguments)
    assert table(tmp_path, "grid") == undisturbed
