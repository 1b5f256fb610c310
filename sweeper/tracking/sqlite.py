"""MLflow's SQLite files, looked at without MLflow, whose import takes seconds."""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from sweeper.tracking.tags import FILES_TAG, SWEEP_ID_TAG

RUNS = """
SELECT artifact_uri, files.value FROM runs JOIN tags USING (run_uuid)
LEFT JOIN tags AS files ON files.run_uuid = runs.run_uuid AND files.key = ?
WHERE tags.key = ? AND tags.value = ? AND lifecycle_stage = 'active'
"""


def has_runs(path: Path, sweep_id: str, count: int, no_files: str) -> bool:
    """Whether a database can be read and has so many runs of a sweep, each with its folder where it says.

    `no_files`: what FILES_TAG says of a run without any. Folders are listed, not looked for one by one, which on
    a cold disk takes seconds for ten thousand.
    """
    try:
        found = _ask(path, RUNS, [FILES_TAG, SWEEP_ID_TAG, sweep_id])
    except sqlite3.Error:
        return False
    places = [_local(uri) for uri, files in found if files not in (None, no_files)]
    folders = [place.parent for place in places if place]
    names = {root: set(os.listdir(root)) if root.is_dir() else set() for root in {folder.parent for folder in folders}}
    return len(found) >= count and all(folder.name in names[folder.parent] for folder in folders)


def is_gone(uri: str) -> bool:
    """Whether a folder of artifacts is one of this machine's that is not there."""
    place = _local(uri)
    return place is not None and not place.exists()


def _local(uri: str) -> Path | None:
    parts = urlsplit(uri)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def damage(path: Path) -> str | None:
    """What is wrong with a file that is no whole database, as SQLite says it."""
    try:
        _ask(path, "SELECT count(*) FROM sqlite_master")
    except sqlite3.OperationalError:  # locked, or to be recovered by one who may write
        return None
    except sqlite3.DatabaseError as error:
        return str(error)
    return None


def _ask(path: Path, question: str, values: Sequence[str] = ()) -> list[Any]:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
        return database.execute(question, values).fetchall()
