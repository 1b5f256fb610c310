"""Tables in the form of `mlflow.log_table`, which MLflow's UI shows and `mlflow.load_table` reads.

They are written whole, for `log_table` itself appends to what an earlier publisher left.
"""

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from sweeper.store.per_class import COLUMNS, rows_of
from sweeper.tracking.names import storable

TAG = "mlflow.loggedArtifacts"  # a run's tables: [{"path": "per_class.json", "type": "table"}]
CELL_LENGTH = 8000
FIRST = ("split", "class", "top1", "correct", "images")  # of the per-class table, what people look for


def table_json(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """`{"columns": [...], "data": [[...], ...]}` with full precision; null for what is missing or not finite."""
    data = [[_cell(value) for value in row] for row in rows]
    return json.dumps({"columns": list(columns), "data": data}, allow_nan=False).encode()


def _cell(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return storable(value, CELL_LENGTH) if isinstance(value, str) else value


def per_class_json(content: bytes) -> bytes:
    """The table in `per_class.csv`. Raises ValueError when that is not what it holds."""
    columns = dict.fromkeys((*FIRST, *COLUMNS))
    return table_json([*columns], ([row[name] for name in columns] for row in rows_of(content)))


def tables_tag(names: Iterable[str], before: str | None) -> str:
    """The value of the tag that tells MLflow which files are tables, added to what it was before."""
    known = json.loads(before or "[]")
    new = [{"path": name, "type": "table"} for name in names]
    return json.dumps(known + [table for table in new if table not in known])
