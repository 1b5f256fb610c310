"""Publish a sweep folder to MLflow from a background thread, so that training never waits for a tracking server.

What could not be published stays in the folder, and `sweeper sync` publishes it.
"""

import hashlib
import os
from collections.abc import Sequence

from sweeper.experiment import Experiment
from sweeper.store import Record, StoreError, Sweep
from sweeper.tracking.names import redacted, sqlite_path, sqlite_uri
from sweeper.tracking.publisher import Parent, Publisher
from sweeper.trial import canonical_json

__all__ = ["Parent", "Publisher", "digest", "is_published", "note_published", "stored_uri", "tracking_uri"]


def digest(records: Sequence[Record], uri: str) -> str:
    """What a fully published sweep is remembered by in `published.json`, so that a run with nothing to do asks no server."""
    ended = [(r.trial.key, r.state.value, r.result.ended if r.result else 0) for r in records]
    return hashlib.sha256(canonical_json([redacted(uri), ended]).encode()).hexdigest()


def is_published(sweep: Sweep, records: Sequence[Record], uri: str) -> bool:
    """Whether everything in the folder was published to `uri` before, and a database there is still there."""
    if not sweep.folder.exists("published.json"):
        return False
    database = sqlite_path(uri)
    if database is not None and not database.exists():
        return False
    try:
        noted: str = sweep.folder.read_json("published.json")["digest"]
    except (StoreError, KeyError, TypeError):  # it may be removed, so it may be damaged too
        return False
    return noted == digest(records, uri)


def note_published(sweep: Sweep, records: Sequence[Record], uri: str) -> None:
    sweep.folder.write_json("published.json", {"uri": redacted(uri), "digest": digest(records, uri)})


def tracking_uri(given: str | None, experiment: Experiment, sweep: Sweep) -> str:
    """Where to publish: the command's --tracking-uri, the file's, MLFLOW_TRACKING_URI, else a database in the storage."""
    return given or experiment.tracking.uri or stored_uri(sweep.storage.path)


def stored_uri(storage: str) -> str:
    """MLFLOW_TRACKING_URI, else the database in the storage root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or sqlite_uri(f"{storage}/mlflow.db")
