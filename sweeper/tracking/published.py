"""The runs that MLflow has of a sweep, and whether they say what its folder does."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlflow.entities import Run, RunInfo, ViewType

from sweeper.experiment import Experiment
from sweeper.store import Record, Result, Sweep
from sweeper.tracking.client import Client
from sweeper.tracking.files import fingerprint_of
from sweeper.tracking.settings import silence
from sweeper.tracking.sqlite import is_gone
from sweeper.tracking.tags import FILES_TAG, KEY_TAG, SWEEP_ID_TAG
from sweeper.trial import TrialState

STATUS = {
    TrialState.WAITING: "KILLED",
    TrialState.RUNNING: "RUNNING",
    TrialState.COMPLETE: "FINISHED",
    TrialState.DIVERGED: "FINISHED",
    TrialState.PRUNED: "KILLED",
    TrialState.FAILED: "FAILED",
}
RUNS_A_REQUEST = 1000


@dataclass
class Published:
    """What MLflow has of a trial. `artifacts`: its files' URI; `epoch`: its last row's, None before that was asked."""

    run_id: str
    artifacts: str
    status: str
    start_time: int
    end_time: int | None
    tags: dict[str, str]
    params: set[str]
    metrics: set[str]
    epoch: int | None

    @classmethod
    def of(cls, run: Run) -> "Published":
        info, data = run.info, run.data
        return cls(
            run_id=info.run_id,
            artifacts=str(info.artifact_uri),
            status=info.status,
            start_time=info.start_time,
            end_time=info.end_time,
            tags=dict(data.tags),
            params=set(data.params),
            metrics=set(data.metrics),
            epoch=None if data.metrics else 0,
        )


def runs_of(client: Client, experiment_id: str, sweep_id: str) -> Iterator[Run]:
    """The active runs of a sweep: its parent's and its trials'."""
    token, wanted = None, f"tags.`{SWEEP_ID_TAG}` = '{sweep_id}'"
    while True:
        page = client.search_runs([experiment_id], wanted, ViewType.ACTIVE_ONLY, RUNS_A_REQUEST, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def has_all_runs(uri: str, sweep: Sweep, experiment: Experiment, records: Sequence[Record]) -> bool:
    """Whether a store has one parent run and one run for each trial, all ended as the folder says, with files. Changes nothing.

    Trials that are not in the folder any more may have runs too, which have ended.
    """
    silence()
    client = Client(tracking_uri=uri)
    found = client.get_experiment_by_name(experiment.name)
    if found is None or found.lifecycle_stage == "deleted":
        return False
    runs = list(runs_of(client, found.experiment_id, sweep.identity()))
    ends = {run.data.tags.get(KEY_TAG, ""): run.info for run in runs}
    wanted = {record.trial.key: record for record in records}
    return (
        len(runs) == len(ends)
        and ends.keys() >= {"", *wanted}
        and ends[""].status in ("FINISHED", "KILLED")
        and all(_is_as(ends[key], record) for key, record in wanted.items())
        and all(ends[key].status != STATUS[TrialState.RUNNING] for key in ends.keys() - wanted.keys())
        and not any(map(_has_lost_files, runs))
    )


def _has_lost_files(run: Run) -> bool:
    no_files = fingerprint_of({})
    return run.data.tags.get(FILES_TAG, no_files) != no_files and is_gone(run.info.artifact_uri)


def _is_as(run: RunInfo, record: Record) -> bool:
    if record.result is None:
        return str(run.status) == STATUS[TrialState.WAITING]
    return (run.status, run.end_time) == (STATUS[record.state], ended_at(record.result, run.start_time))


def ended_at(result: Result, began: int) -> int:
    """Not before the run began, though the clock may have been set back meanwhile."""
    return max(int(result.ended * 1000), began, 1)  # MLflow takes 0 for now


def is_ended(run: Published, result: Result) -> bool:
    return run.status == STATUS[result.state] and run.end_time == ended_at(result, run.start_time)
