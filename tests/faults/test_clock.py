"""A clock that is set back or forward a day, between runs and while one goes on: nothing is lost, doubled or negative."""

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sweeper.store import time_after
from tests.command import ROOT, ended, started, sweeper, until
from tests.faults.sweeps import SECONDS, check_alike, environment, statuses, undisturbed_storage

DAY = 86400
SHIFTS = ("-1d", "+1d")


@pytest.mark.parametrize(
    ("history", "shift"), [((), 0.0), (({"epoch": 1.0, "time": 5.0},), 0.0), (({"time": time.time() + DAY},), DAY)]
)
def test_time_never_goes_back_within_a_trial(history: tuple[dict[str, float], ...], shift: float) -> None:
    assert time_after(history) == pytest.approx(time.time() + shift, abs=60)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, is_long: bool) -> Path:
    if not is_long:
        pytest.skip("make test-faults")
    return undisturbed_storage(tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture(scope="module")
def library() -> str:
    """What makes a process believe in another time of day, its steady clock left alone."""
    if shutil.which("faketime") is None:
        pytest.skip("faketime is not installed")
    words = ["faketime", "-m", "-f", "+0", "sh", "-c", "echo $LD_PRELOAD"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def shifted(monkeypatch: pytest.MonkeyPatch, library: str, by: Path) -> None:
    """Let the commands started from now on read the shift of their clock from a file, whenever they look at it."""
    for name, value in {
        "LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": str(by), "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_RESET": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)


def set_clock(by: Path, shift: str) -> None:
    temporary = by.with_suffix(".new")
    temporary.write_text(shift)
    temporary.replace(by)


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
    seed: int, undisturbed: Path, library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by, draw = tmp_path / "clock", random.Random(seed)
    set_clock(by, "+0d")
    shifted(monkeypatch, library, by)
    with started("run", undisturbed / "grid.yaml", "--storage", tmp_path, "--executor", "inline") as process:
        until(lambda: "RUNNING" in statuses(tmp_path) and bool(list(tmp_path.glob("grid/trials/*"))), process)
        while process.poll() is None:
            set_clock(by, draw.choice((*SHIFTS, "+0d")))
            time.sleep(draw.uniform(0.02, 0.5))
        _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, errors
    monkeypatch.delenv("LD_PRELOAD")
    check_times(tmp_path)
    check_alike(tmp_path, undisturbed)


@pytest.mark.parametrize("shifts", [("+1d", "-1d"), ("-1d", "+1d"), ("+0d", "-1d")], ids=" ".join)
def test_a_clock_set_between_two_runs_changes_no_number(
    shifts: tuple[str, str], undisturbed: Path, library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by = tmp_path / "clock"
    shifted(monkeypatch, library, by)
    set_clock(by, shifts[0])
    arguments = ("run", undisturbed / "grid.yaml", "--storage", tmp_path, "--executor", "inline")
    with started(*arguments) as process:
        until(lambda: ended(tmp_path, "grid") > 1, process)
        process.kill()
    set_clock(by, shifts[1])
    sweeper(*arguments)
    words = [sys.executable, "-m", "sweeper.cli", "sync", "grid", "--storage", str(tmp_path)]
    again = subprocess.run(words, cwd=ROOT, env=environment(), capture_output=True, timeout=SECONDS, check=False)
    assert again.returncode == 0
    monkeypatch.delenv("LD_PRELOAD")
    assert os.environ.get("LD_PRELOAD") is None
    check_times(tmp_path)
    check_alike(tmp_path, undisturbed)
