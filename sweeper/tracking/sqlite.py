"""MLflow's SQLite files, looked at without MLflow, whose import takes seconds."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

RUNS = """
SELECT count(*) FROM runs JOIN tags USING (run_uuid)
WHERE key = 'sweeper.sweep_id' AND value = ? AND lifecycle_stage = 'active'
"""


def has_runs(path: Path, sweep_id: str, count: int) -> bool:
    """Whether a database can be read and has so many runs of a sweep."""
    try:
        return bool(_ask(path, RUNS, [sweep_id]) >= count)
    except sqlite3.Error:
        return False


def damage(path: Path) -> str | None:
    """What is wrong with a file that is no whole database, as SQLite says it."""
    try:
        _ask(path, "SELECT count(*) FROM sqlite_master")
    except sqlite3.OperationalError:  # locked, or to be recovered by one who may write
        return None
    except sqlite3.DatabaseError as error:
        return str(error)
    return None


def _ask(path: Path, question: str, values: Sequence[str] = ()) -> Any:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
        return database.execute(question, values).fetchone()[0]
