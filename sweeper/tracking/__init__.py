"""Publish a sweep folder to MLflow from a background thread, so that training never waits for a tracking server.

What could not be published stays in the folder, and `sweeper sync` publishes it.
"""

import hashlib
import os
import re
from collections.abc import Sequence
from typing import Any

from sweeper.data import default_cache
from sweeper.experiment import Experiment
from sweeper.reading.address import wrong_address
from sweeper.store import Folder, Record, StoreError, Sweep
from sweeper.text.redaction import HIDDEN, without_password
from sweeper.tracking import pages
from sweeper.tracking.files import fingerprint_of, fingerprints
from sweeper.tracking.names import sqlite_path, sqlite_uri
from sweeper.tracking.news import Parent
from sweeper.tracking.publisher import Publisher
from sweeper.tracking.settings import set_up
from sweeper.tracking.sqlite import has_runs
from sweeper.trial import canonical_json

__all__ = [
    "Parent",
    "Publisher",
    "TrackingError",
    "is_held",
    "is_published",
    "note_published",
    "note_runs",
    "run_pages",
    "set_up",
    "stored_uri",
    "tracking_uri",
]


ACCOUNT = {"MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"}


def _digest(sweep: Sweep, records: Sequence[Record], uri: str) -> str:
    """What a fully published sweep is remembered by in `published.json`, so that a run with nothing to do asks no server."""
    files, none = fingerprints(sweep), fingerprint_of({})
    ended = [
        (r.trial.key, r.state.value, r.result.ended, files.get(r.trial.key, none))
        if r.result
        else (r.trial.key, r.state.value)
        for r in records
    ]
    file = sweep.experiment() if sweep.exists() else ""
    told = canonical_json([without_password(uri), file, ended])
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()


def is_published(sweep: Sweep, records: Sequence[Record], uri: str) -> bool:
    """Whether everything in the folder was published to `uri` before, and a database there still has as many runs, with files."""
    noted = _noted(sweep).get("digest")
    if noted is None or noted != _digest(sweep, records, uri):
        return False
    database = sqlite_path(uri)
    return database is None or has_runs(database, sweep.identity(), len(records) + 1, fingerprint_of({}))


def is_held(sweep: Sweep, experiment: Experiment, records: Sequence[Record], uri: str) -> bool:
    """Whether everything was published to `uri` before, and the store says that it still has every run, ended as it should be.

    False too when the store does not answer: who then publishes is told why.
    """
    if not is_published(sweep, records, uri):
        return False
    set_up()
    from sweeper.tracking.published import has_all_runs

    try:
        return has_all_runs(uri, sweep, experiment, records)
    except Exception:  # stores are plugins, which raise anything; the publisher meets it again and tells
        return False


def note_runs(sweep: Sweep, publisher: Publisher) -> None:
    """Keep which run each trial has, as far as it is known, for those who make links to them."""
    if publisher.run_ids:
        runs = {"experiment_id": publisher.experiment_id, "runs": dict(publisher.run_ids)}
        sweep.folder.write_json("published.json", {"uri": without_password(publisher.uri), **runs})


def note_published(sweep: Sweep, records: Sequence[Record], uri: str) -> None:
    """Keep that everything was published, with the runs that are known of this store."""
    noted, shown = _noted(sweep), without_password(uri)
    noted = noted if noted.get("uri") == shown else {}
    sweep.folder.write_json("published.json", {**noted, "uri": shown, "digest": _digest(sweep, records, uri)})


def _noted(sweep: Sweep) -> dict[str, Any]:
    """What `published.json` has. It may be removed, so it may be damaged too."""
    try:
        noted = sweep.folder.read_json("published.json") if sweep.folder.exists("published.json") else {}
    except StoreError:
        return {}
    return noted if isinstance(noted, dict) else {}


def run_pages(sweep: Sweep) -> dict[str, str]:
    """The address of each published trial's run by trial key, on the store that the sweep was published to last.

    For a database: where `sweeper ui` serves it unless it is told another port.
    """
    noted = _noted(sweep)
    uri, experiment_id, runs = noted.get("uri"), noted.get("experiment_id"), noted.get("runs")
    root = pages.root(uri) if isinstance(uri, str) else None
    if root is None or not isinstance(experiment_id, str) or not isinstance(runs, dict):
        return {}
    return {key: pages.run_page(root, experiment_id, str(run)) for key, run in runs.items()}


class TrackingError(ValueError):
    """A tracking store that cannot be reached as it is given."""


def tracking_uri(given: str | None, experiment: Experiment | None, storage: str) -> str:
    """Where to publish: the command's --tracking-uri, the file's, MLFLOW_TRACKING_URI, else a database in the storage.

    Raises TrackingError at what MLflow cannot know, and when its password was left out, as it is in a sweep folder, and
    the environment has none.
    """
    uri = given or (experiment.tracking.uri if experiment else None) or stored_uri(storage)
    if told := wrong_address(uri):
        raise TrackingError(f"the address of the tracking store: {told}")
    if HIDDEN not in uri:
        return uri
    whole = os.environ.get("MLFLOW_TRACKING_URI", "")
    if HIDDEN not in whole and without_password(whole) == uri:
        return whole
    if uri.startswith(("http://", "https://")) and ACCOUNT & os.environ.keys():
        return uri.replace(f"//{HIDDEN}@", "//")  # MLflow itself reads the account
    raise TrackingError(
        f"the password of {uri} is not kept in sweep folders. Set MLFLOW_TRACKING_URI to the whole address"
        + ("; or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD." if uri.startswith("http") else ".")
    )


def stored_uri(storage: str) -> str:
    """MLFLOW_TRACKING_URI, else a database: in the storage root, or for a remote storage in this user's cache.

    SQLite needs a real disk. What a database in the cache lacks is published into it from the storage when a sweep ends.
    """
    if given := os.environ.get("MLFLOW_TRACKING_URI"):
        return given
    root = Folder(storage)
    if root.is_local:
        return sqlite_uri(f"{root.path}/mlflow.db")
    name = re.sub(r"[^\w.-]+", "_", root.url)
    digest = hashlib.sha256(root.url.encode()).hexdigest()[:8]
    return sqlite_uri(f"{default_cache().absolute()}/mlflow/{name}-{digest}/mlflow.db")
