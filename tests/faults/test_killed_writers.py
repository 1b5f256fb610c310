"""A sweep that dies at any of its writes: run again, it ends with the numbers of one that was never touched."""

import json
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.command import ROOT, SECONDS, check_mlflow, environment, table
from tests.faults.forks import DIED

EXPERIMENT = """
name: grid
data: {name: digits, image_size: 8, classes: 3, augment: [random_crop]}
model: {name: logistic_regression}
train: {epochs: 2, batch_size: 64}
search: {space: {lr: [0.1, 0.03]}}
pruning: {name: median, n_startup_trials: 1}
checkpoint: {every_seconds: 0}
"""
TRIALS, SHARES = 2, 3
NOISY = ("epoch_seconds", "images_per_second", "peak_memory_mib")


class Forks:
    """Runs commands in forked children of one process; see `forks`."""

    def __init__(self) -> None:
        words, pipe = [sys.executable, "-m", "tests.faults.forks"], subprocess.PIPE
        self.process = subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True, cwd=ROOT, env=environment())
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def run(
        self, *arguments: object, last: int = 0, seconds: float = 0, environment: Mapping[str, str] | None = None
    ) -> tuple[int, int]:
        """The exit code, and how many steps of writing the command took."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        line = [[str(word) for word in arguments], last, seconds, environment or {}]
        print(json.dumps(line), file=self.process.stdin, flush=True)
        code, steps = json.loads(self.process.stdout.readline())
        return code, steps

    def end(self) -> None:
        self.process.communicate(timeout=SECONDS)


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    forks = Forks()
    yield forks
    forks.end()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "grid.yaml"
    path.write_text(EXPERIMENT)
    return path


@pytest.fixture(scope="module")
def empty_store(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without runs, whose making takes seconds."""
    from sweeper.tracking.database import make_database

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    make_database(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="module")
def undisturbed(forks: Forks, file: Path, empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    storage = tmp_path_factory.mktemp("undisturbed")
    shutil.copy(empty_store, storage)
    assert run(forks, file, storage)[0] == 0
    return storage


@pytest.fixture(scope="module")
def steps(forks: Forks, file: Path, empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many steps of writing a sweep takes, its images being prepared."""
    storage = tmp_path_factory.mktemp("counted")
    shutil.copy(empty_store, storage)
    return run(forks, file, storage)[1]


def run(forks: Forks, file: Path, storage: Path, last: int = 0) -> tuple[int, int]:
    return forks.run("run", file, "--storage", storage, "--executor", "inline", last=last)


def published(storage: Path) -> list[tuple[object, ...]]:
    """Every metric in MLflow that does not depend on the clock."""
    database = sqlite3.connect(storage / "mlflow.db")
    rows = database.execute(
        "select tags.value, metrics.key, metrics.step, metrics.value, metrics.is_nan from metrics join tags using (run_uuid) "
        "where tags.key = 'sweeper.trial_key' order by 1, 2, 3"
    ).fetchall()
    database.close()
    return [row for row in rows if row[1] not in NOISY]


def drawn(storage: Path) -> list[str]:
    """The pictures of every trial."""
    return sorted(str(path.relative_to(storage)) for path in storage.glob("grid/trials/*/artifacts/pictures/*"))


@pytest.mark.parametrize("share", range(SHARES))
def test_killed_at_a_write_and_run_again_it_ends_as_if_never_touched(
    share: int,
    forks: Forks,
    file: Path,
    undisturbed: Path,
    steps: int,
    empty_store: Path,
    tmp_path: Path,
    is_long: bool,
) -> None:
    """Each share takes some of the steps: all of them, or one drawn by the share's number."""
    own, codes = range(share + 1, steps + 1, SHARES), []
    for last in own if is_long else random.Random(share).sample(own, 1):
        storage = tmp_path / f"killed at {last}"
        storage.mkdir()
        shutil.copy(empty_store, storage)
        codes.append(run(forks, file, storage, last)[0])
        assert codes[-1] in (0, DIED), last  # two threads write, and the last steps may not be reached
        assert run(forks, file, storage)[0] == 0, last
        assert table(storage, "grid") == table(undisturbed, "grid"), last
        check_mlflow(storage, TRIALS)
        assert published(storage) == published(undisturbed), last
        assert drawn(storage) == drawn(undisturbed), last
        assert not list(storage.rglob("trials/**/*.tmp")), last
    assert DIED in codes
