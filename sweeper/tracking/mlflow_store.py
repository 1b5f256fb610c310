"""A sweep's runs in MLflow, each made or changed so that doing it twice changes nothing. The one home of MLflow.

A child run is found by its tags before it is made. Rows are published once their state is in a checkpoint, so a row
never changes after; each has the time it was measured at, and MLflow drops a row that it has already.
"""

import csv
import io
import logging
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag, ViewType

from sweeper.experiment import Experiment
from sweeper.store import Folder, Result, Row, Sweep
from sweeper.tracking.names import safe_name
from sweeper.trial import Trial, TrialState

STATUS = {
    TrialState.WAITING: "KILLED",
    TrialState.RUNNING: "RUNNING",
    TrialState.COMPLETE: "FINISHED",
    TrialState.DIVERGED: "FINISHED",
    TrialState.PRUNED: "KILLED",
    TrialState.FAILED: "FAILED",
}
MAX_CLASSES = 50
METRICS_A_REQUEST = 900
PARAM_LENGTH, TAG_LENGTH = 6000, 8000
TRIAL_FILES = ("per_class.csv", "confusion.csv", "predictions.parquet")


@dataclass(frozen=True)
class LoggedModel:
    """A network for MLflow: the trial it is from, example images with its logits, and the packages it needs.

    `form` is "pt2" (torch.export: loads without code or pickle) or "pickle" (for a user's own module, which may not
    export; loading it imports that module).
    """

    key: str
    network: Any
    images_NCHW: Any
    logits_NK: Any
    form: Literal["pt2", "pickle"]
    requirements: tuple[str, ...]


class SweepRuns:
    """The parent run of a sweep and the child runs of its trials."""

    def __init__(self, uri: str, sweep: Sweep, experiment: Experiment) -> None:
        for name in ("mlflow", "alembic"):  # their news of migrations would tear the live view
            logging.getLogger(name).setLevel(logging.WARNING)
        self.client = MlflowClient(tracking_uri=uri)
        self.sweep, self.sweep_id = sweep, sweep.identity()
        self.experiment_id = self._experiment(experiment.name, uri)
        self.runs: dict[str, Run] = {}
        parent = None
        for run in self._search():
            key = run.data.tags.get("sweeper.trial_key")
            if key:
                self.runs[key] = run
            else:
                parent = run
        self.parent = parent or self._create(experiment.name, {"mlflow.note.content": experiment.description})
        self.published: dict[str, int] = {}
        if self.parent.info.status != "RUNNING":
            self.client.update_run(self.parent.info.run_id, status="RUNNING")

    def _experiment(self, name: str, uri: str) -> str:
        found = self.client.get_experiment_by_name(name)
        if found and found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        if found:
            return str(found.experiment_id)
        is_own = uri.startswith("sqlite:///") and Path(uri.removeprefix("sqlite:///")).parent == Path(
            self.sweep.storage.path
        )
        location = Path(self.sweep.storage.path, "mlflow-artifacts", name).as_uri() if is_own else None
        return str(self.client.create_experiment(name, artifact_location=location))

    def _search(self) -> Iterator[Run]:
        token, wanted = None, f"tags.`sweeper.sweep_id` = '{self.sweep_id}'"
        while True:
            page = self.client.search_runs([self.experiment_id], wanted, ViewType.ACTIVE_ONLY, 1000, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _create(self, name: str, tags: Mapping[str, str]) -> Run:
        own = {"sweeper.sweep": self.sweep.name, "sweeper.sweep_id": self.sweep_id}
        return self.client.create_run(self.experiment_id, tags={**own, **tags}, run_name=name)

    def is_up_to_date(self, key: str, result: Result | None) -> bool:
        """Whether a trial's run says all that its result says."""
        run = self.runs.get(key)
        if run is None or result is None:
            return False
        return run.data.tags.get("sweeper.ended") == _ending(result) and run.info.status == STATUS[result.state]

    def publish(self, trial: Trial, history: tuple[Row, ...], result: Result | None, is_running: bool) -> None:
        """Bring a trial's run up to what is known: the rows of `history`, and its result when it has ended."""
        state = result.state if result else TrialState.RUNNING if is_running else TrialState.WAITING
        run_id = self._run_of(trial, state).info.run_id
        self._publish_rows(trial.key, run_id, history)
        if result:
            self._publish_end(trial, run_id, result)
        tags = {"sweeper.state": state.value, "sweeper.ended": _ending(result) if result else ""}
        self.client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()])
        if self.runs[trial.key].info.status != STATUS[state]:
            if state is TrialState.RUNNING:
                self.client.update_run(run_id, status="RUNNING")
            else:
                ended = int(result.ended * 1000) if result else None
                self.client.set_terminated(run_id, STATUS[state], end_time=ended)
        self.runs[trial.key] = self.client.get_run(run_id)

    def _run_of(self, trial: Trial, state: TrialState) -> Run:
        """The trial's run, made with its parameters when there is none."""
        if trial.key not in self.runs:
            tags = {
                "mlflow.parentRunId": self.parent.info.run_id,
                "sweeper.trial_key": trial.key,
                "sweeper.number": str(trial.number),
                "sweeper.state": state.value,
            }
            run = self._create(trial.name, tags)
            self.runs[trial.key] = run
            self.published[trial.key] = 0
        run = self.runs[trial.key]
        if not run.data.params:
            self.client.log_batch(run.info.run_id, params=list(params_of(trial)))
        return run

    def _publish_rows(self, key: str, run_id: str, history: tuple[Row, ...]) -> None:
        if key not in self.published:
            steps = [metric.step for metric in self.client.get_metric_history(run_id, "lr")]
            self.published[key] = max(steps, default=0)
        metrics = [metric for row in history if row["epoch"] > self.published[key] for metric in metrics_of(row)]
        for start in range(0, len(metrics), METRICS_A_REQUEST):
            self.client.log_batch(run_id, metrics=metrics[start : start + METRICS_A_REQUEST])
        self.published[key] = max(self.published[key], len(history))

    def _publish_end(self, trial: Trial, run_id: str, result: Result) -> None:
        folder = self.sweep.trial(trial.key).artifacts
        at, step = int(result.ended * 1000), result.best_epoch or 0
        final = {name: value for name, value in result.summary.items() if name.startswith("test/")}
        final |= class_metrics(folder) if result.state is TrialState.COMPLETE else {}
        self.client.log_batch(run_id, metrics=[Metric(name, value, at, step) for name, value in final.items()])
        self._upload(run_id, {name: folder.read(name) for name in TRIAL_FILES if folder.exists(name)})
        if result.error:
            self._upload(run_id, {"error.txt": result.error.encode()})

    def _upload(self, run_id: str, files: Mapping[str, bytes]) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            for name, content in files.items():
                Path(scratch, name).write_bytes(content)
            if files:
                self.client.log_artifacts(run_id, scratch)

    def publish_parent(self, files: Mapping[str, bytes], tags: Mapping[str, str], is_over: bool) -> None:
        """Give the parent run its files and tags; FINISHED when every trial has ended, KILLED when the sweep stopped."""
        run_id = self.parent.info.run_id
        self._upload(run_id, files)
        self.client.log_batch(run_id, tags=[RunTag(name, value[:TAG_LENGTH]) for name, value in tags.items()])
        self.client.set_terminated(run_id, "FINISHED" if is_over else "KILLED")

    def log_model(self, model: LoggedModel, register: str | None) -> None:
        """Log the best trial's network on the parent run, once for each best trial, and register it when asked."""
        run_id, tag, wanted = self.parent.info.run_id, f"sweeper.model.{model.key}", register or "logged"
        if self.client.get_run(run_id).data.tags.get(tag) == wanted:
            return
        import mlflow.pytorch

        mlflow.set_tracking_uri(self.client.tracking_uri)
        with mlflow.start_run(run_id=run_id):
            mlflow.pytorch.log_model(
                model.network,
                name="model",
                signature=mlflow.models.infer_signature(model.images_NCHW, model.logits_NK),
                input_example=model.images_NCHW,
                serialization_format=model.form,
                pip_requirements=list(model.requirements),
                registered_model_name=register,
            )
        self.client.set_tag(run_id, tag, wanted)


def params_of(trial: Trial) -> Iterator[Param]:
    """A trial's settings under the names that axes have in the file: `lr`, `model.name`, `data.split.seed`, `seed`."""
    for path, value in _flat(trial.config):
        text = value if isinstance(value, str) else repr(value)
        yield Param(path.removeprefix("train."), text[:PARAM_LENGTH])


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        if isinstance(item, Mapping):
            yield from _flat(item, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", item


def metrics_of(row: Row) -> list[Metric]:
    """One epoch's metrics at the time they were measured."""
    at, step = int(row["time"] * 1000), int(row["epoch"])
    return [Metric(name, value, at, step) for name, value in row.items() if name not in ("epoch", "time")]


def class_metrics(folder: Folder) -> dict[str, float]:
    """`test_class/<name>` for up to 50 classes, from the per-class table."""
    if not folder.exists("per_class.csv"):
        return {}
    table = io.StringIO(folder.read("per_class.csv").decode(), newline="")
    rows = [row for row in csv.DictReader(table) if row["split"] == "test"]
    if len(rows) > MAX_CLASSES:
        return {}
    return {f"test_class/{safe_name(row['class'])}": float(row["top1"]) for row in rows if row["top1"]}


def _ending(result: Result) -> str:
    return f"{result.state.value} {result.ended}"
