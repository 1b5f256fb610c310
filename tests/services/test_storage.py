"""A storage on S3: what is promised of a folder on this machine is promised there too. SeaweedFS is the server."""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from s3fs import S3FileSystem

from sweeper.store import Folder, Result, Sweep, lease, remote
from sweeper.store.remote import StoreError
from sweeper.tracking import stored_uri
from sweeper.tracking.names import sqlite_path
from sweeper.trial import TrialState
from tests.command import ROOT, check_mlflow, here, started, table, until
from tests.services.s3_server import S3Server, s3_server, weed
from tests.test_store import ROWS, TRIAL

pytestmark = [
    pytest.mark.skipif(weed() is None, reason="there is no weed (SeaweedFS): make test-services installs it"),
    pytest.mark.timeout(900),
]

EXPERIMENT = """
name: on s3
data: {name: digits, image_size: 8, classes: 4}
model: {name: logistic_regression}
train: {epochs: 4, batch_size: 64}
search: {space: {lr: [0.1, 0.03, 0.01]}}
checkpoint: {every_seconds: 0}
"""
HOLD = """
import sys, time
from sweeper.store import Sweep
with Sweep(*sys.argv[1:3]).lock(lambda told: print(told, flush=True)):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3") / "server") as made:
        yield made


@pytest.fixture
def storage(server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The URL of a storage that nobody has used."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("SWEEPER_CACHE", str(tmp_path / "cache"))
    S3FileSystem.clear_instance_cache()
    remote._standing.cache_clear()
    S3FileSystem().makedirs("s3://sweeps", exist_ok=True)
    return f"s3://sweeps/{uuid.uuid4().hex}/a storage é"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "experiment.yaml"
    path.write_text(EXPERIMENT)
    return path


def test_files_are_read_as_they_were_written_by_whoever_wrote_last(storage: str) -> None:
    folder, other = Folder(storage), Folder(storage)
    assert (folder.names(), folder.exists("a.json"), other.files(depth=2)) == ([], False, {})
    other.write_json("a.json", {"x": 1.5})
    other.sub("b").write("c.bin", b"12345")
    assert (folder.names(), folder.exists("a.json"), folder.read_json("a.json")) == (["a.json", "b"], True, {"x": 1.5})
    other.write_json("a.json", {"x": float("nan")})
    assert folder.read_json("a.json") == {"x": "nan"}
    assert folder.files(depth=2)["b/c.bin"] == 5
    assert [path.rpartition("/")[2] for path in folder.glob("*/c.bin")] == ["c.bin"]
    other.remove("a.json")
    other.remove("a.json")
    assert (folder.exists("a.json"), folder.names()) == (False, ["b"])
    with pytest.raises(FileNotFoundError):
        folder.read("a.json")


def test_a_trial_is_known_as_it_goes(storage: str) -> None:
    sweep = Sweep(storage, "demo")
    trial = sweep.trial(TRIAL.key)
    assert sweep.records() == []
    trial.write_trial(TRIAL)
    assert [record.state for record in sweep.records()] == [TrialState.WAITING]
    trial.write_history(ROWS)
    assert [record.state for record in sweep.records()] == [TrialState.RUNNING]
    result = Result(TrialState.COMPLETE, {"val/top1": 0.8125}, ROWS, best_epoch=1)
    trial.write_result(result)
    (record,) = sweep.records()
    assert str((record.trial, record.result)) == str((TRIAL, result)), "NaN, which equals nothing, among its numbers"


def test_a_bit_that_flipped_is_refused_by_name(storage: str) -> None:
    sweep = Sweep(storage, "demo")
    trial = sweep.trial(TRIAL.key)
    trial.write_trial(TRIAL)
    content = bytearray(trial.read("trial.json"))
    content[20] ^= 1
    trial.write("trial.json", bytes(content))
    with pytest.raises(StoreError, match=f"{storage}/demo/trials/{TRIAL.key}/trial.json is"):
        sweep.records()


def test_of_many_who_want_a_lease_one_gets_it(storage: str) -> None:
    Folder(storage).write("other", b"")
    folder = Folder(f"{storage}/demo")
    leases = [lease.Lease(folder, print) for _ in range(12)]
    with ThreadPoolExecutor(12) as threads:
        assert sum(threads.map(lambda one: one._take(None), leases)) == 1
        tag, holder = lease.look(folder)
        assert sum(threads.map(lambda one: one._take(tag), leases)) == 1
    assert lease.look(folder)[1]["token"] in {one.token for one in leases} - {holder["token"]} | {holder["token"]}


def test_a_second_run_is_refused_with_the_holder_named_and_let_in_once_it_is_dead(storage: str) -> None:
    sweep = Sweep(storage, "demo")
    assert not sweep.is_running()
    with holder(storage) as process:
        assert sweep.is_running()
        with pytest.raises(StoreError, match=f"process {process.pid} on .*Wait, or stop it"), sweep.lock():
            pass
        process.kill()
        process.wait()
        assert not sweep.is_running()
        began = time.monotonic()
        with sweep.lock():
            assert sweep.is_running()
        assert time.monotonic() - began < lease.STALE_SECONDS / 2
    assert not sweep.is_running()


def test_a_holder_elsewhere_is_waited_for_until_it_is_stale(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a process on another machine nobody here knows whether it lives, but by its renewals."""
    monkeypatch.setattr(lease, "STALE_SECONDS", 3.0)
    sweep, told = Sweep(storage, "demo"), list[str]()
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(lease, "_where", lambda: "another machine")
        assert lease.Lease(sweep.folder, print)._take(None)
    began = time.monotonic()
    with sweep.lock(told.append):
        assert time.monotonic() - began > 3
    assert [text for text in told if "waiting up to 3 s" in text]


def test_who_was_away_too_long_stops_when_another_has_taken_over(storage: str) -> None:
    with holder(storage) as process:
        other = lease.Lease(Folder(f"{storage}/demo"), print)
        while not other._take(lease.look(other.folder)[0]):
            """It was renewed in between."""
        assert process.wait(timeout=60) == lease.OVERTAKEN
        assert process.stdout
        assert "has taken 'demo' over" in process.stdout.read()


def holder(storage: str) -> "subprocess.Popen[str]":
    words = [sys.executable, "-c", HOLD, storage, "demo"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def test_every_command_works_from_anywhere_with_nothing_but_the_storage(
    storage: str, file: Path, tmp_path: Path
) -> None:
    """Killed with -9 as a trial was half way, resumed elsewhere: the table and MLflow of an undisturbed sweep."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with started("run", file, "--storage", storage, "--executor", "inline") as process:
        until(lambda: Folder(storage).glob("on s3/trials/*/checkpoint.pt") != [], process)
        process.kill()
        process.wait()

    def sweeper(*words: object) -> str:
        return here(*words, "--storage", storage, cwd=elsewhere).stdout

    sweeper("resume", "on s3", "--executor", "inline")
    here("run", file, "--storage", tmp_path / "local", "--executor", "inline")
    exported = sweeper("export", "on s3")
    timings = ("epoch_seconds", "images_per_second", "peak_memory_mib")
    assert json.loads(sweeper("list", "--json"))[0]["name"] == "on s3"
    assert untimed(exported, timings) == untimed(table(tmp_path / "local", "on s3"), timings)
    database = sqlite_path(stored_uri(storage))
    assert database
    check_mlflow(database.parent, 3)
    assert "3 complete" in sweeper("status", "on s3")
    assert sweeper("results", "on s3").count("complete") >= 3
    sweeper("sync", "on s3")
    sweeper("dashboard", "on s3")
    assert "val/top1" in (elsewhere / "on s3.html").read_text()
    sweeper("explain", "on s3")
    assert "0 to run" in sweeper("plan", file)
    assert sorted(path.suffix for path in elsewhere.iterdir()) == ["", ".html"], (
        "nothing else is written where one stands"
    )


def untimed(csv: str, timings: tuple[str, ...]) -> list[list[str]]:
    """The rows of a table without what the clock decides."""
    header, *rows = (line.split(",") for line in csv.splitlines())
    kept = [number for number, name in enumerate(header) if name not in timings]
    return [[row[number] for number in kept] for row in (header, *rows)]


def test_a_storage_that_is_out_for_a_while_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server killed with -9 for ten seconds as trials train: none fails, none is lost."""
    with s3_server(tmp_path / "server") as server:
        monkeypatch.setenv("SWEEPER_CACHE", str(tmp_path / "cache"))
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        S3FileSystem.clear_instance_cache()
        remote._standing.cache_clear()
        S3FileSystem().mkdir("s3://sweeps")
        file = tmp_path / "experiment.yaml"
        file.write_text(EXPERIMENT)
        storage = "s3://sweeps/out"
        with started("run", file, "--storage", storage, "--executor", "inline") as process:
            until(lambda: Folder(storage).glob("on s3/trials/*/checkpoint.pt") != [], process)
            server.kill()
            time.sleep(10)
            server.start()
            out, errors = process.communicate(timeout=250)
            assert process.returncode == 0, out + errors
        assert [record.state for record in Sweep(storage, "on s3").records()] == [TrialState.COMPLETE] * 3


def test_what_is_wrong_with_a_storage_is_told_in_a_sentence(
    storage: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "FIRST_SECONDS", 0.0)

    def refused(url: str = storage) -> str:
        S3FileSystem.clear_instance_cache()
        remote._standing.cache_clear()
        return here("list", "--storage", url, expect=2).stderr

    assert "Give a folder, or a URL such as s3://bucket/prefix" in refused("nothing-known://x")
    with monkeypatch.context() as wrong:
        wrong.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        assert "s3://sweeps refuses" in refused()
        wrong.delenv("AWS_SECRET_ACCESS_KEY")
        wrong.delenv("AWS_ACCESS_KEY_ID")
        wrong.setenv("AWS_EC2_METADATA_DISABLED", "true")
        assert "AWS_ACCESS_KEY_ID" in refused()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert "s3://sweeps does not answer" in refused()


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    assert "pip install 'sweeper[s3]'" in here("list", "--storage", "s3://sweeps/x", expect=2).stderr
