"""The databases that MLflow is given directly, without a tracking server."""

import os
import secrets
import shutil
from glob import escape
from pathlib import Path

import filelock
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from sweeper.store import Folder, StoreError
from sweeper.tracking.names import ARTIFACTS, DATABASE, sqlite_path, sqlite_uri
from sweeper.tracking.sqlite import damage

OTHERS_SECONDS = 60.0


def make_database(uri: str) -> None:
    """Make an SQLite database that is not there, or empty: whole, or not at all. Raises StoreError for a damaged one.

    MLflow's migrations are not atomic: a process killed in the middle of them, or two at once, leave a database that
    no later one can use or repair.
    """
    path = sqlite_path(uri)
    if path is None or _is_there(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(f"{path}.lock", timeout=OTHERS_SECONDS):
        if _is_there(path):
            return
        for stale in path.parent.glob(f"{escape(path.name)}.*.new"):
            shutil.rmtree(stale, ignore_errors=True)
        # Another name at each try: MLflow goes on with its connection to a database of the same name, though that be removed.
        scratch = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
        scratch.mkdir()
        # Given a place, for MLflow writes its own, the current directory's, into SQL as it is, quotes and all.
        location = path.with_name(ARTIFACTS).as_uri()
        SqlAlchemyStore(sqlite_uri(str(scratch / "mlflow.db")), location)  # type: ignore[no-untyped-call]
        os.replace(scratch / "mlflow.db", path)
        shutil.rmtree(scratch, ignore_errors=True)


def _is_there(path: Path) -> bool:
    if not path.exists() or not path.stat().st_size:
        return False
    if told := damage(path):
        raise StoreError(
            f"{path} is damaged ({told}). Restore it; or move it away, and `sweeper sync` publishes every run anew"
        )
    return True


def artifact_location(uri: str, storage: Folder, name: str) -> str | None:
    """Beside a database; a tracking server knows its own place. MLflow's default would be the current directory."""
    if not DATABASE.match(uri):
        return None
    path = sqlite_path(uri)
    if path is not None:
        return path.with_name(ARTIFACTS).joinpath(name).as_uri()
    place = storage.sub(ARTIFACTS, name)
    return Path(place.path).as_uri() if place.is_local else place.url
