"""Whole sweeps as a user runs them: real Ray, real MLflow, real signals."""

import os
import shutil
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from sweeper.reading import read_experiment
from sweeper.running import run_sweep
from sweeper.store import Sweep
from sweeper.system.hardware import cores_here
from sweeper.system.stopping import Stopping
from tests.command import (
    ROOT,
    SECONDS,
    check_mlflow,
    ended,
    environment,
    here,
    kill,
    listening,
    started,
    sweeper,
    table,
    until,
)

GRID = """
name: grid
data: {name: digits, image_size: 8, classes: 5, augment: [random_crop]}
model: {name: "tests.tiny:linear"}
train: {epochs: 5, batch_size: 64, schedule: step, step_size: 2, gamma: 0.5}
search:
  space: {lr: [0.1, 0.03, 0.003], momentum: [0.9, 0.5], batch_size: [32, 64]}
pruning: {name: median, n_startup_trials: 2, n_warmup_steps: 1}
checkpoint: {every_seconds: 0}
artifacts: {models: none}
"""
TRIALS = 12


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "grid.yaml"
    path.write_text(GRID)
    return path


@pytest.fixture(scope="module")
def undisturbed(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The storage of a sweep that ran on Ray from its start to its end."""
    storage = tmp_path_factory.mktemp("undisturbed")
    sweeper("run", file, "--storage", storage)
    return storage


@pytest.fixture
def copied(undisturbed: Path, tmp_path: Path) -> Path:
    """The same sweep in a storage of its own, without what was published."""
    shutil.copytree(undisturbed / "grid", tmp_path / "grid")
    return tmp_path


def test_a_sweep_prunes_and_publishes_every_trial(undisturbed: Path) -> None:
    statuses = check_mlflow(undisturbed, TRIALS)
    text = table(undisturbed, "grid")
    assert text.count(",pruned,") == statuses["KILLED"] > 0
    assert text.count(",complete,") == statuses["FINISHED"] - 1
    assert (undisturbed / "grid" / "dashboard.html").stat().st_size > 1_000_000


def test_killed_three_times_it_ends_with_the_same_table(file: Path, undisturbed: Path, tmp_path: Path) -> None:
    for results, executor in ((1, "ray"), (4, "inline"), (7, "ray")):
        with started("run", file, "--storage", tmp_path, "--executor", executor) as process:
            until(lambda results=results: ended(tmp_path, "grid") >= results, process)
            kill(process)
        assert ended(tmp_path, "grid") < TRIALS
    here("run", file, "--storage", tmp_path, "--executor", "inline")
    assert table(tmp_path, "grid") == table(undisturbed, "grid")
    check_mlflow(tmp_path, TRIALS)


def test_inline_ends_with_the_same_table_as_ray(file: Path, undisturbed: Path, tmp_path: Path) -> None:
    here("run", file, "--storage", tmp_path, "--executor", "inline")
    assert table(tmp_path, "grid") == table(undisturbed, "grid")


def test_a_finished_sweep_runs_nothing_again(file: Path, undisturbed: Path) -> None:
    results = {path: path.stat().st_mtime_ns for path in undisturbed.glob("grid/trials/*/*")}
    done = sweeper("run", file, "--storage", undisturbed)
    assert "nothing to run: 12 trials have ended" in done.stderr
    assert results == {path: path.stat().st_mtime_ns for path in undisturbed.glob("grid/trials/*/*")}


def test_one_more_learning_rate_runs_only_the_new_cells(file: Path, copied: Path) -> None:
    before = {path: path.read_bytes() for path in copied.glob("grid/trials/*/result.json")}
    wider = "search.space.lr=[0.1, 0.03, 0.003, 0.01]"
    done = here("run", file, "--set", wider, "--storage", copied, "--executor", "inline")
    assert "16 trials, 12 ended already" in done.stderr
    assert ended(copied, "grid") == 16
    assert all(path.read_bytes() == content for path, content in before.items())
    check_mlflow(copied, 16)


def test_without_the_pruner_pruned_trials_go_on_as_if_never_pruned(
    file: Path, copied: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    here("run", file, "--set", "pruning=null", "--storage", copied, "--executor", "inline")
    fresh = tmp_path_factory.mktemp("unpruned")
    shutil.copytree(copied / "grid", fresh / "grid", ignore=shutil.ignore_patterns("trials"))
    here("run", file, "--set", "pruning=null", "--storage", fresh, "--executor", "inline")
    assert table(copied, "grid") == table(fresh, "grid")
    assert table(copied, "grid").count(",complete,") == TRIALS
    check_mlflow(copied, TRIALS)


LOOPBACK = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}  # as /proc has them
SLOW = [
    word
    for setting in ("model.name=tests.tiny:slow", "train.epochs=2000", "data.image_size=16", "data.split.train=0.2")
    for word in ("--set", setting)
]


@pytest.mark.parametrize(
    ("executor", "number", "code"),
    [("ray", signal.SIGTERM, 143), ("inline", signal.SIGINT, 130)],
    ids=["ray", "inline"],
)
def test_a_signal_to_all_processes_saves_and_stops(
    file: Path, tmp_path: Path, executor: str, number: int, code: int
) -> None:
    """As `timeout`, Slurm and a terminal send it."""
    arguments = ["run", file, "--storage", tmp_path, "--executor", executor, *SLOW, "--set", "pruning=null"]
    with started(*arguments) as process:
        until(lambda: bool(list(tmp_path.glob("grid/trials/*/history.json"))), process)
        assert listening(process) <= LOOPBACK
        os.killpg(process.pid, number)
        _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == code
    assert "stopped; everything is saved" in errors
    assert list(tmp_path.glob("grid/trials/*/checkpoint.pt"))
    assert not list(tmp_path.glob("grid/trials/*/result.json"))
    begun = len(list(tmp_path.glob("grid/trials/*")))
    assert check_mlflow(tmp_path, begun) == {"KILLED": begun + 1}


def test_after_ctrl_c_no_trial_begins_that_waited_for_room(file: Path, tmp_path: Path) -> None:
    one_at_a_time = ("--set", f"resources.cpus_per_trial={cores_here()}", "--set", "pruning=null")
    with started("run", file, "--storage", tmp_path, *SLOW, *one_at_a_time) as process:
        until(lambda: bool(list(tmp_path.glob("grid/trials/*/history.json"))), process)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    assert "stopping: 1 running trials end their epoch and save" in errors
    assert len(list(tmp_path.glob("grid/trials/*/trial.json"))) > 1
    assert len(list(tmp_path.glob("grid/trials/*/history.json"))) == 1


@pytest.mark.parametrize("retry_failed", [False, True])
def test_a_retry_that_is_stopped_goes_on_as_one(retry_failed: bool, tmp_path: Path) -> None:
    """The signal comes as the last trial ends."""
    experiment = read_experiment(
        "{name: one, data: {name: digits, image_size: 8, augment: []}, train: {epochs: 1}, "
        "model: {name: 'tests.tiny:linear'}, artifacts: {models: none}}",
        "one.yaml",
    )
    stopping, out = Stopping(), StringIO()
    stopping.received.append(signal.SIGINT)
    sweep, console = Sweep(str(tmp_path), "one"), Console(file=out, width=400)
    ended = run_sweep(sweep, experiment, console, "inline", None, retry_failed, stopping)
    again = f"sweeper resume one --storage {tmp_path} --executor inline" + " --retry-failed" * retry_failed
    assert ended.code == 130
    assert f"Go on with: {again}\n" in out.getvalue()


def test_a_second_run_on_a_folder_is_told_who_holds_it(file: Path, tmp_path: Path) -> None:
    with started("run", file, "--storage", tmp_path, "--executor", "inline", *SLOW) as process:
        until((tmp_path / "grid" / "owner.json").exists, process)
        second = sweeper("run", file, "--storage", tmp_path, expect=2)
        assert f"another sweeper is running 'grid' (process {process.pid}" in second.stderr


@pytest.mark.parametrize("executor", ["ray", "inline"])
def test_a_broken_model_fails_its_own_trials_and_can_be_retried(
    executor: str, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    broken.touch()
    monkeypatch.setenv("SWEEPER_TEST_BROKEN", str(broken))
    experiment = tmp_path / "fragile.yaml"
    experiment.write_text("""
name: fragile
data: {name: digits, image_size: 8, augment: []}
model: {name: "tests.tiny:fragile"}
train: {epochs: 2, batch_size: 64}
search: {space: {lr: [0.1, 0.05], model.breaks: [false, true]}}
resources: {max_retries: 1}
artifacts: {models: none}
""")
    run = here if executor == "inline" else sweeper
    done = run("run", experiment, "--storage", tmp_path, "--executor", executor, expect=3)
    assert done.stderr.count("will be tried again: ArithmeticError: this network is broken on purpose") == 2
    assert "Traceback" not in done.stderr
    assert table(tmp_path, "fragile").count(",failed,") == table(tmp_path, "fragile").count(",complete,") == 2
    assert check_mlflow(tmp_path, 4) == {"FINISHED": 3, "FAILED": 2}
    broken.unlink()
    told = " ".join(here("resume", "fragile", "--storage", tmp_path, expect=3).stderr.split())
    assert "nothing to run" in told
    assert "2 of the trials failed for good" in told
    assert "--retry-failed" in told
    here("resume", "fragile", "--retry-failed", "--storage", tmp_path, "--executor", "inline")
    assert table(tmp_path, "fragile").count(",complete,") == 4
    assert check_mlflow(tmp_path, 4) == {"FINISHED": 5}


WITHOUT = """
import sys
from sweeper.cli import main
try:
    main()
finally:
    print([name for name in ("torch", "plotly") if name in sys.modules])
"""


def test_on_ray_the_driver_does_without_what_takes_half_of_its_memory(tmp_path: Path) -> None:
    """And the sweep is whole: the page, the best trial's pictures, its model in MLflow."""
    file = tmp_path / "light.yaml"
    file.write_text(
        "name: light\ndata: {name: digits, image_size: 8}\nmodel: {name: logistic_regression}\n"
        "train: {epochs: 1}\nsearch: {space: {lr: [0.1, 0.01]}}\nartifacts: {models: best}\n"
    )
    words = [sys.executable, "-c", WITHOUT, "run", str(file), "--storage", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, env=environment(), check=True, timeout=300)
    assert done.stdout.splitlines()[-1] == "[]"
    assert len(list(tmp_path.glob("light/trials/*/artifacts/pictures/saliency.png"))) == 1
    assert (tmp_path / "light" / "dashboard.html").exists()
    assert len(list(tmp_path.glob("mlflow-artifacts/**/MLmodel"))) == 1


AS_UV = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)"
UNDER_UV = """
from sweeper.launch import import_ray
import_ray(None)
from ray._private.worker import _maybe_modify_runtime_env
print(_maybe_modify_runtime_env(None, False))
"""


def test_under_uv_run_workers_start_as_they_do_without(tmp_path: Path) -> None:
    """Ray knows uv by the words of a parent's command line."""
    (tmp_path / "run").write_text(AS_UV)
    words = ["uv", "run", sys.executable, "-c", UNDER_UV]
    done = subprocess.run(
        words, executable=sys.executable, capture_output=True, text=True, cwd=tmp_path, env=environment(), timeout=300
    )
    assert (done.returncode, done.stdout) == (0, "None\n"), done.stderr
