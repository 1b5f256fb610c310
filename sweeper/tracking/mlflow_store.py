"""A sweep's runs in MLflow, each made or changed so that doing it twice changes nothing. The one home of MLflow.

A child run is found by its tags before it is made. Rows are published once their state is in a checkpoint, so a row
never changes after; each has the time it was measured at, and MLflow drops a row that it has already. A run is ended
last of all, at the time its result has: a run that says so is whole.
"""

import tempfile
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pandas as pd
from mlflow.entities import Metric, Run, RunTag
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from sweeper.experiment import Experiment
from sweeper.store import Result, Row, StoreError, Sweep
from sweeper.tracking.client import Client, log_each
from sweeper.tracking.database import artifact_location, make_database
from sweeper.tracking.files import PER_CLASS, contents, fingerprint, fingerprint_of
from sweeper.tracking.logged_model import LoggedModel, log_model
from sweeper.tracking.moved import follow
from sweeper.tracking.names import storable
from sweeper.tracking.published import STATUS, Published, ended_at, is_ended, runs_of
from sweeper.tracking.settings import silence
from sweeper.tracking.sqlite import is_gone
from sweeper.tracking.tables import TAG as TABLES_TAG
from sweeper.tracking.tables import table_json, tables_tag
from sweeper.tracking.tags import FAILED_TAG, FILES_TAG, KEY_TAG, NUMBER_TAG, STATE_TAG, SWEEP_ID_TAG, SWEEP_TAG
from sweeper.tracking.values import batches_of, class_metrics, params_of
from sweeper.trial import Trial, TrialState

__all__ = ["LoggedModel", "SweepRuns"]

NAME_LENGTH, TAG_LENGTH = 250, 8000


class SweepRuns:
    """The parent run of a sweep and the child runs of its trials."""

    def __init__(self, uri: str, sweep: Sweep, experiment: Experiment) -> None:
        silence()
        self.sweep, self.sweep_id, self.description = sweep, sweep.identity(), experiment.description
        make_database(uri)
        follow(uri)
        self.client = Client(tracking_uri=uri)
        self.experiment_id = self._experiment(experiment.name, uri)
        found = self._single_runs()
        self.parent = found.pop("") if "" in found else self._create(experiment.name, {}, time.time())
        self.runs = {key: Published.of(run) for key, run in found.items()}
        if self.parent.info.status != "RUNNING":
            self.client.update_run(self.parent.info.run_id, status="RUNNING")

    def _experiment(self, name: str, uri: str) -> str:
        """The experiment's id. One that was deleted comes back, with its runs."""
        found = self.client.get_experiment_by_name(name)
        if found is None:
            place = artifact_location(uri, self.sweep.storage, name)
            return str(self.client.create_experiment(name, place))
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def _single_runs(self) -> dict[str, Run]:
        """This sweep's runs by trial key, the parent as "".

        A request whose answer was lost may have made a run twice: the fuller one stays, the other is deleted.
        """
        runs = list(runs_of(self.client, self.experiment_id, self.sweep_id))
        children = Counter(run.data.tags.get("mlflow.parentRunId") for run in runs)
        runs.sort(key=lambda run: (-len(run.data.metrics), -children[run.info.run_id], run.info.run_id))
        single: dict[str, Run] = {}
        for run in runs:
            if single.setdefault(run.data.tags.get(KEY_TAG, ""), run) is not run:
                self.client.delete_run(run.info.run_id)
        return single

    def _create(self, name: str, tags: Mapping[str, str], begun: float) -> Run:
        own = {SWEEP_TAG: self.sweep.name, SWEEP_ID_TAG: self.sweep_id}
        own |= {"mlflow.source.name": "sweeper", "mlflow.source.type": "LOCAL"}
        return self.client.create_run(
            self.experiment_id, int(begun * 1000), {**own, **tags}, storable(name, NAME_LENGTH)
        )

    def publish(self, trial: Trial, history: Sequence[Row], result: Result | None, is_running: bool) -> None:
        """Bring a trial's run up to what is known: the rows of `history`, and its result when it has ended.

        Asks the store for nothing when its run says all of it already.
        """
        state = result.state if result else TrialState.RUNNING if is_running else TrialState.WAITING
        tags = {STATE_TAG: state.value, "mlflow.parentRunId": self.parent.info.run_id}
        run = self.runs.get(trial.key)
        if run and result and is_ended(run, result) and tags.items() <= run.tags.items():
            self._upload_new(trial, run, result)
            return
        if result:
            tags |= self._file_tags(trial, run.tags if run else {})
        if run and run.tags.get(STATE_TAG) == TrialState.FAILED.value:
            tags[FAILED_TAG] = "true"
        if run is None:
            run = self._created(trial, history, result, tags)
        try:
            self._log(run, trial, history, result, tags)
            if result:
                self._upload_of(trial, run, result)
        except StoreError:  # ended all the same, but not at its own time: that would say that it is whole
            self._set_status(run, STATUS[state], None)
            raise
        self._set_status(run, STATUS[state], result)

    def has_ended(self, trial: Trial, result: Result) -> bool:
        """Whether a trial's run is known to say how it ended."""
        run = self.runs.get(trial.key)
        return run is not None and is_ended(run, result)

    def _created(
        self, trial: Trial, history: Sequence[Row], result: Result | None, tags: Mapping[str, str]
    ) -> Published:
        own = {KEY_TAG: trial.key, NUMBER_TAG: str(trial.number)}
        run = Published.of(self._create(trial.name, {**tags, **own}, _begun(history, result)))
        self.runs[trial.key] = run
        return run

    def _log(
        self, run: Published, trial: Trial, history: Sequence[Row], result: Result | None, tags: Mapping[str, str]
    ) -> None:
        """Parameters, rows, final metrics and tags, as far as the run lacks them; whole rows in each request."""
        params = [param for param in params_of(trial) if param.key not in run.params]
        batches = list(batches_of(self._new_rows(run, history))) or [[]]
        batches[-1] += self._final_metrics(run, trial, result)
        for metrics in batches:
            is_last = metrics is batches[-1]
            news = [RunTag(*tag) for tag in tags.items() if is_last and tag not in run.tags.items()]
            if metrics or params or news:
                self.client.log_batch(run.run_id, metrics, params, news)
            run.params.update(param.key for param in params)
            run.metrics.update(metric.key for metric in metrics)
            params = []
        if history:  # without any, what the run has is still to be asked
            run.epoch = max(run.epoch or 0, int(history[-1]["epoch"]))
        run.tags.update(tags)

    def _new_rows(self, run: Published, history: Sequence[Row]) -> list[Row]:
        """The rows after the last that the run has; the store is asked for that once, of runs that were made before."""
        if not history:
            return []
        if run.epoch is None:
            names = sorted(run.metrics & history[0].keys(), key=lambda name: name != "lr")
            steps = [metric.step for metric in self.client.get_metric_history(run.run_id, names[0])] if names else []
            run.epoch = max(steps, default=0)
        return [row for row in history if row["epoch"] > run.epoch]

    def _final_metrics(self, run: Published, trial: Trial, result: Result | None) -> list[Metric]:
        """Test metrics of a complete trial, at its best epoch."""
        if result is None or result.state is not TrialState.COMPLETE:
            return []
        at, step = int(result.ended * 1000), result.best_epoch or 0
        final = {name: value for name, value in result.summary.items() if name.startswith("test/")}
        final |= class_metrics(self.sweep.trial(trial.key).left(result))
        return [Metric(name, value, at, step) for name, value in final.items() if name not in run.metrics]

    def _file_tags(self, trial: Trial, known: Mapping[str, str]) -> dict[str, str]:
        """What tells which files a run has, and which of them is a table; `known`: the tags that it has."""
        folder = self.sweep.trial(trial.key).artifacts
        tables = [PER_CLASS] if folder.exists("per_class.csv") else []
        tags = {FILES_TAG: fingerprint(folder), TABLES_TAG: tables_tag(tables, known.get(TABLES_TAG))}
        return {name: value for name, value in tags.items() if value != "[]"}

    def _upload_new(self, trial: Trial, run: Published, result: Result) -> None:
        """Upload the files of a run that was whole, if some came after or all went: the tags last, which say that it is done."""
        tags = self._file_tags(trial, run.tags)
        has_files = result.error is not None or tags[FILES_TAG] != fingerprint_of({})
        if (has_files and is_gone(run.artifacts)) or not tags.items() <= run.tags.items():
            self._upload_of(trial, run, result)
            self.client.log_batch(run.run_id, tags=[RunTag(*tag) for tag in tags.items()])
            run.tags.update(tags)

    def _upload_of(self, trial: Trial, run: Published, result: Result) -> None:
        """Upload a trial's files. The error of an earlier try, which MLflow cannot remove, is written over."""
        files = contents(self.sweep.trial(trial.key).left(result))
        if result.error:
            files["error.txt"] = result.error.encode("utf-8", "backslashreplace")
        elif FAILED_TAG in run.tags:
            files["error.txt"] = f"It had failed; tried again, it is {result.state.value}.\n".encode()
        self._upload(run.artifacts, files)

    def _upload(self, uri: str, files: Mapping[str, bytes]) -> None:
        """Upload a run's files to its URI; the client's own call would ask the store for that first."""
        artifacts = get_artifact_repository(uri, tracking_uri=self.client.tracking_uri)
        with tempfile.TemporaryDirectory() as scratch:
            for name, content in files.items():
                place = Path(scratch, name)
                place.parent.mkdir(exist_ok=True)
                place.write_bytes(content)
            log_each(artifacts.log_artifact, Path(scratch))

    def _set_status(self, run: Published, status: str, result: Result | None) -> None:
        if status == "RUNNING" and run.status != status:
            self.client.update_run(run.run_id, status=status)
        elif result or run.status != status:
            run.end_time = ended_at(result, run.start_time) if result else max(int(time.time() * 1000), run.start_time)
            self.client.set_terminated(run.run_id, status, run.end_time)
        run.status = status

    def end_others(self, keys: Collection[str]) -> None:
        """End the runs of trials that are not in the folder any more, whom nobody else would end."""
        for key, run in self.runs.items():
            if key not in keys and run.status == STATUS[TrialState.RUNNING]:
                self.client.log_batch(run.run_id, tags=[RunTag(STATE_TAG, TrialState.WAITING.value)])
                self._set_status(run, STATUS[TrialState.WAITING], None)

    def log_model(self, model: LoggedModel, register: str | None) -> str | None:
        """Log the best trial's network on the parent run, once for each best trial; register it when asked: its address."""
        return log_model(self.client, self.parent, model, register)

    def publish_parent(
        self, files: Mapping[str, bytes], tables: Mapping[str, pd.DataFrame], tags: Mapping[str, str], is_over: bool
    ) -> None:
        """Give the parent run its files, tables by file name, and tags; FINISHED when every trial has ended, else KILLED."""
        run_id = self.parent.info.run_id
        self._upload(
            self.parent.info.artifact_uri, {**files, **{name: _as_json(table) for name, table in tables.items()}}
        )
        told = {**tags, "mlflow.note.content": self.description}
        if tables:
            told[TABLES_TAG] = tables_tag(tables, self.parent.data.tags.get(TABLES_TAG))
        self.client.log_batch(run_id, tags=[RunTag(name, storable(value, TAG_LENGTH)) for name, value in told.items()])
        ended = max(int(time.time() * 1000), self.parent.info.start_time)
        self.client.set_terminated(run_id, "FINISHED" if is_over else "KILLED", ended)


def _as_json(table: pd.DataFrame) -> bytes:
    rows = table.astype(object).where(table.notna(), None).itertuples(index=False, name=None)
    return table_json(list(table.columns), rows)


def _begun(history: Sequence[Row], result: Result | None) -> float:
    """When a trial began, as far as its rows tell."""
    first = next(iter(result.history if result else history), None)
    ended = result.ended if result else time.time()
    return min(first["time"] - first.get("epoch_seconds", 0.0), ended) if first else ended
