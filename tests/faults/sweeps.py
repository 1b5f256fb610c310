"""A small sweep to disturb, and what must be the same afterwards as if it had not been."""

import sqlite3
from pathlib import Path

from tests.command import SECONDS, check_mlflow, environment, here, table
from tests.faults.test_killed_writers import published

__all__ = ["BUSY", "GRID", "SECONDS", "TRIALS", "check_alike", "environment", "statuses", "undisturbed_storage"]

GRID = """
name: grid
data: {name: digits, image_size: 8, classes: 3, augment: [random_crop]}
model: {name: "tests.tiny:linear"}
train: {epochs: 4, batch_size: 64}
search:
  space: {lr: [0.1, 0.03, 0.01], momentum: [0.9, 0.5]}
pruning: {name: median, n_startup_trials: 2, n_warmup_steps: 1}
checkpoint: {every_seconds: 0}
"""
TRIALS = 6
BUSY = [  # trials that outlast the test, in epochs of a fifth of a second
    word
    for setting in ("model.name=tests.tiny:slow", "train.epochs=5000", "data.image_size=16", "pruning=null")
    for word in ("--set", setting)
]


def undisturbed_storage(storage: Path) -> Path:
    """Run the sweep from its start to its end; returns its storage."""
    file = storage / "grid.yaml"
    file.write_text(GRID)
    here("run", file, "--storage", storage, "--executor", "inline")
    return storage


def check_alike(storage: Path, undisturbed: Path) -> None:
    """The same table and the same metrics in MLflow, number for number; one run a trial, none RUNNING, no row twice."""
    assert table(storage, "grid") == table(undisturbed, "grid")
    check_mlflow(storage, TRIALS)
    assert published(storage) == published(undisturbed)
    assert not list(storage.rglob("trials/**/*.tmp"))


def statuses(storage: Path) -> set[str]:
    """The statuses of the runs in MLflow, if there is a database yet."""
    if not (storage / "mlflow.db").exists():
        return set()
    database = sqlite3.connect(storage / "mlflow.db")
    found = {row[0] for row in database.execute("select status from runs")}
    database.close()
    return found
