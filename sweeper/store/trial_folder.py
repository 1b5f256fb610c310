"""One trial's files: what each holds, and how it is read back."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sweeper.store.folder import Folder, StoreError
from sweeper.store.left import TABLES, Artifacts, Checksums
from sweeper.trial import Trial, TrialState, trial_key

TRIES = 5
CHECKPOINT, CHECKPOINT_BEFORE = CHECKPOINTS = "checkpoint.pt", "checkpoint.before.pt"
MOST_EPOCHS, MOST_SEED, LAST_TIME = 2**31, 2**63 - 1, 2.0**36  # of time in seconds: the year 4147
Row = dict[str, float]


class CheckpointError(StoreError):
    """A checkpoint is torn, or a bit of it has changed."""


@dataclass(frozen=True)
class Result:
    """How a trial ended: what `result.json` holds.

    `summary` has the metrics of the best epoch and the test metrics, `history` one row an epoch under the metrics'
    MLflow names with `epoch` and `time` (Unix seconds), `saved_epoch` the epoch of the checkpoint left behind (0: none),
    `artifacts` the SHA-256 of the tables that it left, by file name (None: from before they were kept).
    """

    state: TrialState
    summary: Mapping[str, float] = field(default_factory=dict)
    history: tuple[Row, ...] = ()
    best_epoch: int | None = None
    error: str | None = None
    pruning: Mapping[str, Any] | None = None
    saved_epoch: int = 0
    ended: float = 0.0
    artifacts: Checksums | None = None


@dataclass(frozen=True)
class Record:
    """A trial as the folder knows it."""

    trial: Trial
    state: TrialState
    history: tuple[Row, ...] = ()
    result: Result | None = None


def time_after(history: Sequence[Row]) -> float:
    """Unix seconds, never before the last row's: a clock may be set back while a trial runs."""
    return max([time.time(), *(row.get("time", 0.0) for row in history[-1:])])


class TrialFolder(Folder):
    """One trial's files."""

    @property
    def artifacts(self) -> Folder:
        return self.sub("artifacts")

    def left(self, result: Result | None) -> Artifacts:
        """`artifacts` to read from, whose tables must be as this result says that they were written."""
        left = self.below(Artifacts, "artifacts")
        left.checksums = result.artifacts if result else None
        return left

    @property
    def pictures(self) -> Folder:
        return self.artifacts.sub("pictures")

    def write_trial(self, trial: Trial) -> None:
        self.write_json("trial.json", asdict(trial))

    def write_history(self, history: tuple[Row, ...]) -> None:
        self.write_json("history.json", {"history": history})

    def write_result(self, result: Result) -> None:
        """End the trial. `history.json` and, unless the trial can go on from them, the checkpoints become needless."""
        self.write_json("result.json", asdict(result))
        self.remove("history.json")
        if result.state is not TrialState.FAILED:
            kept = self.checkpoint() if result.state is TrialState.PRUNED else None
            for name in CHECKPOINTS:
                if name != kept:
                    self.remove(name)
        self.remove_torn()

    def remove_torn(self) -> None:
        """As of any folder; its artifacts' too."""
        super().remove_torn()
        self.artifacts.remove_torn()
        self.pictures.remove_torn()

    def checkpoint(self) -> str | None:
        """The name of the checkpoint to go on from."""
        return next((name for name in CHECKPOINTS if self.exists(name)), None)

    def set_back(self) -> bool:
        """Remove the latest checkpoint, which is damaged, where there is one before it; whether there was."""
        is_possible = all(map(self.exists, CHECKPOINTS))
        if is_possible:
            self.remove(CHECKPOINT)
        return is_possible

    def reopen(self) -> None:
        """Let an ended trial go on from its checkpoint."""
        self.remove("result.json")

    def read_trial(self) -> Trial:
        return self.parsed("trial.json", self._own_trial)

    def _own_trial(self, fields: dict[str, Any]) -> Trial:
        """The trial, whose key leads to this folder and nowhere else, and whose config is what the key stands for."""
        trial = _trial(fields)
        if trial.key != self.path.rpartition("/")[2]:
            raise ValueError(f"its key is {trial.key!r}")
        if trial.key != trial_key(trial.config):
            raise ValueError("its config is not the one that its key stands for")
        return trial

    def read_result(self) -> Result:
        return self.parsed("result.json", _result)

    def record(self, has_rows: bool = True) -> Record | None:
        """What the folder knows of this trial, which may be running; None before its `trial.json` was written.

        Without `has_rows` the history of one that has ended is left out.
        """
        for _ in range(TRIES):
            wanted = told_by(self.names())
            record = self.record_from(dict(zip(wanted, self.read_each(wanted), strict=True)), has_rows)
            if record or not wanted:
                return record
        raise StoreError(f"{self.path} changes faster than it can be read; do not run two sweeps in it")

    def record_from(self, contents: Mapping[str, bytes | None], has_rows: bool = True) -> Record | None:
        """A record from the files that tell of it; None when one of them is not there, or no more."""
        there = {name: content for name, content in contents.items() if content is not None}
        if not there or len(there) < len(contents):
            return None
        trial = self.parsed_from(there["trial.json"], "trial.json", self._own_trial)
        if "result.json" in there:
            result = self.parsed_from(there["result.json"], "result.json", _result if has_rows else _end)
            return Record(trial, result.state, result.history, result)
        if "history.json" in there:
            history = self.parsed_from(there["history.json"], "history.json", _history)
            return Record(trial, TrialState.RUNNING, history)
        return Record(trial, TrialState.WAITING)


def told_by(names: Collection[str]) -> tuple[str, ...]:
    """Which of a trial's files tell what is known of it; none before its `trial.json` was written."""
    if "trial.json" not in names:
        return ()
    last = next((name for name in ("result.json", "history.json") if name in names), None)
    return ("trial.json", last) if last else ("trial.json",)


def _trial(fields: dict[str, Any]) -> Trial:
    trial = Trial(**{**fields, "number": int(fields["number"])})
    parts = (trial.cell, trial.config, trial.config.get("data", {}))
    if not all(isinstance(part, Mapping) for part in parts) or not isinstance(trial.name, str):
        raise ValueError("it has something else where settings or a name should be")
    _check_whole("number", trial.number, 0, MOST_EPOCHS)
    _check("seed", trial.seed, -MOST_SEED, MOST_SEED)
    return trial


def _result(fields: dict[str, Any]) -> Result:
    summary = {name: float(value) for name, value in fields["summary"].items()}
    history = _rows(fields["history"])
    result = Result(**{**fields, "state": TrialState(fields["state"]), "summary": summary, "history": history})
    if not result.state.is_finished:
        raise ValueError(f"its state is {result.state}")
    if result.best_epoch is not None:
        _check_whole("best_epoch", result.best_epoch, 0, MOST_EPOCHS)
    _check_whole("saved_epoch", result.saved_epoch, 0, MOST_EPOCHS)
    _check("ended", result.ended, 0, LAST_TIME)
    if not isinstance(result.error, str | None) or not _are_checksums(result.artifacts):
        raise ValueError("it has something else where an error or checksums should be")
    return result


def _end(fields: dict[str, Any]) -> Result:
    """A result without its history: of 10,000 trials the rows take more time and memory than all else."""
    return _result({**fields, "history": ()})


def _are_checksums(artifacts: Any) -> bool:
    if artifacts is None:
        return True
    return isinstance(artifacts, Mapping) and all(
        name in TABLES and isinstance(value, str) for name, value in artifacts.items()
    )


def _history(fields: dict[str, Any]) -> tuple[Row, ...]:
    if fields.keys() != {"history"}:
        raise ValueError(f"it has {', '.join(fields)}")
    return _rows(fields["history"])


def _rows(history: Sequence[Mapping[str, Any]]) -> tuple[Row, ...]:
    rows = tuple([{name: float(value) for name, value in row.items()} for row in history])
    for row in rows:
        _check_whole("epoch", row["epoch"], 1, MOST_EPOCHS)
        _check("time", row.get("time", 0.0), 0, LAST_TIME)
    return rows


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}")


def _check_whole(name: str, value: float, low: float, high: float) -> None:
    _check(name, value, low, high)
    if value != int(value):
        raise ValueError(f"{name} is {value}")
