"""A sweep folder becomes runs in MLflow, each once, however often and from however many processes it is published.

Every test publishes to a real MLflow database, a copy of one that was made once.
"""

import itertools
import logging
import math
import multiprocessing
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from folders import synthetic_trial, write_trial
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow_servers import dump, held
from publishing import (
    ENDINGS,
    STATUSES,
    a_parent,
    a_sweep,
    assert_published,
    change_result,
    experiment,
    finish,
    live,
    publish,
    settled,
)

from sweeper.store import Sweep
from sweeper.tracking import Publisher, is_held, is_published, note_published, stored_uri
from sweeper.tracking.client import Client
from sweeper.tracking.mlflow_store import SweepRuns
from sweeper.tracking.published import has_all_runs
from sweeper.tracking.values import METRICS_A_REQUEST, batches_of
from sweeper.trial import Trial, TrialState

TESTS = Path(__file__).parent
pytest_plugins = ("tracking_fixtures",)


def only(database: Path, sweep: Sweep, trial: Trial) -> dict[str, Any]:
    runs = held(database, sweep.identity())[trial.key]
    assert len(runs) == 1
    return runs[0]


def test_a_sweep_becomes_one_parent_and_one_run_a_trial(tmp_path: Path, database: Path, uri: str) -> None:
    sweep = a_sweep(tmp_path, 12, ENDINGS)
    publisher = publish(sweep, uri, a_parent(is_over=False))
    assert (publisher.missing, publisher.trouble) == ([], None)
    assert_published(database, sweep, is_over=False)
    assert held(database, sweep.identity())[""][0]["tags"]["mlflow.note.content"] == "a synthetic sweep"
    assert (tmp_path / "mlflow-artifacts" / "synthetic").is_dir()


def test_parameters_are_the_resolved_settings_under_their_names(tmp_path: Path, database: Path, uri: str) -> None:
    sweep, long = Sweep(str(tmp_path), "synthetic"), "x" * 7000
    cell = {"lr": 0.1, "model.dropout": 0.5, "data.split.seed": 3, "model.über so!": long, "model.odd": "\udcff\0"}
    trial = synthetic_trial(0, cell, seed=7)
    write_trial(sweep, trial, TrialState.COMPLETE, 1)
    publish(sweep, uri)
    params = only(database, sweep, trial)["params"]
    odd = {name: params.pop(name) for name in list(params) if name.startswith("model:2e")}
    assert params == {
        "data.name": "digits",
        "data.split.seed": "3",
        "model.name": "alexnet",
        "model.dropout": "0.5",
        "model.odd": "\\udcff\\0",
        "epochs": "10",
        "lr": "0.1",
        "seed": "7",
    }
    assert list(odd.values()) == ["x" * 6000]


@pytest.mark.parametrize("count", [50, 51])
def test_per_class_accuracy_is_metrics_for_up_to_fifty_classes(
    tmp_path: Path, database: Path, uri: str, count: int
) -> None:
    hostile = ["..", "a/b", "<script>", "🐟", "سمكة", "=HYPERLINK(1)", "trailing. ", "x" * 300, "a", "A"]
    classes = hostile + [f"class {number}" for number in range(count - len(hostile))]
    sweep = a_sweep(tmp_path, 1, classes=classes)
    publish(sweep, uri)
    assert_published(database, sweep)
    names = {name for name, _, _ in only(database, sweep, sweep.records()[0].trial)["metrics"]}
    assert len([name for name in names if name.startswith("test_class/")]) == (50 if count == 50 else 0)


def test_nan_and_inf_of_a_diverged_trial_are_published_once(tmp_path: Path, database: Path, uri: str) -> None:
    sweep = a_sweep(tmp_path, 2, ("diverged",))
    publish(sweep, uri)
    publish(sweep, uri)
    assert_published(database, sweep)
    metrics = only(database, sweep, sweep.records()[0].trial)["metrics"]
    last = {name: value for name, step, value in metrics if step == 1 and name in ("train/loss", "val/loss")}
    assert last["train/loss"] is None
    assert last["val/loss"] == pytest.approx(1.797e308, rel=1e-3)


def test_a_live_sweep_ends_as_one_that_was_synced(tmp_path: Path, database: Path, uri: str) -> None:
    sweep = a_sweep(tmp_path, 8, ("complete", "pruned", "diverged", "failed"))
    publisher = Publisher(uri, sweep, experiment())
    publisher.start()
    live(publisher, sweep.records(), pause=0.002)
    assert finish(publisher) == []
    assert_published(database, sweep)


def test_a_stop_is_published_of_the_unfinished_trials_first(
    tmp_path: Path, database: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who stops a sweep may kill it soon: of trials that MLflow knows to have ended nothing is asked again."""
    sweep = a_sweep(tmp_path, 12, ("complete", "failed", "complete", "running"))
    states = {record.trial.key: record.state for record in sweep.records()}
    known = [record for record in sweep.records() if record.result][:6]
    publisher, told = Publisher(uri, sweep, experiment()), list[TrialState]()
    publisher.start()
    live(publisher, known)
    settled(publisher)
    publish_one = SweepRuns.publish

    def noted(self: SweepRuns, trial: Trial, *arguments: Any) -> None:
        told.append(states[trial.key])
        publish_one(self, trial, *arguments)

    monkeypatch.setattr(SweepRuns, "publish", noted)
    publisher.stopped()
    assert publisher.leave() == []
    assert told == [TrialState.RUNNING] * 3 + [TrialState.COMPLETE, TrialState.FAILED, TrialState.COMPLETE]
    runs = held(database, sweep.identity())
    assert {key: found[0]["status"] for key, found in runs.items()} == {
        "": "KILLED",
        **{key: STATUSES[state.value] for key, state in states.items()},
    }


def test_publishing_again_asks_for_next_to_nothing_and_changes_nothing(
    tmp_path: Path, database: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = a_sweep(tmp_path, 6, ENDINGS)
    publish(sweep, uri)
    before, asked = held(database, sweep.identity()), []
    for name in ("create_run", "log_batch", "get_metric_history", "search_runs", "get_run"):
        counted(monkeypatch, Client, name, asked)
    uploaded: list[str] = []
    counted(monkeypatch, LocalArtifactRepository, "log_artifact", uploaded)
    publish(sweep, uri)
    after = held(database, sweep.identity())
    assert sorted(asked) == ["log_batch", "search_runs"]  # the parent's tags, and beside them its files
    assert len(uploaded) == len(list(Path(after[""][0]["artifact_uri"].removeprefix("file://")).rglob("*.*")))
    for runs in (before, after):
        runs[""][0].pop("end_time")
    assert after == before


def counted(monkeypatch: pytest.MonkeyPatch, kind: type, name: str, calls: list[str]) -> None:
    """Note each call of a method, which is made all the same."""
    method = getattr(kind, name)

    def noted(*arguments: Any, **options: Any) -> Any:
        calls.append(name)
        return method(*arguments, **options)

    monkeypatch.setattr(kind, name, noted)


def test_a_trial_takes_three_calls_beside_its_files(tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep, asked = a_sweep(tmp_path, 4, epochs=35), []
    for name in [name for name in dir(Client) if not name.startswith("_")]:
        if callable(getattr(Client, name)):
            counted(monkeypatch, Client, name, asked)
    publish(sweep, uri)
    assert len(asked) <= 4 * 3 + 8


def test_what_a_link_leads_to_is_not_published(tmp_path: Path, uri: str) -> None:
    sweep, secret = a_sweep(tmp_path, 1), tmp_path / "secret"
    secret.write_text("of nobody else's concern")
    artifacts = tmp_path / sweep.name / "trials" / sweep.records()[0].trial.key / "artifacts"
    (artifacts / "notes.txt").symlink_to(secret)
    publisher = Publisher(uri, sweep, experiment())
    publisher.start()
    assert finish(publisher)
    assert "notes.txt is or lies behind a link to elsewhere" in str(publisher.trouble)
    assert not [path for path in tmp_path.rglob("notes.txt") if path.parent != artifacts]


def publishing(sweep: Sweep, uri: str) -> multiprocessing.context.ForkProcess:
    """Another process that publishes a sweep as it runs; forked, for MLflow's import takes seconds."""
    process = multiprocessing.get_context("fork").Process(target=_publish_live, args=(sweep, uri))
    process.start()
    return process


def _publish_live(sweep: Sweep, uri: str) -> None:
    publisher = Publisher(uri, sweep, experiment())
    publisher.start()
    live(publisher, sweep.records(), pause=0.001)
    sys.exit(len(finish(publisher)))


def test_a_publisher_killed_again_and_again_leaves_nothing_double_and_nothing_out(
    tmp_path: Path, database: Path, uri: str
) -> None:
    sweep, draw = a_sweep(tmp_path, 30, ("complete", "pruned", "failed", "diverged")), random.Random(0)
    for _ in range(5):
        process, enough = publishing(sweep, uri), len(held(database, sweep.identity())) + draw.randint(1, 5)
        while process.is_alive() and len(held(database, sweep.identity())) < enough:
            time.sleep(draw.uniform(0, 0.1))
        process.kill()
        process.join()
    assert process.exitcode == -signal.SIGKILL
    process = publishing(sweep, uri)
    process.join()
    assert process.exitcode == 0
    assert_published(database, sweep)


def test_a_database_is_made_whole_though_its_maker_is_killed_and_others_make_it_too(tmp_path: Path) -> None:
    """MLflow's own migrations, cut off in the middle or run twice at once, leave a database that none can use."""
    sweeps, database = [a_sweep(tmp_path / name, 1) for name in "abc"], tmp_path / "mlflow.db"
    killed, *others = [publishing(sweep, f"sqlite:///{database}") for sweep in sweeps]
    while not list(tmp_path.glob("mlflow.db.*.new/mlflow.db")):
        time.sleep(0.01)
    time.sleep(0.2)
    killed.kill()
    for process, sweep in zip(others, sweeps[1:], strict=True):
        process.join()
        assert process.exitcode == 0
        assert_published(database, sweep)
    assert not list(tmp_path.glob("mlflow.db.*.new"))


def test_publishing_says_nothing_and_asks_no_name_server(tmp_path: Path, database: Path, uri: str) -> None:
    """What MLflow logs would tear the live view, and what it tells its makers is no one's business."""
    sweep, script = a_sweep(tmp_path, 2), "import socket; socket.getaddrinfo = print; from publishing import *\n"
    script += f"print(publish(Sweep({str(tmp_path)!r}, 'synthetic'), {uri!r}).missing)"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PYTEST_", "CI"))}
    process = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**kept, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"},
    )
    assert (process.stdout, process.stderr) == ("[]\n", "")
    assert_published(database, sweep)


def test_a_failed_trial_that_is_retried_goes_on_in_its_run(tmp_path: Path, database: Path, uri: str) -> None:
    sweep = a_sweep(tmp_path, 1, ("failed",), epochs=10)
    publish(sweep, uri)
    assert_published(database, sweep)
    record = sweep.records()[0]
    sweep.trial(record.trial.key).reopen()
    publisher = Publisher(uri, sweep, experiment())
    publisher.start()
    write_trial(sweep, record.trial, TrialState.COMPLETE, 10)
    measured_again = sweep.records()[0].result
    assert measured_again is not None
    history = (record.history[0], *measured_again.history[1:])
    measured_again = change_result(sweep, record.trial, history=history, ended=1.9e9)
    live(publisher, sweep.records())
    publisher.retried(record.trial, "no luck")
    publisher.started(record.trial)
    publisher.reported(record.trial, measured_again.history[:5], 4)
    publisher.ended(record.trial, measured_again)
    assert finish(publisher) == []
    assert_published(database, sweep)


def test_a_pruned_trial_that_goes_on_goes_on_in_its_run(tmp_path: Path, database: Path, uri: str) -> None:
    sweep = a_sweep(tmp_path, 1, ("pruned",), epochs=10)
    publish(sweep, uri)
    record = sweep.records()[0]
    write_trial(sweep, record.trial, TrialState.COMPLETE, 10)
    whole = sweep.records()[0].history
    change_result(sweep, record.trial, history=(*record.history, *whole[len(record.history) :]), ended=1.9e9)
    publish(sweep, uri)
    assert_published(database, sweep)


def test_a_trial_that_is_done_anew_keeps_what_was_published_of_it(tmp_path: Path, database: Path, uri: str) -> None:
    """Its numbers are the same, but not its times, by which MLflow would take them for others."""
    sweep = a_sweep(tmp_path, 1)
    publish(sweep, uri)
    trial = sweep.records()[0].trial
    result = sweep.trial(trial.key).read_result()
    later = tuple({**row, "time": row["time"] + 500} for row in result.history)
    change_result(sweep, trial, history=later, ended=result.ended + 500)
    publish(sweep, uri)
    assert_published(database, sweep)


def test_an_interrupted_trial_keeps_the_rows_of_its_checkpoint_and_is_not_left_running(
    tmp_path: Path, database: Path, uri: str
) -> None:
    sweep = a_sweep(tmp_path, 2, ("running",), epochs=10)
    publisher = Publisher(uri, sweep, experiment())
    publisher.start()
    for record in sweep.records():
        publisher.started(record.trial)
        publisher.reported(record.trial, record.history[:3], 2)
    assert finish(publisher, a_parent(is_over=False)) == []
    assert_published(database, sweep, is_over=False)
    for record in sweep.records():
        assert {step for _, step, _ in only(database, sweep, record.trial)["metrics"]} == {1, 2}


def test_runs_that_were_deleted_are_made_again(tmp_path: Path, database: Path, uri: str) -> None:
    sweep, client = a_sweep(tmp_path, 3), MlflowClient(tracking_uri=uri)
    publisher = Publisher(uri, sweep, experiment(), patience_seconds=3)
    publisher.start()
    live(publisher, sweep.records()[:2])
    settled(publisher)
    runs = held(database, sweep.identity())
    for key in ("", sweep.records()[0].trial.key):  # in the middle of the sweep
        client.delete_run(runs[key][0]["run_uuid"])
    assert finish(publisher) == []
    client.delete_run(held(database, sweep.identity())[""][0]["run_uuid"])  # and after it
    publish(sweep, uri)
    assert_published(database, sweep)


def test_an_experiment_that_was_deleted_comes_back(tmp_path: Path, database: Path, uri: str) -> None:
    sweep, client = a_sweep(tmp_path, 2), MlflowClient(tracking_uri=uri)
    publish(sweep, uri)
    client.delete_experiment(client.get_experiment_by_name("synthetic").experiment_id)
    publish(sweep, uri)
    assert_published(database, sweep)


def test_a_run_that_was_made_twice_is_single_again(tmp_path: Path, database: Path, uri: str) -> None:
    sweep, client = a_sweep(tmp_path, 2), MlflowClient(tracking_uri=uri)
    publish(sweep, uri)
    for key in ("", sweep.records()[0].trial.key):
        run = held(database, sweep.identity())[key][0]
        client.create_run(run["experiment_id"], tags=run["tags"])
    publish(sweep, uri)
    assert_published(database, sweep)


def test_a_run_that_has_part_of_its_rows_gets_the_others(tmp_path: Path, database: Path, uri: str) -> None:
    """As after a crash in the middle: parameters and half of the rows are there, the end is not."""
    sweep = a_sweep(tmp_path, 1, epochs=300)
    record = sweep.records()[0]
    publisher = Publisher(uri, sweep, experiment())
    publisher.start()
    publisher.reported(record.trial, record.history[:150], 150)
    settled(publisher)
    assert len(only(database, sweep, record.trial)["metrics"]) == 150 * 7
    publish(sweep, uri)
    assert_published(database, sweep)


@settings(deadline=None)
@given(st.lists(st.integers(1, 900), max_size=30))
def test_a_request_holds_whole_rows(sizes: list[int]) -> None:
    rows = [{f"m{i}": 1.0 for i in range(size)} | {"epoch": step, "time": 1.0} for step, size in enumerate(sizes, 1)]
    batches = list(batches_of(rows))
    steps = [[metric.step for metric in batch] for batch in batches]
    assert [step for batch in steps for step in batch] == [
        step for step, size in enumerate(sizes, 1) for _ in range(size)
    ]
    assert all(set(one).isdisjoint(other) for one, other in itertools.pairwise(steps))
    assert all(len(batch) <= max(METRICS_A_REQUEST, *sizes) for batch in batches)


def test_two_sweeps_of_one_name_stay_apart_on_one_store(tmp_path: Path, database: Path, uri: str) -> None:
    one, other = a_sweep(tmp_path / "one", 3), a_sweep(tmp_path / "other", 3, ("pruned",))
    for sweep in (one, other, one):
        publish(sweep, uri)
    for sweep in (one, other):
        assert_published(database, sweep)


def test_one_trial_that_cannot_be_published_keeps_back_no_other(tmp_path: Path, database: Path, uri: str) -> None:
    sweep = a_sweep(tmp_path, 4)
    broken = sweep.records()[0].trial
    table = sweep.trial(broken.key).artifacts.read("per_class.csv")
    sweep.trial(broken.key).artifacts.write("per_class.csv", b"not,what\nsweeper,wrote\n")
    publisher = Publisher(uri, sweep, experiment())
    publisher.start()
    live(publisher, sweep.records())
    start = time.monotonic()
    assert finish(publisher) == [f"trial {broken.key}"]
    assert time.monotonic() - start < 15
    assert "split" in (publisher.trouble or "")
    runs = held(database, sweep.identity())
    assert [runs[r.trial.key][0]["status"] for r in sweep.records()] == ["RUNNING", "FINISHED", "FINISHED", "FINISHED"]
    assert runs[""][0]["status"] == "FINISHED"
    sweep.trial(broken.key).artifacts.write("per_class.csv", table)
    publish(sweep, uri)
    assert_published(database, sweep)


def test_a_store_that_cannot_be_one_is_told_and_does_not_hang(tmp_path: Path) -> None:
    sweep = a_sweep(tmp_path, 2)
    publisher = publish(sweep, "gopher://nowhere", patience=0.5)
    assert "gopher" in (publisher.trouble or "")
    assert publisher.missing == ["the parent run"]
    assert len(publisher.news) == 2


def test_a_database_that_cannot_be_written_is_told(tmp_path: Path, database: Path, uri: str) -> None:
    sweep = a_sweep(tmp_path, 2)
    locker = sqlite3.connect(database)
    with locker:
        locker.execute("DROP TABLE experiments")
    locker.close()
    publisher = publish(sweep, uri, patience=0.5)
    assert "experiments" in (publisher.trouble or "")
    assert len(publisher.news) == 2


def test_what_is_published_is_remembered_without_its_password(tmp_path: Path, uri: str) -> None:
    sweep = a_sweep(tmp_path, 2)
    secret = "http://me:s3cr3t@host:5000"
    assert not is_published(sweep, sweep.records(), secret)
    note_published(sweep, sweep.records(), secret)
    assert is_published(sweep, sweep.records(), secret)
    assert b"s3cr3t" not in sweep.folder.read("published.json")
    assert not is_published(sweep, sweep.records(), uri)
    change_result(sweep, sweep.records()[0].trial, ended=5.0)
    assert not is_published(sweep, sweep.records(), secret)
    for damaged in (b"{", b"[]", b"{}"):
        sweep.folder.write("published.json", damaged)
        assert not is_published(sweep, sweep.records(), secret)


def test_the_run_of_a_trial_that_is_gone_from_the_folder_is_ended_and_kept(
    tmp_path: Path, database: Path, uri: str
) -> None:
    sweep = a_sweep(tmp_path, 3, ("complete", "running"))
    first, gone, last = (record.trial for record in sweep.records())
    SweepRuns(uri, sweep, experiment()).publish(gone, (), None, is_running=True)  # by a driver that was then killed
    shutil.rmtree(sweep.trial(gone.key).path)
    assert publish(sweep, uri).missing == []
    runs = held(database, sweep.identity())
    statuses = {key: [run["status"] for run in found] for key, found in runs.items()}
    assert statuses == {"": ["FINISHED"], first.key: ["FINISHED"], gone.key: ["KILLED"], last.key: ["FINISHED"]}
    assert has_all_runs(uri, sweep, experiment(), sweep.records())
    SweepRuns(uri, sweep, experiment()).publish(gone, (), None, is_running=True)
    assert not has_all_runs(uri, sweep, experiment(), sweep.records())


@pytest.mark.parametrize("is_seen_running", [False, True])
def test_the_error_of_a_trial_that_was_tried_again_and_completed_does_not_stay(
    tmp_path: Path, database: Path, uri: str, is_seen_running: bool
) -> None:
    sweep = a_sweep(tmp_path, 2, ("failed", "complete"))
    trials = [record.trial for record in sweep.records()]
    publish(sweep, uri)
    errors = [
        Path(only(database, sweep, trial)["artifact_uri"].removeprefix("file://"), "error.txt") for trial in trials
    ]
    assert errors[0].read_text() == "RuntimeError: no luck"
    if is_seen_running:  # by a driver that was then killed
        SweepRuns(uri, sweep, experiment()).publish(trials[0], (), None, is_running=True)
    write_trial(sweep, trials[0], TrialState.COMPLETE, 4)
    assert publish(sweep, uri).missing == []
    assert errors[0].read_text() == "It had failed; tried again, it is complete.\n"
    assert not errors[1].exists()
    assert_published(database, sweep)


def half(database: Path) -> None:
    database.write_bytes(database.read_bytes()[: database.stat().st_size // 2])


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_bytes(b""), half])
def test_a_database_that_is_gone_or_damaged_has_nothing_published(
    tmp_path: Path, database: Path, uri: str, damage: Callable[[Path], object]
) -> None:
    sweep = a_sweep(tmp_path, 1)
    publish(sweep, uri)
    note_published(sweep, sweep.records(), uri)
    assert is_published(sweep, sweep.records(), uri)
    damage(database)
    assert not is_published(sweep, sweep.records(), uri)


def test_a_database_that_was_made_anew_for_another_sweep_has_nothing_of_this_one(
    tmp_path: Path, empty: Path, database: Path, uri: str
) -> None:
    sweep = a_sweep(tmp_path, 2)
    publish(sweep, uri)
    note_published(sweep, sweep.records(), uri)
    shutil.copy(empty, database)
    publish(a_sweep(tmp_path / "other", 2), uri)
    assert not is_published(sweep, sweep.records(), uri)
    publish(sweep, uri)
    assert is_published(sweep, sweep.records(), uri)


def test_files_that_were_removed_from_the_store_are_given_to_it_again(tmp_path: Path, database: Path, uri: str) -> None:
    sweep, store = a_sweep(tmp_path, len(ENDINGS), ENDINGS), tmp_path / "mlflow-artifacts"
    publish(sweep, uri)
    note_published(sweep, sweep.records(), uri)
    assert is_published(sweep, sweep.records(), uri)
    before = {path.relative_to(store): path.read_bytes() for path in store.rglob("*") if path.is_file()}
    shutil.rmtree(store)
    assert not is_published(sweep, sweep.records(), uri)
    publish(sweep, uri)
    assert {path.relative_to(store): path.read_bytes() for path in store.rglob("*") if path.is_file()} == before
    assert is_published(sweep, sweep.records(), uri)
    assert_published(database, sweep)


def test_files_of_one_run_that_were_removed_are_missed_and_given_to_it_again(
    tmp_path: Path, database: Path, uri: str
) -> None:
    sweep, store = a_sweep(tmp_path, 2), tmp_path / "mlflow-artifacts"
    publish(sweep, uri)
    note_published(sweep, sweep.records(), uri)
    run = only(database, sweep, sweep.records()[0].trial)["run_uuid"]
    (folder,) = store.rglob(f"{run}/artifacts")
    before = sorted(folder.iterdir())
    shutil.rmtree(folder)
    assert not is_held(sweep, experiment(), sweep.records(), uri)
    folder.parent.rmdir()
    assert not is_published(sweep, sweep.records(), uri)
    publish(sweep, uri)
    assert sorted(folder.iterdir()) == before
    assert is_held(sweep, experiment(), sweep.records(), uri)


def test_an_empty_file_is_made_a_database(tmp_path: Path, database: Path, uri: str) -> None:
    database.write_bytes(b"")
    sweep = a_sweep(tmp_path, 1)
    assert publish(sweep, uri).missing == []
    assert_published(database, sweep)


@pytest.mark.parametrize("damage", [half, lambda file: file.write_bytes(b"\0" * 100)])
def test_a_damaged_database_is_named_with_what_to_do(
    tmp_path: Path, database: Path, uri: str, damage: Callable[[Path], object]
) -> None:
    sweep = a_sweep(tmp_path, 1)
    publish(sweep, uri)
    damage(database)
    publisher = publish(sweep, uri)
    assert publisher.missing
    assert f"{database} is damaged" in (publisher.trouble or "")
    assert "move it away" in (publisher.trouble or "")


@pytest.mark.parametrize("name", ["with space", "a#b", "100%20", "é🐟", "what?", "me@work:x", "o'clock"])
def test_a_storage_may_have_any_name(tmp_path: Path, empty: Path, database: Path, name: str) -> None:
    storage = tmp_path / name
    sweep = a_sweep(storage, 1)
    shutil.copy(empty, storage / "mlflow.db")
    assert publish(sweep, stored_uri(str(storage))).missing == []
    assert_published(storage / "mlflow.db", sweep)


def test_publishing_leaves_the_process_as_it_was(tmp_path: Path, database: Path, uri: str) -> None:
    """A sweep published to one store must not send the next one there."""
    before, sweep = dict(os.environ), a_sweep(tmp_path, 1)
    publish(sweep, uri)
    assert {name: os.environ[name] for name in os.environ if before.get(name) != os.environ[name]} == {}
    assert stored_uri("/elsewhere") == "sqlite:////elsewhere/mlflow.db"
    assert logging.getLogger().level == logging.WARNING
    assert math.isfinite(len(dump(database)))
