"""A trial's settings and numbers as MLflow's parameters and metrics."""

import re
from collections.abc import Iterator, Sequence

from mlflow.entities import Metric, Param

from sweeper.store import Folder, Row
from sweeper.store.per_class import rows_of
from sweeper.tracking.names import safe_name, storable
from sweeper.trial import Trial, flat

MAX_CLASSES = 50
METRICS_A_REQUEST = 800
PARAM_LENGTH = 6000
PARAM_NAME = re.compile(r"[\w. -]{1,200}")


def params_of(trial: Trial) -> Iterator[Param]:
    """A trial's settings under the names that axes have in the file: `lr`, `model.name`, `data.split.seed`, `seed`."""
    for path, value in flat(trial.config):
        text = value if isinstance(value, str) else repr(value)
        name = path.removeprefix("train.")
        yield Param(name if PARAM_NAME.fullmatch(name) else safe_name(name), storable(text, PARAM_LENGTH))


def metrics_of(row: Row) -> list[Metric]:
    """One epoch's metrics at the time they were measured."""
    at, step = int(row["time"] * 1000), int(row["epoch"])
    return [Metric(name, value, at, step) for name, value in row.items() if name not in ("epoch", "time")]


def batches_of(rows: Sequence[Row]) -> Iterator[list[Metric]]:
    """Metrics by the request: never a part of a row, so that the last row which a store has is whole."""
    size = max(1, METRICS_A_REQUEST // max(map(len, rows), default=1))
    for start in range(0, len(rows), size):
        yield [metric for row in rows[start : start + size] for metric in metrics_of(row)]


def class_metrics(folder: Folder) -> dict[str, float]:
    """`test_class/<name>` for up to 50 classes, from the per-class table."""
    if not folder.exists("per_class.csv"):
        return {}
    rows = [row for row in rows_of(folder.read("per_class.csv")) if row["split"] == "test"]
    if len(rows) > MAX_CLASSES:
        return {}
    return {f"test_class/{safe_name(row['class'])}": row["top1"] for row in rows if row["images"]}
