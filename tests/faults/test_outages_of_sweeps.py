"""Whole sweeps whose tracking server is away, and what `sweeper sync` then makes of it."""

import itertools
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow_servers import MlflowServer, Proxy, dump, free_port, held
from rich.console import Console

from sweeper.publishing import publish
from sweeper.reading import read_experiment
from sweeper.store import Sweep
from tests.command import check_mlflow, ended, here, started, table, until

EXPERIMENT = """
name: grid
data: {name: digits, image_size: 8, classes: 3, augment: []}
model: {name: logistic_regression}
train: {epochs: 2, batch_size: 64}
search: {space: {lr: [0.1, 0.03]}}
checkpoint: {every_seconds: 0}
"""
TRIALS = 2
GIVEN_UP = 300  # seconds from the last trial to the exit, on a busy machine; on an idle one 30
pytest_plugins = ("tracking_fixtures",)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "grid.yaml"
    path.write_text(EXPERIMENT)
    return path


def test_a_server_that_is_down_to_the_end_is_told_of_and_sync_completes_it(
    file: Path, tmp_path: Path, empty: Path
) -> None:
    """On another, empty store; a second `sync` changes nothing, a third makes again what was deleted in MLflow."""
    away = f"http://127.0.0.1:{free_port()}"
    database = Path(shutil.copy(empty, tmp_path / "mlflow.db"))
    arguments = ["run", file, "--executor", "inline", "--storage", tmp_path, "--tracking-uri", away]
    done = here(*arguments, expect=4)
    assert "not published: 3 of the runs" in done.stderr
    assert f"sweeper sync grid --storage {tmp_path} --tracking-uri {away}" in done.stderr
    elsewhere = ("sync", "grid", "--storage", tmp_path, "--tracking-uri", f"sqlite:///{database}")
    here(*elsewhere)
    check_mlflow(tmp_path, TRIALS)
    before = dump(database)
    assert "nothing to publish" in here(*elsewhere).stderr
    assert dump(database) == before
    client = MlflowClient(f"sqlite:///{database}")
    (experiment,) = [one for one in client.search_experiments() if one.name == "grid"]
    for run in client.search_runs([experiment.experiment_id])[:2]:
        client.delete_run(run.info.run_id)
    client.delete_experiment(experiment.experiment_id)
    here(*elsewhere)
    runs = held(database, Sweep(str(tmp_path), "grid").identity())
    assert [len(found) for found in runs.values()] == [1] * (TRIALS + 1)
    assert {run["status"] for (run,) in runs.values()} == {"FINISHED"}


def in_the_long_form(is_long: bool) -> None:
    if not is_long:
        pytest.skip("in the long form")


@pytest.fixture
def server(tmp_path: Path, empty: Path, is_long: bool) -> Iterator[MlflowServer]:
    in_the_long_form(is_long)
    folder = tmp_path / "server"
    folder.mkdir()
    server = MlflowServer(folder, Path(shutil.copy(empty, folder / "mlflow.db")))
    yield server
    server.kill()


def assert_all_there(server: MlflowServer, storage: Path, trials: int = TRIALS) -> None:
    """One parent, one run a trial, all ended, each (run, metric, step) once, with every row of the history."""
    sweep = Sweep(str(storage), "grid")
    runs = held(server.database, sweep.identity())
    assert [len(found) for found in runs.values()] == [1] * (trials + 1)
    for record in sweep.records():
        (run,) = runs[record.trial.key]
        steps = [(name, step) for name, step, _ in run["metrics"]]
        assert len(steps) == len(set(steps))
        assert {step for name, step in steps if name == "train/loss"} == {int(row["epoch"]) for row in record.history}
        assert run["status"] == "FINISHED"
    assert runs[""][0]["status"] == "FINISHED"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", ["500", "hang", "half", "refuse", "lose"])
def test_a_server_that_spoils_every_request_of_a_sweep_is_given_up_in_time(
    file: Path, tmp_path: Path, server: MlflowServer, proxy: Proxy, mode: str
) -> None:
    """And the person is told what is waited for."""
    proxy.mode = mode
    where = ["--storage", tmp_path, "--tracking-uri", proxy.uri]
    with started("run", file, "--executor", "inline", *where) as process:
        until(lambda: ended(tmp_path, "grid") == TRIALS, process, 600)
        last = time.monotonic()
        _, errors = process.communicate(timeout=600)
    assert process.returncode == 4
    assert time.monotonic() - last < GIVEN_UP
    assert f"waiting for MLflow at {proxy.uri}" in errors or mode in ("500", "refuse", "lose")
    assert f"sweeper sync grid --storage {tmp_path} --tracking-uri {proxy.uri}" in errors
    proxy.released.set()
    proxy.mode = "pass"
    here("sync", "grid", *where)
    assert_all_there(server, tmp_path)
    before = dump(server.database)
    assert "nothing to publish" in here("sync", "grid", *where).stderr
    assert dump(server.database) == before


@pytest.mark.timeout(900)
def test_a_server_that_is_killed_for_a_minute_in_a_sweep_on_ray_misses_nothing(
    file: Path, tmp_path: Path, server: MlflowServer
) -> None:
    rates = "search.space.lr=[" + ", ".join(f"0.{number:02}" for number in range(1, 41)) + "]"
    where = ["--storage", tmp_path, "--tracking-uri", server.uri]
    slow = ["--set", rates, "--set", "train.epochs=40", "--set", "artifacts.models=none"]
    with started("run", file, *where, *slow) as process:
        until(lambda: ended(tmp_path, "grid") >= 2, process, 600)
        server.kill()
        came_back = threading.Timer(60, server.start)
        came_back.start()
        _, errors = process.communicate(timeout=600)
        came_back.join()
    assert process.returncode in (0, 4), errors
    assert server.uri
    here("sync", "grid", *where)
    assert_all_there(server, tmp_path, 40)
    assert table(tmp_path, "grid").count(",complete,") == 40


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("mode", ["lose", "500"])
def test_whichever_request_of_a_sync_is_spoilt_there_is_one_model_and_one_version_of_it(
    file: Path, tmp_path: Path, server: MlflowServer, proxy: Proxy, mode: str
) -> None:
    """The first, the second, ... until none is left; the best model is logged and registered."""
    here("run", file, "--executor", "inline", "--storage", tmp_path)
    assert server.uri
    proxy.target, experiment = server.port, read_experiment(EXPERIMENT, "grid.yaml")
    for place in itertools.count(1):
        sweep = Sweep(str(shutil.copytree(tmp_path / "grid", tmp_path / f"at{place}" / "grid").parent), "grid")
        for name in ("sweep.json", "published.json"):
            sweep.folder.remove(name)
        proxy.spoil(lambda count, place=place: mode if count == place else "pass")
        missing = publish(sweep, experiment, sweep.all_records(), proxy.uri, Console(quiet=True), f"net{place}")
        reached, _ = proxy.count >= place, proxy.spoil(None)
        assert missing == [], place
        assert_all_there(server, Path(sweep.storage.path))
        assert one_model(server, sweep, f"net{place}") == 1, place
        if not reached:
            assert place > 25
            return


def one_model(server: MlflowServer, sweep: Sweep, registered: str) -> int:
    """How many models the parent run has; each is whole, and one version of one is registered."""
    client = MlflowClient(server.uri)
    (parent,) = held(server.database, sweep.identity())[""]
    models = client.search_logged_models([str(parent["experiment_id"])])
    own = [model for model in models if model.source_run_id == parent["run_uuid"]]
    assert all(str(model.status) == "READY" for model in own)
    versions = client.search_model_versions(f"name = '{registered}'")
    assert [version.source for version in versions] == [model.artifact_location for model in own]
    assert client.search_runs([parent["experiment_id"]], run_view_type=ViewType.ACTIVE_ONLY)
    return len(own)
