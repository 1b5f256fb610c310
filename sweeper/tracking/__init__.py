"""Publish a sweep folder to MLflow from a background thread, so that training never waits for a tracking server.

What could not be published stays in the folder, and `sweeper sync` publishes it.
"""

import hashlib
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sweeper.experiment import Experiment
from sweeper.store import Record, Result, Row, Sweep
from sweeper.tracking.names import redacted
from sweeper.trial import Trial, canonical_json

if TYPE_CHECKING:
    from sweeper.tracking.mlflow_store import LoggedModel, SweepRuns

RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
LAST_TRY_SECONDS = 20.0
QUICK_TO_FAIL = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}


@dataclass(frozen=True)
class Parent:
    """What the parent run carries: files by name, tags, and the best trial's network when there is one."""

    files: Mapping[str, bytes]
    tags: Mapping[str, str]
    is_over: bool
    model: "LoggedModel | None" = None
    register: str | None = None


@dataclass(frozen=True)
class _News:
    """All that is to be published of one trial; later news take the place of earlier."""

    trial: Trial
    history: tuple[Row, ...] = ()
    result: Result | None = None
    is_running: bool = True


class Publisher:
    """Listens to a sweep and publishes it; see `launch.Listener`. Start it, then call `finish` once."""

    def __init__(self, uri: str, sweep: Sweep, experiment: Experiment) -> None:
        self.uri, self.sweep, self.experiment = uri, sweep, experiment
        self.news: dict[str, _News] = {}
        self.unpublished: dict[str, _News] = {}
        self.changed = threading.Condition()
        self.is_finishing = False
        self.trouble: str | None = None
        self.runs: SweepRuns | None = None
        self.thread = threading.Thread(target=self._publish_all, name="publisher", daemon=True)

    def start(self) -> None:
        os.environ.update({name: value for name, value in QUICK_TO_FAIL.items() if name not in os.environ})
        self.thread.start()

    def started(self, trial: Trial, history: tuple[Row, ...]) -> None:
        self._tell(_News(trial))

    def reported(self, trial: Trial, history: tuple[Row, ...], saved_epoch: int) -> None:
        """Rows up to the checkpoint are published; those after it would be measured again after a crash."""
        self._tell(_News(trial, history[:saved_epoch]))

    def retried(self, trial: Trial, error: str) -> None:
        """Nothing: the run goes on."""

    def ended(self, trial: Trial, result: Result) -> None:
        self._tell(_ended(trial, result))

    def _tell(self, news: _News) -> None:
        with self.changed:
            self.news[news.trial.key] = news
            self.changed.notify()

    def finish(self, records: Sequence[Record], parent: Parent) -> list[str]:
        """Publish the folder as it now is, then the parent run. Returns what could not be published (empty: all was)."""
        with self.changed:
            for record in records:
                self.news[record.trial.key] = _of(record)
            self.is_finishing = True
            self.changed.notify()
        self.thread.join()
        missing = [f"trial {key}" for key in self.unpublished]
        if missing or self.runs is None:
            return missing or ["the parent run"]
        try:
            if parent.model:
                self.runs.log_model(parent.model, parent.register)
            self.runs.publish_parent(parent.files, parent.tags, parent.is_over)
        except _troubles() as error:
            self.trouble = _sentence(error, self.uri)
            return ["the parent run"]
        return []

    def _publish_all(self) -> None:
        """The thread: publish news as they come, and again after a pause what the server would not take."""
        tries, deadline = 0, float("inf")
        while True:
            with self.changed:
                while not (self.news or self.unpublished or self.is_finishing):
                    self.changed.wait()
                if self.is_finishing and deadline == float("inf"):
                    deadline = time.monotonic() + LAST_TRY_SECONDS
                waiting, self.news = {**self.unpublished, **self.news}, {}
            self.unpublished = self._publish(waiting)
            if not self.unpublished:
                tries = 0
                if self._is_all_done():
                    return
                continue
            if time.monotonic() > deadline:
                return
            self._pause(RETRY_SECONDS[min(tries, len(RETRY_SECONDS) - 1)])
            tries += 1

    def _is_all_done(self) -> bool:
        with self.changed:
            return self.is_finishing and not self.news

    def _pause(self, seconds: float) -> None:
        with self.changed:
            self.changed.wait_for(lambda: self.is_finishing, timeout=seconds)
        if self.is_finishing:
            time.sleep(1)

    def _publish(self, waiting: dict[str, _News]) -> dict[str, _News]:
        """Publish what can be; returns what cannot, now."""
        left = dict(waiting)
        try:
            if self.runs is None:
                from sweeper.tracking.mlflow_store import SweepRuns

                self.runs = SweepRuns(self.uri, self.sweep, self.experiment)
            for key, news in waiting.items():
                if not self.runs.is_up_to_date(news.trial.key, news.result):
                    self.runs.publish(news.trial, news.history, news.result, news.is_running)
                del left[key]
            self.trouble = None
        except _troubles() as error:
            self.trouble = _sentence(error, self.uri)
        return left


def _ended(trial: Trial, result: Result) -> _News:
    """Of a failed trial, the rows after its checkpoint are left out: a retry measures them again."""
    is_final = result.state.value != "failed"
    return _News(trial, result.history if is_final else result.history[: result.saved_epoch], result)


def _of(record: Record) -> _News:
    if record.result:
        return _ended(record.trial, record.result)
    return _News(record.trial, is_running=False)


def _troubles() -> tuple[type[Exception], ...]:
    """What a tracking store that is down, full or refusing raises."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return (MlflowException, SQLAlchemyError, OSError)  # requests' exceptions are OSErrors


def _sentence(error: Exception, uri: str) -> str:
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return f"{redacted(uri)}: {redacted(first)[:300]}"


def digest(records: Sequence[Record], uri: str) -> str:
    """What a fully published sweep is remembered by in `published.json`, so that a run with nothing to do asks no server."""
    ended = [(r.trial.key, r.state.value, r.result.ended if r.result else 0) for r in records]
    return hashlib.sha256(canonical_json([uri, ended]).encode()).hexdigest()


def is_published(sweep: Sweep, records: Sequence[Record], uri: str) -> bool:
    """Whether everything in the folder was published to `uri` before."""
    if not sweep.folder.exists("published.json"):
        return False
    noted: str = sweep.folder.read_json("published.json")["digest"]
    return noted == digest(records, uri)


def note_published(sweep: Sweep, records: Sequence[Record], uri: str) -> None:
    sweep.folder.write_json("published.json", {"uri": redacted(uri), "digest": digest(records, uri)})


def tracking_uri(given: str | None, experiment: Experiment, sweep: Sweep) -> str:
    """Where to publish: the command's --tracking-uri, the file's, MLFLOW_TRACKING_URI, else a database in the storage."""
    return given or experiment.tracking.uri or stored_uri(sweep.storage.path)


def stored_uri(storage: str) -> str:
    """MLFLOW_TRACKING_URI, else the database in the storage root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{storage}/mlflow.db"
