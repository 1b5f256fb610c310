"""The tools that `benchmarks.faults` breaks: how each is started, what it has of its trials, which files it goes on from."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import optuna

from sweeper.store import StoreError, Sweep

Row = dict[str, Any]
"""A trial as its tool has it: `lr`, `momentum`, `value` (its loss), `state`."""

EXPERIMENT = """
name: grid
data: {name: folder, image_size: 16, augment: [], split: {train: 0.8, val: 0.2, test: 0}}
model: {name: "benchmarks.breaking.network:network"}
train: {batch_size: 32, schedule: constant}
objective: {metric: val/loss, mode: min}
checkpoint: {every_seconds: 0}
artifacts: {models: none}
"""


@dataclass(frozen=True)
class Spec:
    """A sweep that every tool is given: what is trained, where, and where MLflow is (None: SQLite in the folder)."""

    out: Path
    images: Path
    grid: dict[str, list[float]]
    epochs: int
    uri: str | None = None


class Tool(NamedTuple):
    """`records` and `checkpoints` are patterns of the files that a start after a fault reads."""

    name: str
    module: str
    records: str
    checkpoints: str | None
    options: bool = False

    def words(self, spec: Spec) -> list[str]:
        """What follows `python -m module`; the files that are named there are written."""
        if self.module == "sweeper":
            return _sweeper_words(spec, "inline" if self.options else "ray")
        file = spec.out / "spec.json"
        given = {"out": str(spec.out), "images": str(spec.images), "uri": spec.uri or f"sqlite:///{spec.out}/mlflow.db"}
        file.write_text(json.dumps({**given, "grid": spec.grid, "epochs": spec.epochs, "options": self.options}))
        return [str(file)]

    def rows(self, spec: Spec) -> list[Row]:
        """The trials that have begun, as the tool's own files have them; none when it cannot read them."""
        return ROWS[self.module](spec)

    def newest(self, spec: Spec, pattern: str) -> Path | None:
        return max(spec.out.glob(pattern), key=lambda file: file.stat().st_mtime_ns, default=None)


def _sweeper_words(spec: Spec, executor: str) -> list[str]:
    file = spec.out / "experiment.yaml"
    file.write_text(EXPERIMENT)
    settings = {"data.root": str(spec.images), "train.epochs": spec.epochs, "search.space": spec.grid}
    words = ["run", str(file), "--storage", str(spec.out), "--executor", executor]
    words += ["--tracking-uri", spec.uri] if spec.uri else []
    return words + [word for path, value in settings.items() for word in ("--set", f"{path}={json.dumps(value)}")]


def _sweeper_rows(spec: Spec) -> list[Row]:
    try:
        records = Sweep(str(spec.out), "grid").records()
    except StoreError:
        return []
    losses = [record.result.summary.get("val/loss") if record.result else None for record in records]
    return [
        {**record.trial.cell, "value": loss, "state": record.state.value}
        for record, loss in zip(records, losses, strict=True)
    ]


def _ray_rows(spec: Spec) -> list[Row]:
    results = spec.out / "results.json"
    rows: list[Row] = json.loads(results.read_text()) if results.exists() else []
    return rows


def _optuna_rows(spec: Spec) -> list[Row]:
    try:
        trials = optuna.load_study(study_name="grid", storage=f"sqlite:///{spec.out}/optuna.db").trials
    except Exception:  # whatever a damaged database makes it raise
        return []
    return [{**trial.params, "value": trial.value, "state": trial.state.name.lower()} for trial in trials]


SWEEPER = ("sweeper", "grid/trials/*/*.json", "grid/trials/*/checkpoint.pt")
RAY = ("benchmarks.peers.ray_restore", "ray/grid/experiment_state-*.json", "ray/grid/*/checkpoint_*/state.npz")
OPTUNA = ("benchmarks.peers.optuna_resume", "optuna.db", None)
ROWS = {SWEEPER[0]: _sweeper_rows, RAY[0]: _ray_rows, OPTUNA[0]: _optuna_rows}
TOOLS = {
    tool.name: tool
    for tool in (
        Tool("sweeper", *SWEEPER),
        Tool("sweeper_inline", *SWEEPER, options=True),
        Tool("ray_tune", *RAY),
        Tool("optuna", *OPTUNA),
        Tool("ray_tune_options", *RAY, options=True),
        Tool("optuna_options", *OPTUNA, options=True),
    )
}
