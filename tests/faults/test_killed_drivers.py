"""A sweep whose driver is killed with -9 at random moments: run again, it ends with the numbers of one never touched."""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.command import check_mlflow, started, sweeper, table
from tests.faults.sweeps import statuses
from tests.faults.test_killed_writers import Forks, published
from tests.images import tiny_files, write_zip

EXPERIMENT = """
name: grid
data: {name: tiny-imagenet, root: ROOT, image_size: 8, augment: [random_crop]}
model: {name: "tests.faults.networks:breaking", how: counts_its_steps}
train: {epochs: 4, batch_size: 16}
search: {space: {lr: [0.1, 0.03, 0.01]}}
pruning: {name: median, n_startup_trials: 1, n_warmup_steps: 1}
checkpoint: {every_seconds: 0}
"""
TRIALS, IMAGES = 3, 40
INLINE_SEEDS, RAY_SEEDS = 44, 8
RAY_SECONDS = 25
KILLED = -9
ORPHANS_SECONDS = 150.0  # an agent of Ray asks for its head for a minute first


class Place:
    """A storage, a cache of images and a folder of notes of their own."""

    def __init__(self, file: Path, folder: Path, every_seconds: int = 0) -> None:
        self.file, self.storage, self.every_seconds = file, folder / "storage", every_seconds
        self.environment = {"SWEEPER_CACHE": str(folder / "cache"), "SWEEPER_TEST_NOTES": str(folder / "notes")}
        for name in ("storage", "notes"):
            (folder / name).mkdir()
        self.notes = folder / "notes"

    def run(self, forks: Forks, seconds: float = 0) -> int:
        words = ("run", self.file, "--storage", self.storage, "--executor", "inline")
        words += ("--set", f"checkpoint.every_seconds={self.every_seconds}")
        return forks.run(*words, seconds=seconds, environment=self.environment)[0]

    @property
    def steps(self) -> int:
        """How many batches have been trained."""
        path = self.notes / "steps"
        return path.stat().st_size if path.exists() else 0


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    forks = Forks()
    yield forks
    forks.end()


@pytest.fixture(scope="module")
def undisturbed(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, float]:
    """A sweep that ran from its start to its end, its images being prepared, and how many seconds it took."""
    folder = tmp_path_factory.mktemp("undisturbed")
    archive = write_zip(folder / "images.zip", tiny_files(train=IMAGES))
    file = folder / "grid.yaml"
    file.write_text(EXPERIMENT.replace("ROOT", str(archive)))
    place, begun = Place(file, folder), time.monotonic()
    assert place.run(forks) == 0
    return place, time.monotonic() - begun


def check(place: Place, undisturbed: Place, kills: int, at_once: int) -> None:
    """The same numbers, each run and row once, and no more trained again than lay between two checkpoints of a killed trial."""
    assert table(place.storage, "grid") == table(undisturbed.storage, "grid")
    check_mlflow(place.storage, TRIALS)
    assert published(place.storage) == published(undisturbed.storage)
    assert not list(place.storage.rglob("trials/**/*.tmp"))
    an_epoch = undisturbed.steps // (TRIALS * 4) + 1
    between = an_epoch * (4 if place.every_seconds else 1)
    assert undisturbed.steps <= place.steps <= undisturbed.steps + kills * at_once * between


@pytest.mark.parametrize("every_seconds", [0, 30])
@pytest.mark.parametrize("share", range(4))
def test_killed_at_random_moments_it_ends_as_if_never_touched(
    share: int, every_seconds: int, forks: Forks, undisturbed: tuple[Place, float], tmp_path: Path, is_long: bool
) -> None:
    """Up to four times in a row: while images are prepared, in training, while MLflow is given runs, files and the best model.

    With a checkpoint an epoch, and with none within a trial.
    """
    if share and not is_long:
        pytest.skip("make test-faults")
    alone, seconds = undisturbed
    for seed in range(share, INLINE_SEEDS if is_long else 1, 4):
        draw, kills = random.Random(seed), 0
        (tmp_path / str(seed)).mkdir()
        place = Place(alone.file, tmp_path / str(seed), every_seconds)
        for _ in range(draw.randint(1, 4)):
            code = place.run(forks, draw.uniform(0.05, seconds))
            assert code in (0, KILLED), seed
            kills += code == KILLED
        assert place.run(forks) == 0, seed
        check(place, alone, kills, at_once=1)
        shutil.rmtree(tmp_path / str(seed))


@pytest.mark.parametrize("seed", range(RAY_SEEDS))
def test_killed_on_ray_it_leaves_no_process_and_ends_as_if_never_touched(
    seed: int, undisturbed: tuple[Place, float], tmp_path: Path, is_long: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All its processes at once, or the driver alone, whose workers are orphans then."""
    if not is_long:
        pytest.skip("real sweeps on Ray: make test-faults")
    alone, _ = undisturbed
    draw, kills, place = random.Random(seed), 0, Place(alone.file, tmp_path)
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    arguments = ("run", place.file, "--storage", place.storage)
    for _ in range(draw.randint(1, 3)):
        with started(*arguments) as process:
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=draw.uniform(1, RAY_SECONDS))
            if process.poll() is None:
                kills += 1
                (os.killpg if draw.random() < 0.5 else os.kill)(process.pid, signal.SIGKILL)
        if draw.random() < 0.5:  # else the orphans of the one are there when the next begins
            wait_for_orphans(process.pid)
    sweeper(*arguments)
    check(place, alone, kills, at_once=2)
    wait_for_orphans(process.pid)


def wait_for_orphans(session: int) -> None:
    """Until every process that a command started has ended."""
    deadline = time.monotonic() + ORPHANS_SECONDS
    while left := members(session):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def members(session: int) -> list[str]:
    """The command lines of a session's processes, without those that have ended and are not yet waited for."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.getsid(int(folder.name)) == session and (folder / "cmdline").read_bytes():
                found.append((folder / "cmdline").read_text().replace("\0", " "))
    return found


def test_killed_while_it_publishes_no_run_is_left_running_and_none_is_doubled(
    forks: Forks, undisturbed: tuple[Place, float], tmp_path: Path, is_long: bool
) -> None:
    """All trials have ended; the kill falls between the first run in MLflow and the last tag of the parent."""
    if not is_long:
        pytest.skip("make test-faults")
    alone, _ = undisturbed
    ready = Place(alone.file, tmp_path)
    shutil.copytree(alone.storage / "grid", ready.storage / "grid", ignore=shutil.ignore_patterns("published.json"))
    begun = time.monotonic()
    assert ready.run(forks) == 0
    seconds, draw = time.monotonic() - begun, random.Random(0)
    killed = 0
    for _ in range(20):
        if draw.random() < 0.3:
            for path in ready.storage.glob("mlflow.db*"):  # and what a killed run left of making it
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        (ready.storage / "grid" / "published.json").unlink(missing_ok=True)
        begun = time.monotonic()
        if ready.run(forks, draw.uniform(0.1, seconds)) == KILLED:
            killed += 1
        else:  # the machine is faster than it was
            seconds = time.monotonic() - begun
    assert killed > 10
    assert ready.run(forks) == 0
    assert table(ready.storage, "grid") == table(alone.storage, "grid")
    assert published(ready.storage) == published(alone.storage)
    check_mlflow(ready.storage, TRIALS)
    assert "RUNNING" not in statuses(ready.storage)
