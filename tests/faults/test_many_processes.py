"""Several processes on one folder, one store and one cache at once: one runs a sweep, any number read it, none doubles."""

import json
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.command import ROOT, ended, here, started, table, until
from tests.faults.sweeps import GRID, SECONDS, TRIALS, check_alike, environment, undisturbed_storage
from tests.images import tiny_files, write_zip

FEW = 6
READERS = (
    ("status", "grid"),
    ("list",),
    ("results", "grid"),
    ("results", "grid", "--per-class"),
    ("dashboard", "grid"),
)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return undisturbed_storage(tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture(autouse=True)
def only_long(is_long: bool) -> None:
    if not is_long:
        pytest.skip("many processes at once: make test-faults")


@pytest.mark.parametrize("executors", [("inline", "inline"), ("ray", "inline"), ("ray", "ray")], ids="-".join)
def test_of_two_runs_that_start_at_once_one_runs_and_the_other_says_who(
    executors: tuple[str, str], undisturbed: Path, tmp_path: Path
) -> None:
    file = undisturbed / "grid.yaml"
    words = [("run", file, "--storage", tmp_path, "--executor", executor) for executor in executors]
    with started(*words[0]) as first, started(*words[1]) as second:
        ends = [(process, process.communicate(timeout=SECONDS)[1]) for process in (first, second)]
    codes = [process.returncode for process, _ in ends]
    assert sorted(codes) == [0, 2], ends
    loser, winner = codes.index(2), codes.index(0)
    assert "another sweeper is running 'grid' (" in ends[loser][1]
    assert f"process {ends[winner][0].pid} on" in ends[loser][1] or "just starting" in ends[loser][1]
    assert not any("Traceback" in errors for _, errors in ends)
    check_alike(tmp_path, undisturbed)


@pytest.mark.parametrize("executor", ["inline", "ray"])
def test_a_sweep_that_is_read_all_the_while_ends_alike_and_readers_see_nothing_wrong(
    executor: str, undisturbed: Path, tmp_path: Path
) -> None:
    seen: list[int] = []
    slower = ("--set", "model.name=tests.faults.networks:slowed")
    alike = tmp_path / "alike"
    here("run", undisturbed / "grid.yaml", "--storage", alike, "--executor", "inline", *slower)
    final = {row["key"]: row for row in rows(alike)}
    words = ("run", undisturbed / "grid.yaml", "--storage", tmp_path, "--executor", executor, *slower)
    with started(*words) as process:
        until((tmp_path / "grid" / "experiment.yaml").exists, process)
        while process.poll() is None:
            for reader in READERS:
                assert "Traceback" not in here(*reader, "--storage", tmp_path).stderr
            sync = here_any("sync", "grid", "--storage", tmp_path)
            assert sync.returncode == 0 or "another sweeper is running 'grid'" in sync.stderr
            read = rows(tmp_path)
            assert max(Counter(row["key"] for row in read).values(), default=1) == 1
            complete = [row for row in read if row["state"] in ("complete", "pruned")]
            assert all(row == final[row["key"]] for row in complete)
            seen.append(len(complete))
        errors = process.communicate(timeout=SECONDS)[1]
    assert process.returncode == 0, errors
    assert seen == sorted(seen)
    assert len(set(seen)) > 1
    check_alike(tmp_path, alike)


def rows(storage: Path) -> list[dict[str, object]]:
    printed = here("export", "grid", "--format", "json", "--storage", storage).stdout
    found: list[dict[str, object]] = json.loads(printed)
    return found


def here_any(*arguments: object) -> subprocess.CompletedProcess[str]:
    """A command as a process of its own, whatever its exit code."""
    words = [sys.executable, "-m", "sweeper", *map(str, arguments)]
    return subprocess.run(
        words, capture_output=True, text=True, cwd=ROOT, env=environment(), timeout=SECONDS, check=False
    )


@pytest.mark.parametrize("executor", ["inline"])
def test_six_sweeps_that_start_at_once_on_a_fresh_store_and_a_cold_cache_all_end_well(
    executor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWEEPER_CACHE", str(tmp_path / "cache"))
    archive = write_zip(tmp_path / "images.zip", tiny_files(train=60))
    text = GRID.replace("name: digits", f"name: tiny-imagenet, root: {archive}")
    names = [f"grid{number}" for number in range(FEW)]
    with ExitStack() as stack:
        processes = []
        for name in names:
            file = tmp_path / f"{name}.yaml"
            file.write_text(text.replace("name: grid", f"name: {name}", 1))
            words = ("run", file, "--storage", tmp_path, "--executor", executor)
            processes.append(stack.enter_context(started(*words)))
        ends = [(process.communicate(timeout=SECONDS)[1], process.returncode) for process in processes]
    assert [code for _, code in ends] == [0] * FEW, ends
    assert not any("Traceback" in errors for errors, _ in ends)
    assert len({table(tmp_path, name) for name in names}) == 1
    assert all(ended(tmp_path, name) == TRIALS for name in names)
    check_runs(tmp_path, names)
    assert len(list((tmp_path / "cache" / "prepared").iterdir())) == 1


def check_runs(storage: Path, names: list[str]) -> None:
    """In one database: a parent and a run a trial in each sweep's experiment, none RUNNING, no row twice."""
    database = sqlite3.connect(storage / "mlflow.db")
    runs = database.execute(
        "select experiments.name, runs.status, tags.value from runs join experiments using (experiment_id) "
        "left join tags on tags.run_uuid = runs.run_uuid and tags.key = 'sweeper.trial_key'"
    ).fetchall()
    repeated = database.execute("select 1 from metrics group by run_uuid, key, step having count(*) > 1").fetchall()
    database.close()
    assert Counter(name for name, _, _ in runs) == dict.fromkeys(names, TRIALS + 1)
    assert "RUNNING" not in {status for _, status, _ in runs}
    assert max(Counter((name, key) for name, _, key in runs).values()) == 1
    assert not repeated
