"""Workers that are killed, run out of memory or run a broken model: tried again or told with the cause; the others go on."""

import json
import os
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from sweeper.causes import cause, is_out_of_gpu_memory
from sweeper.launch import Driver, Sweeping
from sweeper.launch.models import UnbuildableError, build_all
from sweeper.launch.share import Share
from sweeper.reading import read_experiment
from sweeper.store import Result, Sweep
from sweeper.system.processes import children, descendants
from sweeper.trial import TrialState
from tests.command import check_mlflow, here, started, sweeper, table, until

SWEEP = """
name: broken
data: {name: digits, image_size: 8, classes: 3, augment: []}
model: {name: "tests.faults.networks:breaking"}
train: {epochs: 3, batch_size: 64}
search: {space: {lr: [0.1, 0.05, 0.02, 0.01], model.how: [none]}}
checkpoint: {every_seconds: 0}
artifacts: {models: none}
"""
ONE = ["--set", "search.space={lr: [0.1, 0.05, 0.02], model.how: [none, HOW]}"]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "broken.yaml"
    path.write_text(SWEEP)
    (tmp_path / "notes").mkdir()
    monkeypatch.setenv("SWEEPER_TEST_NOTES", str(tmp_path / "notes"))
    return path


@pytest.fixture
def only_long(is_long: bool) -> None:
    if not is_long:
        pytest.skip("many real sweeps: make test-faults")


def broken_in(how: str) -> list[str]:
    return [word.replace("HOW", how) for word in ONE]


def results(storage: Path) -> list[dict[str, object]]:
    return [json.loads(path.read_text()) for path in storage.glob("broken/trials/*/result.json")]


HEAD = "Traceback (most recent call last):\n"
ERRORS = {
    f"{HEAD}  File a, line 1\nValueError: first\n  second\nthird\n": "ValueError: first",
    f"{HEAD}  f\nKeyError: 1\n\nDuring handling of it:\n\n{HEAD}  g\nOSError: [Errno 28] full": "OSError: [Errno 28] full",
    "its worker died: killed, or out of memory": "its worker died: killed, or out of memory",
    "": "it said nothing",
}  # fmt: skip


@pytest.mark.parametrize("error", ERRORS)
def test_the_cause_is_the_first_line_of_the_last_exception(error: str) -> None:
    assert cause(error) == ERRORS[error]


@pytest.mark.parametrize(
    ("error", "is_it"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.", True),
        ("torch.cuda.OutOfMemoryError: CUDA out of memory.", True),
        ("torch.AcceleratorError: CUDA error: out of memory\nCUDA kernel errors might be reported later", True),
        ("RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("RuntimeError: cuDNN error: CUDNN_STATUS_ALLOC_FAILED", True),
        ("RuntimeError: CUDA error: an illegal memory access was encountered", False),
        ("MemoryError", False),
        ("ValueError: see torch.OutOfMemoryError", False),
    ],
)
def test_want_of_gpu_memory_is_known_by_what_torch_says(error: str, is_it: bool) -> None:
    assert is_out_of_gpu_memory(f"Traceback (most recent call last):\n  File\n{error}\n") is is_it


@pytest.mark.parametrize(("gpus", "whole"), [(0.25, 1), (0.5, 1), (1.0, 1), (1.5, 2), (2.0, 2), (0.0, 0)])
def test_alone_a_trial_has_whole_gpus(gpus: float, whole: int) -> None:
    share = Share("cuda", 1, gpus, None)
    assert share.whole.gpus == whole
    assert share.is_part_of_a_gpu == (gpus != whole)
    assert share.whole.cpus == 1


OUT_OF_MEMORY = f"{HEAD}  f\ntorch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB."


def a_driver(storage: Path, text: str, shares_gpus: bool) -> Driver:
    experiment = read_experiment(text, "broken.yaml", ["resources.max_retries=1"])
    sweep = Sweep(str(storage), experiment.name)
    return Driver(sweep, experiment, Sweeping.of(sweep, experiment).search(1), [], shares_gpus)


def names(driver: Driver, count: int) -> list[int | None]:
    """The numbers of the trials that are started now."""
    asked = [driver.next_trial() for _ in range(count)]
    return [trial and trial.number for trial in asked]


def test_while_a_trial_waits_for_a_gpu_of_its_own_no_other_is_started(file: Path, tmp_path: Path) -> None:
    driver = a_driver(tmp_path, SWEEP, shares_gpus=True)
    first, second = driver.next_trial(), driver.next_trial()
    assert first
    assert second
    driver.fail(first, OUT_OF_MEMORY)
    assert names(driver, 2) == [0, None]
    driver.end(second, None)
    assert names(driver, 1) == [None]
    assert driver.alone == {first.key}
    driver.begin(first.key)
    assert names(driver, 3) == [2, 3, None]


def test_out_of_memory_alone_counts_as_any_failure(file: Path, tmp_path: Path) -> None:
    """Tried beside others, alone, alone again because `max_retries` is 1; then it has failed."""
    driver = a_driver(tmp_path, SWEEP, shares_gpus=True)
    for _ in range(3):
        trial = driver.next_trial()
        assert trial
        assert trial.number == 0
        driver.begin(trial.key)
        driver.fail(trial, OUT_OF_MEMORY)
    assert [(record.trial.number, record.state) for record in driver.sweep.records()] == [(0, TrialState.FAILED)]
    assert names(driver, 1) == [1]


@pytest.mark.parametrize("error", [OUT_OF_MEMORY, f"{HEAD}  f\nValueError: 1"])
def test_a_trial_with_a_whole_gpu_is_tried_again_as_any(error: str, file: Path, tmp_path: Path) -> None:
    driver = a_driver(tmp_path, SWEEP, shares_gpus=False)
    trial = driver.next_trial()
    assert trial
    driver.fail(trial, error)
    assert names(driver, 2) == [0, 1]
    assert not driver.alone


def test_a_worker_that_dies_after_the_result_of_its_trial_costs_nothing(file: Path, tmp_path: Path) -> None:
    driver = a_driver(tmp_path, SWEEP, shares_gpus=False)
    trial = driver.next_trial()
    assert trial
    driver.sweep.trial(trial.key).write_result(Result(TrialState.COMPLETE, summary={"val/top1": 1.0}, artifacts={}))
    driver.fail(trial, "its worker died: killed, or out of memory")
    assert not driver.running
    assert not driver.again
    assert [(record.trial.number, record.state) for record in driver.sweep.records()] == [(0, TrialState.COMPLETE)]


def test_what_a_worker_out_of_reach_still_ends_is_not_taken_back(file: Path, tmp_path: Path) -> None:
    """Of a trial that had failed and is tried again; its worker was taken for lost."""
    first = a_driver(tmp_path, SWEEP, shares_gpus=False)
    trial = first.next_trial()
    assert trial
    folder = first.sweep.trial(trial.key)
    folder.write_result(Result(TrialState.FAILED, error="ValueError: 1", artifacts={}))
    sweeping = Sweeping.of(first.sweep, first.experiment, retry_failed=True)
    driver = Driver(first.sweep, first.experiment, sweeping.search(1), [])
    again = driver.next_trial()
    assert again
    assert (again.key, folder.exists("result.json")) == (trial.key, False)
    driver.fail(again, "its node cannot be reached", is_own=False)
    folder.write_result(Result(TrialState.COMPLETE, summary={"val/top1": 1.0}, artifacts={}))
    assert driver.next_trial() == again
    assert folder.read_result().state is TrialState.COMPLETE


def in_the_way(place: Path) -> None:
    """A file where a trial's folder is to be."""
    if place.exists():
        shutil.rmtree(place)
    place.touch()


def test_a_trial_that_cannot_be_noted_stops_the_sweep_in_good_order(file: Path, tmp_path: Path) -> None:
    driver = a_driver(tmp_path, SWEEP, shares_gpus=False)
    first = driver.next_trial()
    assert first
    second = a_driver(tmp_path / "other", SWEEP, shares_gpus=False)
    keys = [trial.key for trial in iter(second.search.ask, None)]
    in_the_way(place := tmp_path / "broken" / "trials" / keys[1])
    assert driver.next_trial() is None
    assert driver.is_halted
    assert str(place) in str(driver.trouble)
    assert list(driver.running) == [first.key]


def test_a_failure_that_cannot_be_noted_stops_the_sweep_in_good_order(file: Path, tmp_path: Path) -> None:
    driver = a_driver(tmp_path, SWEEP, shares_gpus=False)
    for _ in range(2):  # `max_retries` is 1
        trial = driver.next_trial()
        assert trial
        assert not driver.is_halted
        place = tmp_path / "broken" / "trials" / trial.key
        if driver.tries[trial.key]:
            in_the_way(place)
        driver.fail(trial, f"{HEAD}  f\nValueError: 1")
    assert driver.is_halted
    assert str(place) in str(driver.trouble)
    assert not driver.running


@pytest.mark.parametrize("executor", ["inline", "ray"])
def test_a_place_that_cannot_be_written_is_named_and_once_it_can_the_same_command_goes_on(
    executor: str, file: Path, tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    here("run", file, "--storage", whole, "--executor", "inline")
    last = next(path.parent for path in whole.glob("broken/trials/*/trial.json") if '"number": 3' in path.read_text())
    place = tmp_path / "broken" / "trials" / last.name
    place.parent.mkdir(parents=True)
    place.touch()
    done = sweeper("run", file, "--executor", executor, "--storage", tmp_path, expect=3)
    assert str(place) in done.stderr
    assert "Traceback" not in done.stderr
    place.unlink()
    here("run", file, "--executor", "inline", "--storage", tmp_path)
    assert table(tmp_path, "broken") == table(whole, "broken")
    check_mlflow(tmp_path, 4)


@pytest.mark.parametrize("is_put_back", [True, False])
def test_a_storage_that_is_taken_away_stops_the_sweep_and_no_trial_fails_for_it(
    is_put_back: bool, file: Path, tmp_path: Path
) -> None:
    whole, storage, moved = tmp_path / "whole", tmp_path / "storage", tmp_path / "moved"
    words = ["run", file, "--executor", "inline", *broken_in("moves_storage"), "--storage"]
    here(*words, whole)
    (tmp_path / "notes" / "once").touch()
    done = here(*words, storage, expect=3)
    assert f"{storage}/broken was moved or removed" in done.stderr
    assert "failed" not in done.stderr
    assert not list(storage.rglob("trial.json"))
    if is_put_back:
        shutil.rmtree(storage, ignore_errors=True)
        moved.rename(storage)
    here(*words, storage)
    assert table(storage, "broken") == table(whole, "broken")
    check_mlflow(storage, 6)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("OSError: [Errno 28] No space: '/a'", "OSError: [Errno 28] No space: '/a'. Make room on that disk first."),
        (
            "OSError: [Errno 27] Too large: '/a'",
            "OSError: [Errno 27] Too large: '/a'. Allow larger files (ulimit -f unlimited) first.",
        ),
        ("sweeper.store.remote.UnreachableError: s3://a is out", "s3://a is out"),
    ],
)
def test_storage_that_fails_a_worker_stops_the_sweep_at_once(error: str, told: str, file: Path, tmp_path: Path) -> None:
    driver = a_driver(tmp_path, SWEEP, shares_gpus=False)
    trial = driver.next_trial()
    assert trial
    driver.fail(trial, f"{HEAD}  f\n{error}")
    assert driver.is_halted
    assert not driver.running
    assert not driver.again
    assert driver.trouble == told
    assert driver.sweep.trial(trial.key).record().state is TrialState.WAITING  # type: ignore[union-attr]


@pytest.mark.usefixtures("only_long")
def test_a_trial_out_of_gpu_memory_is_tried_again_alone_and_the_others_then_go_on(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four trials on a quarter of one GPU each, which Ray is told there is; one wants more than its share."""
    monkeypatch.setenv("RAY_OVERRIDE_RESOURCES", '{"GPU": 1, "CPU": 4}')
    arguments = ["run", file, "--storage", tmp_path, *broken_in("crowded"), "--set", "resources.gpus_per_trial=0.25"]
    done = sweeper(*arguments, "--set", "resources.max_retries=0", "--set", "train.epochs=6")
    assert done.stderr.count("torch.OutOfMemoryError: CUDA out of memory. (for a test) (now alone on a GPU)") == 3
    assert table(tmp_path, "broken").count(",complete,") == 6
    check_mlflow(tmp_path, 6)


@pytest.mark.parametrize("how", ["killed", "segmentation_fault", "no_memory", "leaves"])
@pytest.mark.usefixtures("only_long")
def test_a_worker_that_dies_or_raises_once_is_replaced_and_its_trial_goes_on(
    how: str, file: Path, tmp_path: Path
) -> None:
    undisturbed = tmp_path / "undisturbed"
    here("run", file, "--storage", undisturbed, "--executor", "inline", *broken_in(how))
    (tmp_path / "notes" / "once").touch()
    done = sweeper("run", file, "--storage", tmp_path, *broken_in(how))
    assert "will be tried again" in done.stderr
    assert table(tmp_path, "broken") == table(undisturbed, "broken")
    assert check_mlflow(tmp_path, 6) == {"FINISHED": 7}


@pytest.mark.parametrize("executor", ["inline", "ray"])
@pytest.mark.parametrize(
    ("how", "told"),
    [("no_memory", "MemoryError: not enough"), ("leaves", "SystemExit: 5"), ("at_epoch_2", "ValueError: at epoch 2\nof the")],
)  # fmt: skip
@pytest.mark.usefixtures("only_long")
def test_a_trial_that_always_breaks_fails_with_its_cause_and_the_others_complete(
    executor: str, how: str, told: str, file: Path, tmp_path: Path
) -> None:
    (tmp_path / "notes" / "always").touch()
    arguments = ["run", file, "--storage", tmp_path, "--executor", executor, *broken_in(how)]
    done = sweeper(*arguments, "--set", "train.epochs=8", expect=3)  # it comes an epoch further in each try
    assert "Traceback" not in done.stderr
    assert done.stderr.count(f"will be tried again: {told.partition(chr(10))[0]}") == 6
    failed = [result for result in results(tmp_path) if result["state"] == "failed"]
    assert len(failed) == 3
    assert all(told in str(result["error"]) for result in failed)
    assert table(tmp_path, "broken").count(",complete,") == 3
    assert check_mlflow(tmp_path, 6) == {"FINISHED": 4, "FAILED": 3}


@pytest.mark.usefixtures("only_long")
def test_workers_killed_from_outside_again_and_again_cost_no_trial(file: Path, tmp_path: Path) -> None:
    """Each is found by what its model wrote, and killed in its first epoch: one more time than `max_retries` in all."""
    undisturbed = tmp_path / "undisturbed"
    slow = ["--set", "train.epochs=30", "--set", "search.space.model.how=[notes_its_process]"]
    here("run", file, "--storage", undisturbed, "--executor", "inline", *slow)
    (tmp_path / "notes" / "process").unlink()
    with started("run", file, "--storage", tmp_path, *slow) as process:
        killed: set[str] = set()
        while len(killed) < 4:
            until(lambda: (tmp_path / "notes" / "process").exists(), process)
            worker = (tmp_path / "notes" / "process").read_text()
            if worker and worker not in killed:
                os.kill(int(worker), signal.SIGKILL)
                killed.add(worker)
            (tmp_path / "notes" / "process").unlink()
        process.communicate(timeout=150)
    assert process.returncode in (0, 3)
    sweeper("resume", "broken", "--retry-failed", "--storage", tmp_path)
    assert table(tmp_path, "broken") == table(undisturbed, "broken")
    check_mlflow(tmp_path, 4)


def test_killing_the_process_that_takes_answers_to_the_workers_costs_no_trial(file: Path, tmp_path: Path) -> None:
    """What it held, to prune a trial, may be lost with it: those that run go back to their checkpoints, and are judged again."""
    undisturbed = tmp_path / "undisturbed"
    pruned = ["--set", "pruning={name: median, n_startup_trials: 1}", "--set", "resources.max_retries=0"]
    slow = [*pruned, "--set", "train.epochs=12", "--set", "search.space.model.how=[notes_its_process]"]
    here("run", file, "--storage", undisturbed, "--executor", "inline", *slow)
    with started("run", file, "--storage", tmp_path, *slow) as process:
        killed: set[int] = set()
        until(lambda: list(tmp_path.glob("broken/trials/*/history.json")) != [], process)
        while process.poll() is None and len(killed) < 2:
            for own in set(named("ray::Answers", process.pid)) - killed:
                os.kill(own, signal.SIGKILL)
                killed.add(own)
            time.sleep(0.1)
        _, errors = process.communicate(timeout=150)
    assert killed
    assert process.returncode == 0, errors
    assert table(tmp_path, "broken") == table(undisturbed, "broken")
    check_mlflow(tmp_path, 4)


@pytest.mark.parametrize("part", ["raylet", "gcs_server"])
def test_where_ray_itself_is_killed_it_is_told_and_the_sweep_goes_on_from_its_checkpoints(
    part: str, file: Path, tmp_path: Path, is_long: bool
) -> None:
    if part != "raylet" and not is_long:
        pytest.skip("may take a minute: make test-faults")
    undisturbed = tmp_path / "undisturbed"
    slow = ["--set", "train.epochs=24", "--set", "search.space.model.how=[notes_its_process]"]
    here("run", file, "--storage", undisturbed, "--executor", "inline", *slow)
    with started("run", file, "--storage", tmp_path, *slow) as process:
        until(lambda: list(tmp_path.glob("broken/trials/*/history.json")) != [], process)
        own = [one for one in children(process.pid) if Path(f"/proc/{one}/comm").read_text() == f"{part}\n"]
        os.kill(own[0], signal.SIGKILL)
        _, errors = process.communicate(timeout=150)
    assert process.returncode == 3, errors
    assert "Ray on this machine has ended" in errors
    assert "sweeper resume" in errors
    assert "Traceback" not in errors
    sweeper("resume", "broken", "--storage", tmp_path)
    assert table(tmp_path, "broken") == table(undisturbed, "broken")
    check_mlflow(tmp_path, 4)


def named(title: str, of: int) -> list[int]:
    """The processes below another whose titles begin so."""
    found = []
    for process in descendants(of):
        with suppress(OSError):  # it has just ended
            if Path(f"/proc/{process}/cmdline").read_text().startswith(title):
                found.append(process)
    return found


@pytest.mark.usefixtures("only_long")
def test_a_model_that_no_trial_can_build_is_told_before_anything_runs(file: Path, tmp_path: Path) -> None:
    done = sweeper("run", file, "--storage", tmp_path, *broken_in("at_build"), expect=2)
    assert "cannot be built: ValueError: at_build is built wrong (networks.py, line " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_that_ends_its_process_as_it_is_built_is_told_as_any() -> None:
    with pytest.raises(UnbuildableError, match=r'"sys:exit"} cannot be built: SystemExit: 3'):
        build_all([("sys:exit", {}, 3, 8)])
