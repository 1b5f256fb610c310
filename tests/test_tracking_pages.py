"""What people find in MLflow: tables, pictures, filters, nested runs, and pages that `sweeper ui` and the dashboard link to.

All by MLflow's own functions, over a real database or a real server.
"""

import http.client
import io
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from command import ROOT
from folders import synthetic_trial, write_trial
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow_servers import MlflowServer, free_port, held
from publishing import a_parent, a_sweep, assert_published, experiment, publish

from sweeper.publishing import leaderboard
from sweeper.results import trials_table
from sweeper.store import Sweep
from sweeper.text.redaction import redacted
from sweeper.tracking import Publisher, is_published, note_published, note_runs, pages, run_pages
from sweeper.tracking.mlflow_store import SweepRuns
from sweeper.tracking.settings import SETTINGS
from sweeper.trial import TrialState

pytest_plugins = ("tracking_fixtures",)


@pytest.fixture
def loading(uri: str) -> Iterator[MlflowClient]:
    """MLflow's `load_table` looks at the process's own tracking URI."""
    mlflow.set_tracking_uri(uri)
    yield MlflowClient(uri)
    mlflow.set_tracking_uri(None)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, empty: Path) -> Iterator[MlflowServer]:
    folder = tmp_path_factory.mktemp("server")
    server = MlflowServer(folder, Path(shutil.copy(empty, folder / "mlflow.db")))
    yield server
    server.kill()


def experiment_id(client: MlflowClient) -> str:
    return str(client.get_experiment_by_name("synthetic").experiment_id)


def run_of(database: Path, sweep: Sweep, key: str) -> dict[str, Any]:
    (run,) = held(database, sweep.identity())[key]
    return run


def paint(sweep: Sweep, key: str, name: str, content: bytes = b"PNG") -> None:
    sweep.trial(key).artifacts.sub("pictures").write(name, content)


def artifacts(client: MlflowClient, run_id: str, folder: str | None = None) -> set[str]:
    return {file.path for file in client.list_artifacts(run_id, folder)}


HOSTILE = ["..", "a/b", "<script>", "🐟", "سمكة", "=HYPERLINK(1)", "x" * 300, 'quo"te, comma']


@pytest.mark.parametrize("publishings", [1, 3])
def test_mlflow_loads_the_per_class_table_of_every_run_once(
    tmp_path: Path, database: Path, uri: str, loading: MlflowClient, publishings: int
) -> None:
    sweep = a_sweep(tmp_path, 3, classes=HOSTILE)
    for _ in range(publishings):
        publish(sweep, uri)
    for key in (record.trial.key for record in sweep.records()):
        table = sweep.trial(key).artifacts.read("per_class.csv").decode()
        wanted = pd.read_csv(io.StringIO(table))
        run_id = run_of(database, sweep, key)["run_uuid"]
        loaded = loading.load_table(experiment_id(loading), "per_class.json", [run_id])
        pd.testing.assert_frame_equal(loaded[list(wanted.columns)], wanted)
    of_all = loading.load_table(experiment_id(loading), "per_class.json", extra_columns=["run_id"])
    assert of_all["run_id"].nunique() == 3
    assert len(of_all) == 3 * 2 * 8


def test_a_table_downloaded_from_mlflow_runs_no_formula_and_the_folders_is_as_it_was(
    tmp_path: Path, database: Path, uri: str, loading: MlflowClient
) -> None:
    sweep = a_sweep(tmp_path, 1, classes=["=1+1|cmd", "frog;@x", 'quo"te, comma', "cat"])
    key = sweep.records()[0].trial.key
    folder = sweep.trial(key).artifacts
    folder.write("confusion.csv", b"true\\predicted,=1+1|cmd,cat\n=1+1|cmd,1,0\ncat,0.5,\n")
    kept = {name: folder.read(name) for name in ("per_class.csv", "confusion.csv")}
    publish(sweep, uri)
    run_id = run_of(database, sweep, key)["run_uuid"]
    loaded = {name: Path(loading.download_artifacts(run_id, name, str(tmp_path))).read_text() for name in kept}
    assert loaded["confusion.csv"] == "true\\predicted,'=1+1|cmd,cat\n'=1+1|cmd,1,0\ncat,0.5,\n"
    plain = kept["per_class.csv"].decode().replace("\r\n", "\n")
    assert loaded["per_class.csv"] == plain.replace("=1+1", "'=1+1").replace("frog;@x", '"frog;\'@x"')
    assert {name: folder.read(name) for name in kept} == kept


def test_the_parent_shows_a_table_that_mlflow_loads(
    tmp_path: Path, database: Path, uri: str, loading: MlflowClient
) -> None:
    sweep = a_sweep(tmp_path, 1)
    leaderboard = pd.DataFrame(
        {"lr": [0.1, 1e-05], "n": pd.array([3, None], "Int64"), "top1": [1 / 3, float("nan")], "loss": ["a", "🐟 <b>"]}
    )
    for _ in range(2):
        publish(sweep, uri, a_parent(tables={"leaderboard.json": leaderboard}))
    parent = run_of(database, sweep, "")
    assert json.loads(parent["tags"]["mlflow.loggedArtifacts"]) == [{"path": "leaderboard.json", "type": "table"}]
    loaded = loading.load_table(experiment_id(loading), "leaderboard.json", [parent["run_uuid"]])
    pd.testing.assert_frame_equal(loaded, leaderboard.astype({"n": float}), rtol=1e-14, check_dtype=False)


def test_the_leaderboard_has_a_row_a_cell_best_first_and_the_objective_after_the_axes(tmp_path: Path) -> None:
    sweep = Sweep(str(tmp_path), "synthetic")
    for number, (lr, seed) in enumerate([(0.1, 0), (0.01, 0), (0.1, 1), (0.01, 1), (0.001, 0)]):
        write_trial(sweep, synthetic_trial(number, {"lr": lr}, seed), TrialState.COMPLETE)
    trials = trials_table(sweep.records(), ["lr"])
    table = leaderboard(trials, ["lr"], experiment())
    assert list(table.columns[:3]) == ["lr", "val/top1_mean", "val/top1_std"]
    means = trials.groupby("lr")["val/top1"].mean().sort_values(ascending=False)
    assert list(table["lr"]) == list(means.index)
    assert list(table["val/top1_mean"]) == pytest.approx(list(means))
    assert list(table["seeds"]) == [2 if lr > 0.001 else 1 for lr in means.index]
    assert not table.isna().all().any()


def test_tables_that_someone_else_logged_stay_known(
    tmp_path: Path, database: Path, uri: str, loading: MlflowClient
) -> None:
    sweep = a_sweep(tmp_path, 1)
    publish(sweep, uri)
    key = sweep.records()[0].trial.key
    run_id = run_of(database, sweep, key)["run_uuid"]
    loading.log_table(run_id, {"note": ["mine"]}, "mine.json")
    paint(sweep, key, "late.png")
    publish(sweep, uri)
    assert list(loading.load_table(experiment_id(loading), "mine.json", [run_id])["note"]) == ["mine"]
    assert len(loading.load_table(experiment_id(loading), "per_class.json", [run_id])) == 20


def test_pictures_are_uploaded_also_those_that_come_long_after_the_end(
    tmp_path: Path, database: Path, uri: str
) -> None:
    sweep, client = a_sweep(tmp_path, 3, ("complete", "failed", "pruned")), MlflowClient(uri)
    keys = [record.trial.key for record in sweep.records()]
    for key in keys:
        paint(sweep, key, "predictions.png")
    publish(sweep, uri)
    runs = [run_of(database, sweep, key)["run_uuid"] for key in keys]
    assert [artifacts(client, run, "pictures") for run in runs] == [{"pictures/predictions.png"}] * 3
    paint(sweep, keys[0], "saliency.png", b"a PNG")
    paint(sweep, keys[0], "half.png.1a2b3c4d.tmp")
    before = [run_of(database, sweep, key) for key in keys]
    publish(sweep, uri)
    assert artifacts(client, runs[0], "pictures") == {"pictures/predictions.png", "pictures/saliency.png"}
    after = [run_of(database, sweep, key) for key in keys]
    digests = [[run["tags"].pop("sweeper.files") for run in runs] for runs in (before, after)]
    assert [old == new for old, new in zip(*digests, strict=True)] == [False, True, True]
    assert after == before
    assert_published(database, sweep)


def test_the_model_is_no_file_of_a_trials_run(tmp_path: Path, database: Path, uri: str) -> None:
    sweep = a_sweep(tmp_path, 1)
    key = sweep.records()[0].trial.key
    sweep.trial(key).artifacts.write("model.pt", b"weights")
    publish(sweep, uri)
    assert artifacts(MlflowClient(uri), run_of(database, sweep, key)["run_uuid"]) == {"per_class.csv", "per_class.json"}


def test_a_picture_that_could_not_be_uploaded_is_uploaded_the_next_time(
    tmp_path: Path, database: Path, uri: str
) -> None:
    sweep, client = a_sweep(tmp_path, 1), MlflowClient(uri)
    key = sweep.records()[0].trial.key
    publish(sweep, uri)
    run = run_of(database, sweep, key)
    place = Path(run["artifact_uri"].removeprefix("file://"), "pictures")
    place.write_bytes(b"a file where the folder should be")
    paint(sweep, key, "late.png")
    assert list(publish(sweep, uri).news) == [key]
    place.unlink()
    assert not publish(sweep, uri).news
    assert artifacts(client, run["run_uuid"], "pictures") == {"pictures/late.png"}


def test_a_new_picture_makes_a_sweep_that_was_published_unpublished(tmp_path: Path, uri: str) -> None:
    sweep = a_sweep(tmp_path, 2)
    publish(sweep, uri)
    note_published(sweep, sweep.records(), uri)
    assert is_published(sweep, sweep.records(), uri)
    paint(sweep, sweep.records()[1].trial.key, "saliency.png")
    assert not is_published(sweep, sweep.records(), uri)


def test_nobody_is_told_that_a_store_was_asked(tmp_path: Path) -> None:
    """MLflow would note an id of this machine in the user's folder, and send it with what was called."""
    code = f"from sweeper.tracking.pages import unanswered; unanswered('sqlite:///{tmp_path}/mlflow.db')"
    own = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    own |= {"HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=own)
    assert not (tmp_path / "home").exists()


def search(uri: str, wanted: str, order: str = "tags.sweeper.number ASC") -> list[Run]:
    client = MlflowClient(uri)
    found: list[Run] = client.search_runs([experiment_id(client)], wanted, order_by=[order])
    return found


@pytest.fixture(scope="module")
def served(server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Sweep]:
    """A sweep on a real server: ten learning rates, 0.001 to 0.01; of four, one is pruned and one has diverged."""
    with pytest.MonkeyPatch.context() as patched:
        for name, value in SETTINGS.items():
            patched.setenv(name, value)
        sweep = a_sweep(tmp_path_factory.mktemp("served"), 10, ("complete", "complete", "pruned", "diverged"))
        assert publish(sweep, server.uri).missing == []
    return server.uri, sweep


FILTERS: list[tuple[str, Any]] = [
    ("params.lr = '0.01'", lambda r: r.trial.config["train"]["lr"] == 0.01),
    ("params.lr LIKE '0.00%'", lambda r: r.trial.config["train"]["lr"] < 0.01),
    ("params.`model.name` = 'alexnet' AND params.seed = '0'", lambda r: True),
    ("metrics.`val/top1` > 0.4", lambda r: r.history[-1]["val/top1"] > 0.4),
    ("metrics.`test/top1` > 0", lambda r: r.state.value == "complete"),
    ("tags.sweeper.state = 'complete'", lambda r: r.state.value == "complete"),
    ("tags.sweeper.state != 'complete'", lambda r: r.state.value in ("pruned", "diverged")),
    ("attributes.status = 'KILLED'", lambda r: r.state.value == "pruned"),
    ("tags.sweeper.number = '7'", lambda r: r.trial.number == 7),
    ("tags.sweeper.sweep = 'synthetic' AND tags.sweeper.trial_key LIKE '%'", lambda r: True),
]


@pytest.mark.parametrize(("wanted", "is_meant"), FILTERS, ids=[wanted for wanted, _ in FILTERS])
def test_filters_find_the_trials_that_the_folder_says(served: tuple[str, Sweep], wanted: str, is_meant: Any) -> None:
    uri, sweep = served
    meant = {record.trial.key for record in sweep.records() if is_meant(record)}
    assert meant
    assert {run.data.tags.get("sweeper.trial_key") for run in search(uri, wanted)} == meant


def test_mlflow_takes_the_filters_of_the_manual(served: tuple[str, Sweep]) -> None:
    manual = (Path(__file__).parent.parent / "docs" / "mlflow.md").read_text()
    filters = manual.partition("Three filters")[2].partition("```\n")[2].partition("```")[0].splitlines()
    assert len(filters) == 3
    good = [r for r in served[1].records() if r.state == "complete" and r.history[-1]["val/top1"] > 0.5]
    assert len(search(served[0], filters[0])) == len(good) > 0
    assert len(search(served[0], filters[1])) == 1
    assert len(search(served[0], filters[2].replace("alexnet_grid", "synthetic"))) == 4


def test_metrics_sort_as_numbers(served: tuple[str, Sweep]) -> None:
    uri, sweep = served
    runs = search(uri, "tags.sweeper.state = 'complete'", "metrics.`test/top1` DESC")
    tested = {r.trial.key: r.result.summary["test/top1"] for r in sweep.records() if r.state == "complete" and r.result}
    assert [run.data.tags["sweeper.trial_key"] for run in runs] == sorted(tested, key=lambda key: -tested[key])


def test_trials_nest_under_the_sweep(served: tuple[str, Sweep]) -> None:
    uri, sweep = served
    (parent,) = search(uri, "tags.sweeper.sweep = 'synthetic' AND attributes.run_name = 'synthetic'")
    children = search(uri, f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    assert [run.data.tags["sweeper.trial_key"] for run in children] == [r.trial.key for r in sweep.records()]


def test_a_server_is_asked_for_a_table_and_a_picture_as_a_database_is(
    tmp_path: Path, server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, client = a_sweep(tmp_path, 1), MlflowClient(server.uri)
    key = sweep.records()[0].trial.key
    paint(sweep, key, "saliency.png", b"x" * 5000)
    assert publish(sweep, server.uri).missing == []
    run_id = run_of(server.database, sweep, key)["run_uuid"]
    monkeypatch.setattr(mlflow.tracking._tracking_service.utils, "_tracking_uri", server.uri)
    assert len(client.load_table(experiment_id(client), "per_class.json", [run_id])) == 20
    assert Path(client.download_artifacts(run_id, "pictures/saliency.png", str(tmp_path))).read_bytes() == b"x" * 5000


def test_links_lead_to_the_runs_of_the_trials(tmp_path: Path, database: Path, uri: str) -> None:
    sweep = a_sweep(tmp_path, 3, ("complete", "waiting"))
    assert run_pages(sweep) == {}
    publisher = Publisher(uri, sweep, experiment(), patience_seconds=5)
    publisher.start()
    publisher.settle(sweep.records())
    note_runs(sweep, publisher)
    runs = {record.trial.key: run_of(database, sweep, record.trial.key) for record in sweep.records()}
    wanted = {key: f"/#/experiments/{run['experiment_id']}/runs/{run['run_uuid']}" for key, run in runs.items()}
    shown = {
        key: page.removeprefix("http://127.0.0.1:5000").partition("?")[0] for key, page in run_pages(sweep).items()
    }
    assert shown == wanted
    assert not is_published(sweep, sweep.records(), uri)  # the parent is not
    assert publisher.finish(sweep.records(), a_parent(is_over=False)) == []
    note_published(sweep, sweep.records(), uri)
    assert is_published(sweep, sweep.records(), uri)
    assert set(run_pages(sweep)) == set(wanted)
    assert_published(database, sweep, is_over=False)


@pytest.mark.parametrize(
    ("uri", "root"),
    [
        ("http://me:s3cr3t@host:8080/mlflow/?token=abc", "http://host:8080/mlflow"),
        ("http://me:s3cr#t@host:8080", "http://host:8080"),
        ("http://me:s3/cr?t x@host:8080/mlflow", "http://host:8080/mlflow"),
        ("https://host", "https://host"),
        ("sqlite:////a/b.db", "http://127.0.0.1:5000"),
        ("postgresql://me:s3cr3t@db/mlflow", "http://127.0.0.1:5000"),
        ("databricks", None),
        ("file:///a/mlruns", None),
    ],
)
def test_a_store_has_its_ui_at(uri: str, root: str | None) -> None:
    assert pages.root(uri) == root
    assert pages.root(redacted(uri)) == root


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b"{}", b'{"uri": 3, "experiment_id": "1", "runs": {}}', b'{"uri": "http://h"}']
)
def test_without_what_was_published_there_are_no_links(tmp_path: Path, content: bytes) -> None:
    sweep = a_sweep(tmp_path, 1)
    sweep.folder.write("published.json", content)
    assert run_pages(sweep) == {}


def test_settling_does_not_wait_for_a_store_that_is_out(tmp_path: Path) -> None:
    sweep = a_sweep(tmp_path, 2)
    publisher = Publisher(f"http://127.0.0.1:{free_port()}", sweep, experiment(), patience_seconds=0.2)
    publisher.patience = 60
    publisher.start()
    publisher.settle(sweep.records())
    assert publisher.run_ids == {}
    publisher.patience = 0.2
    assert len(publisher.finish(sweep.records(), a_parent())) == 3


def sweeper_ui(*arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    command = [sys.executable, "-m", "sweeper", "ui", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=kept, timeout=120)


EXPERIMENT = b"name: synthetic\ndata: {name: digits}\nmodel: {name: alexnet}\n"


def test_ui_tells_where_a_server_has_the_sweep(served: tuple[str, Sweep], tmp_path: Path) -> None:
    uri, _ = served
    sweep = a_sweep(tmp_path, 1)
    sweep.folder.write("experiment.yaml", EXPERIMENT)
    told = sweeper_ui("synthetic", "--storage", str(tmp_path), "--tracking-uri", uri.replace("//", "//me:s3cr3t@"))
    assert (told.returncode, told.stdout) == (0, "")
    assert f"{uri}/#/experiments/{experiment_id(MlflowClient(uri))}/runs" in told.stderr
    assert "s3cr3t" not in told.stderr


def test_ui_says_what_to_do_when_the_port_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        a_sweep(tmp_path / "one storage", 1).folder.write("experiment.yaml", EXPERIMENT)
        given = ["--storage", str(tmp_path / "one storage"), "--tracking-uri", f"sqlite:///{tmp_path}/one store.db"]
        told, alone = sweeper_ui("synthetic", *given, "--port", str(port)), sweeper_ui(*given, "--port", str(port))
    for words, done in (["synthetic"], told), ([], alone):
        assert done.returncode == 2
        assert f"port {port} is taken" in done.stderr
        again = shlex.split(done.stderr.partition("try another: ")[2])
        at = again.index("--port")
        assert [*again[:at], *again[at + 2 :]] == ["sweeper", "ui", *words, *given]
        assert int(again[at + 1]) != port
        assert "Traceback" not in done.stderr


def test_a_store_without_the_sweep_or_without_an_answer_is_told(uri: str) -> None:
    found, trouble = pages.find_experiment(uri, "nothing", "sweeper sync nothing --storage here")
    assert found is None
    assert trouble.endswith("publish it with: sweeper sync nothing --storage here")
    assert "Is it running?" in pages.find_experiment(f"http://127.0.0.1:{free_port()}", "nothing", "")[1]


def test_a_database_has_the_sweep_where_the_ui_serves_it(tmp_path: Path, uri: str) -> None:
    found, trouble = pages.find_experiment(uri, "synthetic", "")
    assert (found, bool(trouble)) == (None, True)
    made = SweepRuns(uri, a_sweep(tmp_path, 1), experiment()).experiment_id
    assert pages.find_experiment(uri, "synthetic", "") == (made, "")


def answered(port: int, host: str, path: str = "/") -> int:
    """The status of an answer to a request that names a host."""
    asking = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        asking.request("GET", path, headers={"Host": host})
        return asking.getresponse().status
    finally:
        asking.close()


def test_ui_answers_nobody_who_asks_for_another_host_and_hides_the_address(tmp_path: Path, empty: Path) -> None:
    """A page at evil.example whose name is made to lead to this machine, and whoever lists the processes."""
    shutil.copy(empty, tmp_path / "mlflow.db")
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    command = [sys.executable, "-m", "sweeper", "ui", "--storage", str(tmp_path), "--port", str(port)]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(command, env=kept, stdout=log, stderr=log, start_new_session=True)
    try:
        limit = time.monotonic() + 200
        while time.monotonic() < limit and server.poll() is None:
            with suppress(OSError):
                if answered(port, f"localhost:{port}", "/health") == 200:
                    break
            time.sleep(0.2)
        hosts = (
            "evil.example",
            f"10.evil.example:{port}",
            "192.168.evil.example",
            f"localhost:{port}",
            f"127.0.0.1:{port}",
        )
        assert [answered(port, host) for host in hosts] == [403, 403, 403, 200, 200]
        assert b"sqlite" not in Path(f"/proc/{server.pid}/cmdline").read_bytes()
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
