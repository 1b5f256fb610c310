"""A tracking server that is down, dies, fails, hangs or loses answers never holds up a sweep, and misses nothing later.

One real `mlflow server`, behind a proxy that spoils what passes through it.
"""

import itertools
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from mlflow_servers import MlflowServer, Proxy, dump, free_port, held
from publishing import a_sweep, assert_published, experiment, finish, live, publish, settled

from sweeper.store import Sweep
from sweeper.tracking import Publisher, note_published
from sweeper.tracking.settings import SETTINGS

QUICK = 0.02  # a thread that asks for the interpreter may wait 5 ms for it
ENDINGS = ("complete", "pruned", "failed", "diverged")
SPOILT = ("lose", "half", "500", "refuse")
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["mlflow", "publishing", "sweeper.tracking.mlflow_store"])
pytest_plugins = ("tracking_fixtures",)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The publisher's own settings, but a server that hangs is given up sooner."""
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next try comes sooner, for tests that make hundreds."""
    monkeypatch.setattr("sweeper.tracking.publisher.RETRY_SECONDS", (0.05, 0.2))


def assert_whole(server: MlflowServer, sweep: Sweep) -> None:
    assert_published(server.database, sweep, artifacts=server.folder / "artifacts")


def assert_quick(seconds: list[float]) -> None:
    """All but the odd call, in which the scheduler gave the processor to another process."""
    assert sorted(seconds)[int(0.95 * len(seconds))] < QUICK
    assert max(seconds) < 0.5


def wait_for(condition: Callable[[], object]) -> None:
    last = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < last
        time.sleep(0.05)


def started(uri: str, sweep: Sweep, patience: float = 0.2) -> Publisher:
    publisher = Publisher(uri, sweep, experiment(), patience_seconds=patience)
    publisher.start()
    return publisher


def test_a_trial_takes_few_requests(tmp_path: Path, server: MlflowServer, proxy: Proxy) -> None:
    """Four, and one for each file."""
    sweep = a_sweep(tmp_path, 5)
    for trial in (record.trial for record in sweep.records()):
        for name in ("confusion.csv", "predictions.parquet"):
            sweep.trial(trial.key).artifacts.write(name, b"x" * 1000)
    assert publish(sweep, proxy.uri).missing == []
    assert_whole(server, sweep)
    assert proxy.requests.total() - proxy.requests["PUT per_class.csv"] * 4 <= 5 * 4 + 10
    before = proxy.requests.total()
    publish(sweep, proxy.uri)
    assert proxy.requests.total() - before <= 10
    assert_whole(server, sweep)


@pytest.mark.parametrize("mode", ["down", "500", "hang"])
def test_a_server_that_is_out_from_the_start_is_told_of_and_gets_all_later(
    tmp_path: Path, server: MlflowServer, proxy: Proxy, mode: str
) -> None:
    sweep = a_sweep(tmp_path, 4, ENDINGS)
    proxy.mode = mode
    publisher = started(f"http://127.0.0.1:{free_port()}" if mode == "down" else proxy.uri, sweep)
    assert_quick(live(publisher, sweep.records()))
    start = time.monotonic()
    missing = finish(publisher)
    assert time.monotonic() - start < 8
    assert sorted(missing) == sorted(["the parent run", *(f"trial {record.trial.key}" for record in sweep.records())])
    assert publisher.uri in (publisher.trouble or "")
    proxy.mode = "pass"
    assert publish(sweep, proxy.uri).missing == []
    assert_whole(server, sweep)


@pytest.mark.parametrize("mode", ["500", "hang", "lose"])
def test_a_server_that_spoils_some_requests_gets_all_in_the_end(
    tmp_path: Path, server: MlflowServer, proxy: Proxy, mode: str
) -> None:
    """Also when it did what was asked and its answer was lost: nothing is doubled."""
    sweep = a_sweep(tmp_path, 4, ENDINGS)
    publisher = started(proxy.uri, sweep, patience=20)
    half = len(sweep.records()) // 2
    seconds = live(publisher, sweep.records()[:half], pause=0.005)
    for _ in range(2):
        proxy.mode = mode
        seconds += live(publisher, sweep.records()[half:], pause=0.01)
        proxy.mode = "pass"
        time.sleep(0.3)
    assert_quick(seconds)
    assert finish(publisher) == []
    assert_whole(server, sweep)


def test_a_server_that_is_killed_and_comes_back_gets_all(tmp_path: Path, server: MlflowServer) -> None:
    sweep = a_sweep(tmp_path, 4, ENDINGS)
    publisher = started(server.uri, sweep, patience=90)
    seconds = live(publisher, sweep.records()[:2], pause=0.01)
    server.kill()
    seconds += live(publisher, sweep.records()[2:])
    server.start()
    assert_quick(seconds)
    assert finish(publisher) == []
    assert_whole(server, sweep)


def test_a_server_that_is_out_for_long_is_told_of_while_the_sweep_runs_and_so_is_its_return(
    tmp_path: Path, server: MlflowServer, proxy: Proxy, short_pauses: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeper.tracking.trouble.TOLD_AFTER_SECONDS", 0.5)
    sweep, told = a_sweep(tmp_path, 4), list[str]()
    publisher = Publisher(proxy.uri, sweep, experiment(), tell=told.append)
    publisher.start()
    first, second, *others = sweep.records()
    live(publisher, [first])
    settled(publisher)
    assert told == []
    proxy.mode = "500"
    live(publisher, [second])
    wait_for(lambda: told)
    assert proxy.uri in told[0]
    assert "The sweep goes on" in told[0]
    proxy.mode = "pass"
    wait_for(lambda: len(told) > 1)
    live(publisher, others)
    assert finish(publisher) == []
    assert told[1:] == [f"{proxy.uri} answers again: what it lacks is being published"]
    assert_whole(server, sweep)


def test_a_server_that_dies_for_good_is_told_of(tmp_path: Path, server: MlflowServer, proxy: Proxy) -> None:
    sweep = a_sweep(tmp_path, 4)
    publisher = started(proxy.uri, sweep)
    live(publisher, sweep.records()[:2])
    settled(publisher)
    proxy.mode = "500"
    live(publisher, sweep.records()[2:])
    missing = finish(publisher)
    assert len(missing) == 3
    assert "the parent run" in missing
    assert "500" in (publisher.trouble or "")
    proxy.mode = "pass"
    publish(sweep, server.uri)
    assert_whole(server, sweep)


def test_a_password_is_in_no_message_and_nothing_that_is_stored(
    tmp_path: Path, server: MlflowServer, proxy: Proxy
) -> None:
    sweep, uri = a_sweep(tmp_path, 2, ("complete", "failed")), proxy.uri.replace("://", "://me:s3cr3t@")
    publisher = publish(sweep, uri.replace(str(proxy.server.server_port), str(free_port())))
    assert publisher.trouble
    assert "s3cr3t" not in publisher.trouble
    assert publish(sweep, uri).missing == []
    note_published(sweep, sweep.records(), uri)
    assert_whole(server, sweep)
    assert held(server.database, sweep.identity())
    assert "s3cr3t" not in dump(server.database)
    kept = [file.read_bytes() for file in [*tmp_path.rglob("*"), *server.folder.rglob("*")] if file.is_file()]
    assert not any(b"s3cr3t" in content for content in kept)


def places(is_long: bool, few: Iterable[int]) -> Iterable[int]:
    """The first request, the second, ... until there is none left; a few of them in the short form."""
    return itertools.count(1) if is_long else few


def at(place: int, mode: str, then: str = "pass") -> Callable[[int], str]:
    return lambda count: mode if count == place else "pass" if count < place else then


@pytest.mark.usefixtures("short_pauses")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("mode", "few"), [("lose", (3, 9)), ("half", (5,)), ("500", (6,)), ("refuse", (4,))])
def test_whichever_request_is_spoilt_nothing_is_lost_and_nothing_is_doubled(
    tmp_path: Path, server: MlflowServer, proxy: Proxy, mode: str, few: tuple[int, ...], is_long: bool
) -> None:
    """The first, the second, ... until nothing is spoilt: `create_run`, `log_batch`, tags, files, the end of a run."""
    for place in places(is_long, few):
        sweep = a_sweep(tmp_path / str(place), 2, ("complete", "failed"))
        proxy.spoil(at(place, mode))
        publisher = started(proxy.uri, sweep, patience=20)
        live(publisher, sweep.records())
        assert finish(publisher) == [], place
        assert_whole(server, sweep)
        if proxy.count < place:
            assert place > 15
            return


@pytest.mark.usefixtures("short_pauses")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("is_done", [True, False], ids=["after", "before"])
def test_a_publisher_that_is_killed_at_any_request_leaves_what_another_completes(
    tmp_path: Path, server: MlflowServer, proxy: Proxy, is_done: bool, is_long: bool
) -> None:
    """As `sweeper sync` is: killed before the server did what was asked, or after."""
    for place in places(is_long, (7,) if is_done else (12,)):
        sweep = a_sweep(tmp_path / str(place), 2, ("complete", "failed"))
        process = _processes.Process(target=publish, args=(sweep, proxy.uri))

        def spoils(count: int, place: int = place, process: Any = process) -> str:
            if count == place:
                os.kill(process.pid, signal.SIGKILL)
            return "pass" if count < place else "lose" if count == place and is_done else "refuse"

        proxy.spoil(spoils)
        process.start()
        process.join()
        assert process.exitcode == (0 if proxy.count < place else -signal.SIGKILL)
        is_over, _ = proxy.count < place, proxy.spoil(None)
        assert publish(sweep, proxy.uri, patience=20.0).missing == []
        assert_whole(server, sweep)
        if is_over:
            return


@pytest.mark.usefixtures("short_pauses")
@pytest.mark.timeout(3600)
def test_requests_spoilt_at_random_delay_and_change_nothing(
    tmp_path: Path, server: MlflowServer, proxy: Proxy, is_long: bool
) -> None:
    """A share of all requests, drawn anew for each of many seeds, in every way but hanging; then a healthy server."""
    for seed in range(50 if is_long else 1):
        sweep, draw = a_sweep(tmp_path / str(seed), 6, ENDINGS), random.Random(seed)
        share, modes = draw.choice((0.05, 0.2, 0.5)), draw.sample(SPOILT, draw.randint(1, 3))
        proxy.spoil(lambda count, d=draw, s=share, m=modes: d.choice(m) if d.random() < s else "pass")
        publisher = started(proxy.uri, sweep, patience=20)
        live(publisher, sweep.records(), pause=0.005)
        proxy.spoil(None)
        assert finish(publisher) == [], seed
        assert_whole(server, sweep)


@pytest.mark.usefixtures("short_pauses")
@pytest.mark.timeout(3600)
def test_a_server_that_loses_a_quarter_of_its_answers_to_the_end_gets_all(
    tmp_path: Path, server: MlflowServer, proxy: Proxy, is_long: bool
) -> None:
    for seed in range(30 if is_long else 1):
        sweep, draw = a_sweep(tmp_path / str(seed), 6, ENDINGS), random.Random(seed)
        proxy.spoil(lambda count, d=draw: "lose" if d.random() < 0.25 else "pass")
        publisher = started(proxy.uri, sweep, patience=20)
        live(publisher, sweep.records(), pause=0.005)
        assert finish(publisher) == [], seed
        proxy.spoil(None)
        assert_whole(server, sweep)
