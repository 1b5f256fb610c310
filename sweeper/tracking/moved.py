"""An SQLite database that was moved or copied together with the files of its runs."""

import sqlite3
from contextlib import closing, suppress

from sweeper.tracking.names import ARTIFACTS, sqlite_path

SECONDS = 10.0
OWN = "SELECT artifact_location FROM experiments WHERE experiment_id = 0"
LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def follow(uri: str) -> None:
    """Let an SQLite database of ours name files beside it where they now are: MLflow notes absolute places.

    One of another hand, one whose files stayed where they were, and one that cannot be written now are left as they are.
    """
    path = sqlite_path(uri)
    if path is None:
        return
    here = path.with_name(ARTIFACTS)
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(path, timeout=SECONDS)) as database:
        noted = str((database.execute(OWN).fetchone() or [""])[0])
        before, now = noted.removesuffix("0"), f"{here.as_uri()}/"
        if noted.endswith(f"/{ARTIFACTS}/0") and before != now and here.is_dir():
            _move(database, before, now)


def _move(database: sqlite3.Connection, before: str, now: str) -> None:
    with database:
        for table, column in LOCATIONS:
            database.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",  # noqa: S608
                (now, len(before) + 1, len(before), before),
            )
