"""A clock that is set back or forward a day, between runs and while one goes on: nothing is lost, doubled or negative."""

import json
import random
import shutil
import sqlite3
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sweeper.store import time_after
from tests.command import ROOT, ended, started, sweeper, until
from tests.faults.sweeps import SECONDS, check_alike, environment, statuses, undisturbed_storage

DAY = 86400
SHIFTS = (-DAY, 0, DAY)


@pytest.mark.parametrize(("last", "shift"), [(None, 0), (-DAY, 0), (DAY, DAY)])
def test_time_never_goes_back_within_a_trial(last: int | None, shift: int) -> None:
    now = time.time()
    history = () if last is None else ({"epoch": 1.0, "time": now + last},)
    assert time_after(history) == pytest.approx(now + shift, abs=60)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, is_long: bool) -> Path:
    if not is_long:
        pytest.skip("make test-faults")
    return undisturbed_storage(tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What makes a process believe in another time of day; libfaketime 0.9.10 also spoils the sleeps of Python."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    path = tmp_path_factory.mktemp("library") / "clock.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", path, Path(__file__).with_name("clock.c")], check=True)
    return path


class Clock:
    """The time of day of every command started from now on."""

    def __init__(self, library: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file.write_bytes(bytes(8))
        self.file = file
        monkeypatch.setenv("CLOCK_SHIFT", str(file))
        monkeypatch.setenv("LD_PRELOAD", str(library))

    def set(self, seconds: int) -> None:
        """Shift it, at this moment, in all that run."""
        with self.file.open("r+b") as file:
            file.write(struct.pack("=q", seconds))


@pytest.fixture
def clock(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(library, tmp_path / "clock", monkeypatch)


def check_times(storage: Path) -> None:
    """Rows in the order of their epochs, each trial's end after its last row, and no run in MLflow that ends before it began."""
    for path in storage.glob("grid/trials/*/result.json"):
        result = json.loads(path.read_text())
        times = [row["time"] for row in result["history"]]
        assert times == sorted(times)
        assert [row["epoch"] for row in result["history"]] == list(range(1, len(times) + 1))
        assert all(row["epoch_seconds"] > 0 for row in result["history"])
        assert result["ended"] >= times[-1]
    database = sqlite3.connect(storage / "mlflow.db")
    spans = [row[0] for row in database.execute("select end_time - start_time from runs")]
    database.close()
    assert spans
    assert min(spans) >= 0


@pytest.mark.parametrize("seed", range(4))
def test_a_clock_set_while_it_runs_changes_no_number(
    seed: int, undisturbed: Path, clock: Clock, tmp_path: Path
) -> None:
    draw = random.Random(seed)
    with started("run", undisturbed / "grid.yaml", "--storage", tmp_path, "--executor", "inline") as process:
        until(lambda: "RUNNING" in statuses(tmp_path) and bool(list(tmp_path.glob("grid/trials/*"))), process)
        while process.poll() is None:
            clock.set(draw.choice(SHIFTS))
            time.sleep(draw.uniform(0.02, 0.5))
        _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, errors
    check_times(tmp_path)
    check_alike(tmp_path, undisturbed)


@pytest.mark.parametrize("shifts", [(DAY, -DAY), (-DAY, DAY), (0, -DAY)])
def test_a_clock_set_between_two_runs_changes_no_number(
    shifts: tuple[int, int], undisturbed: Path, clock: Clock, tmp_path: Path
) -> None:
    clock.set(shifts[0])
    arguments = ("run", undisturbed / "grid.yaml", "--storage", tmp_path, "--executor", "inline")
    with started(*arguments) as process:
        until(lambda: ended(tmp_path, "grid") > 1, process)
        process.kill()
    clock.set(shifts[1])
    sweeper(*arguments)
    words = [sys.executable, "-m", "sweeper", "sync", "grid", "--storage", str(tmp_path)]
    again = subprocess.run(words, cwd=ROOT, env=environment(), capture_output=True, timeout=SECONDS, check=False)
    assert again.returncode == 0
    check_times(tmp_path)
    check_alike(tmp_path, undisturbed)
