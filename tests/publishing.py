"""Publishing a synthetic sweep, and holding what MLflow's database then has against the folder."""

import csv
import io
import math
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from folders import synthetic_trial, write_trial
from mlflow_servers import held

from sweeper.experiment import Data, Experiment, Tracking, named_of
from sweeper.store import Record, Result, Row, Sweep
from sweeper.tracking import Parent, Publisher
from sweeper.tracking.names import safe_name
from sweeper.trial import Trial, TrialState

ENDINGS = ("complete", "pruned", "diverged", "failed", "waiting", "running")
STATUSES = {
    "complete": "FINISHED",
    "diverged": "FINISHED",
    "pruned": "KILLED",
    "failed": "FAILED",
    "running": "KILLED",
    "waiting": "KILLED",
}
BIGGEST = sys.float_info.max


def experiment(uri: str | None = None) -> Experiment:
    model = named_of({"name": "alexnet"})
    return Experiment("synthetic", Data("digits"), model, description="a synthetic sweep", tracking=Tracking(uri))


def a_sweep(
    storage: Path, trials: int, endings: Sequence[str] = ("complete",), epochs: int = 4, **options: Any
) -> Sweep:
    """A sweep over a learning rate; failed trials leave a checkpoint of their first epoch."""
    sweep = Sweep(str(storage), "synthetic")
    sweep.folder.write("experiment.yaml", b"name: synthetic\n")
    for number in range(trials):
        trial, state = synthetic_trial(number, {"lr": 0.001 * (number + 1)}), TrialState(endings[number % len(endings)])
        write_trial(sweep, trial, state, epochs, **options)
        if state.is_finished:
            change_result(
                sweep, trial, saved_epoch=1 if state is TrialState.FAILED else 0, ended=1.8e9 + 2 * epochs + 1
            )
    return sweep


def change_result(sweep: Sweep, trial: Trial, **changes: Any) -> Result:
    """Write a trial's result anew with some fields changed."""
    folder = sweep.trial(trial.key)
    result = Result(**{**vars(folder.read_result()), **changes})
    folder.write_result(result)
    return result


def a_parent(is_over: bool = True, **options: Any) -> Parent:
    return Parent({"experiment.yaml": b"name: synthetic\n", "results.csv": b"key\n"}, {"a": "b"}, is_over, **options)


def publish(sweep: Sweep, uri: str, parent: Parent | None = None, patience: float = 0.2) -> Publisher:
    """Publish a folder as it is, as `sweeper sync` does; what is missing then is in the publisher's `missing` and `news`."""
    publisher = Publisher(uri, sweep, experiment(uri), patience_seconds=patience)
    publisher.start()
    finish(publisher, parent)
    return publisher


def finish(publisher: Publisher, parent: Parent | None = None) -> list[str]:
    return publisher.finish(publisher.sweep.records(), parent or a_parent())


def live(publisher: Publisher, records: Sequence[Record], pause: float = 0.0) -> list[float]:
    """Tell a publisher all that a driver would of these trials. Returns the seconds that each call took."""
    seconds = []

    def told(call: Any, *news: Any) -> None:
        start = time.perf_counter()
        call(*news)
        seconds.append(time.perf_counter() - start)
        time.sleep(pause)

    for record in records:
        told(publisher.started, record.trial)
        for row in record.result.history if record.result else ():
            epoch = int(row["epoch"])
            told(publisher.reported, record.trial, record.result.history[:epoch], epoch - epoch % 2)
        if record.result:
            told(publisher.ended, record.trial, record.result)
    return seconds


def settled(publisher: Publisher, limit: float = 60.0) -> None:
    """Wait until the store has all that was told so far, `limit` seconds at most."""
    deadline = time.monotonic() + limit
    while publisher.news:
        assert time.monotonic() < deadline, f"not published in {limit:g} s: {', '.join(publisher.news)}"
        time.sleep(0.01)


def rows_due(record: Record) -> Sequence[Row]:
    """The rows that MLflow must have: all of them, of a failed trial those up to its checkpoint."""
    if record.result is None:
        return ()
    return record.history[: record.result.saved_epoch] if record.state is TrialState.FAILED else record.history


def due(sweep: Sweep, record: Record) -> dict[tuple[str, int], float | None]:
    """The metrics that MLflow must have, by name and step, as a database stores them."""
    values = {
        (name, int(row["epoch"])): value
        for row in rows_due(record)
        for name, value in row.items()
        if name not in ("epoch", "time")
    }
    if record.result and record.state is TrialState.COMPLETE:
        step = record.result.best_epoch or 0
        values |= {(name, step): value for name, value in record.result.summary.items() if name.startswith("test/")}
        table = io.StringIO(sweep.trial(record.trial.key).artifacts.read("per_class.csv").decode(), newline="")
        tested = [row for row in csv.DictReader(table) if row["split"] == "test"]
        if len(tested) <= 50:
            values |= {(f"test_class/{safe_name(row['class'])}", step): float(row["top1"]) for row in tested}
    return {key: _stored(value) for key, value in values.items()}


def _stored(value: float) -> float | None:
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else math.copysign(BIGGEST, value)


def assert_published(database: Path, sweep: Sweep, is_over: bool = True, artifacts: Path | None = None) -> None:
    """One parent, one run a trial, every value once, files, statuses: all that the folder says and nothing more."""
    runs, records = held(database, sweep.identity()), sweep.records()
    assert {key: len(found) for key, found in runs.items()} == dict.fromkeys(["", *(r.trial.key for r in records)], 1)
    parent = runs[""][0]
    assert parent["status"] == ("FINISHED" if is_over else "KILLED")
    assert parent["tags"]["sweeper.sweep"] == sweep.name
    assert parent["tags"]["a"] == "b"
    assert files_of(parent, artifacts) == {"experiment.yaml", "results.csv"}
    for record in records:
        run = runs[record.trial.key][0]
        assert run["tags"]["mlflow.parentRunId"] == parent["run_uuid"]
        assert run["tags"]["sweeper.state"] == ("waiting" if record.result is None else record.state.value)
        assert run["status"] == STATUSES[record.state.value]
        assert run["start_time"] <= run["end_time"]
        assert run["params"]["lr"] == repr(record.trial.config["train"]["lr"])
        assert_metrics(run, due(sweep, record), is_whole=record.result is not None)
        kept = set(sweep.trial(record.trial.key).artifacts.names()) - {"model.pt"}
        kept |= {"error.txt"} if record.state is TrialState.FAILED else set()
        assert files_of(run, artifacts) >= kept


def assert_metrics(run: dict[str, Any], wanted: dict[tuple[str, int], float | None], is_whole: bool = True) -> None:
    steps = Counter((name, step) for name, step, _ in run["metrics"])
    assert max(steps.values(), default=1) == 1, f"logged twice: {steps.most_common(3)}"
    values = {(name, step): value for name, step, value in run["metrics"]}
    if is_whole:
        assert values == wanted
    else:
        assert wanted.items() <= values.items()


def files_of(run: dict[str, Any], artifacts: Path | None = None) -> set[str]:
    """The names of a run's files. `artifacts`: where a server puts them."""
    place = urlparse(run["artifact_uri"])
    folder = artifacts / place.path.lstrip("/") if artifacts else Path(unquote(place.path))
    return {file.name for file in folder.iterdir()} if folder.exists() else set()
