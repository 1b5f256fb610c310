"""The sweep folder: its layout and what its files hold. The only source of truth about a sweep.

<storage>/<name>/experiment.yaml             the resolved experiment
<storage>/<name>/machine.json                what the machine decided when the sweep began
<storage>/<name>/code.json                   by which code its trials ran
<storage>/<name>/sweep.json                  the folder's own id, by which MLflow's runs are found
<storage>/<name>/published.json              what has been published last; may be removed
<storage>/<name>/left_out.json               trials of an earlier version of the file, which are kept but shown nowhere
<storage>/<name>/excluded.csv                images that do not decode and are left out, where there are any
<storage>/<name>/dashboard.html              the page as of the last run
<storage>/<name>/trials/<key>/trial.json     number, cell, seed, short name, resolved config
<storage>/<name>/trials/<key>/history.json   one row an epoch, while the trial runs
<storage>/<name>/trials/<key>/checkpoint.pt  latest resumable state, checksummed
<storage>/<name>/trials/<key>/result.json    only when the trial has ended
<storage>/<name>/trials/<key>/artifacts/     per_class.csv, confusion.csv, predictions.parquet, model.pt
<storage>/<name>/trials/<key>/artifacts/pictures/   predictions, mistakes, confusion and calibration, each .png;
                                                    of the best trial saliency, kernels, kernels_deep and histograms too;
                                                    errors.txt says which could not be drawn, and why
"""

import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

from sweeper import lock
from sweeper.folder import READ_AT_ONCE, TEMPORARY, Folder, StoreError, opened_text, sealed_text
from sweeper.left import Artifacts, Checksums
from sweeper.trial import Trial, TrialState

__all__ = [
    "Folder",
    "Machine",
    "Record",
    "Result",
    "Row",
    "StoreError",
    "Sweep",
    "TrialFolder",
    "sweeps",
    "time_after",
]

TRIES = 5
MOST_EPOCHS, MOST_SEED, LAST_TIME = 2**31, 2**63 - 1, 2.0**36  # of time in seconds: the year 4147
LEFT_OUT = "left_out.json"
Row = dict[str, float]


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


@dataclass(frozen=True)
class Machine:
    """What the machine decides and changes the last bits: decided once, kept in `machine.json`, honoured ever after.

    `window` is the search's lag (see `sweeper.search`), `processor` the vector instructions or the kind of GPU, `software`
    the versions that compute; empty in folders from before it was kept. `trials_a_gpu` is for `gpus_per_trial: auto`.
    """

    device: str
    processor: str
    precision: str
    threads: int
    window: int
    software: str = ""
    trials_a_gpu: int = 1


def time_after(history: Sequence[Row]) -> float:
    """Unix seconds, never before the last row's: a clock may be set back while a trial runs."""
    return max([time.time(), *(row.get("time", 0.0) for row in history[-1:])])


def _history(fields: dict[str, Any]) -> tuple[Row, ...]:
    if fields.keys() != {"history"}:
        raise ValueError(f"it has {', '.join(fields)}")
    return _rows(fields["history"])


def _rows(history: list[Mapping[str, Any]]) -> tuple[Row, ...]:
    rows = tuple({name: float(value) for name, value in row.items()} for row in history)
    for row in rows:
        _check("epoch", row["epoch"], 1, MOST_EPOCHS)
        _check("time", row.get("time", 0.0), 0, LAST_TIME)
    return rows


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high or (high == MOST_EPOCHS and value != int(value)):
        raise ValueError(f"{name} is {value}")


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
        """End the trial. `history.json` and, unless the trial can go on from it, the checkpoint become needless."""
        self.write_json("result.json", asdict(result))
        self.remove("history.json")
        if result.state in (TrialState.COMPLETE, TrialState.DIVERGED):
            self.remove("checkpoint.pt")
        self.remove_torn()

    def remove_torn(self) -> None:
        """Remove temporary files of a process that was killed as it wrote one."""
        for folder in (self, self.artifacts, self.pictures) if self.is_local else ():
            for name in folder.names():
                if name.endswith(TEMPORARY):
                    folder.remove(name)

    def reopen(self) -> None:
        """Let an ended trial go on from its checkpoint."""
        self.remove("result.json")

    def read_trial(self) -> Trial:
        return self.parsed("trial.json", _trial)

    def read_result(self) -> Result:
        return self.parsed("result.json", _result)

    def record(self) -> Record | None:
        """What the folder knows of this trial, which may be running; None before its `trial.json` was written."""
        for _ in range(TRIES):
            wanted = told_by(self.names())
            record = self.record_from(dict(zip(wanted, self.read_each(wanted), strict=True)))
            if record or not wanted:
                return record
        raise StoreError(f"{self.path} changes faster than it can be read; do not run two sweeps in it")

    def record_from(self, contents: Mapping[str, bytes | None]) -> Record | None:
        """A record from the files that tell of it; None when one has gone between the listing and the reading."""
        there = {name: content for name, content in contents.items() if content is not None}
        if not there or len(there) < len(contents):
            return None
        trial = self.parsed_from(there["trial.json"], "trial.json", _trial)
        if "result.json" in there:
            result = self.parsed_from(there["result.json"], "result.json", _result)
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
    _check("number", trial.number, 0, MOST_EPOCHS)
    _check("seed", trial.seed, -MOST_SEED, MOST_SEED)
    return trial


def _result(fields: dict[str, Any]) -> Result:
    summary = {name: float(value) for name, value in fields["summary"].items()}
    history = _rows(fields["history"])
    result = Result(**{**fields, "state": TrialState(fields["state"]), "summary": summary, "history": history})
    if not result.state.is_finished:
        raise ValueError(f"its state is {result.state}")
    if result.best_epoch is not None:
        _check("best_epoch", result.best_epoch, 0, MOST_EPOCHS)
    _check("saved_epoch", result.saved_epoch, 0, MOST_EPOCHS)
    _check("ended", result.ended, 0, LAST_TIME)
    if not isinstance(result.error, str | None) or not isinstance(result.artifacts, Mapping | None):
        raise ValueError("it has something else where an error or checksums should be")
    return result


def _machine(fields: dict[str, Any]) -> Machine:
    machine = Machine(**fields)
    kinds = {name: type(value) for name, value in asdict(machine).items()}
    if kinds != dict(Machine.__annotations__):
        raise ValueError(f"it has {fields}")
    return machine


class Sweep:
    """A sweep's folder under a storage root (a local path or an fsspec URL)."""

    def __init__(self, storage: str, name: str) -> None:
        self.name = name
        self.storage = Folder(storage)
        self.folder = self.storage.sub(name)

    def exists(self) -> bool:
        return self.folder.exists("experiment.yaml")

    def write_experiment(self, text: str) -> None:
        """Keep the resolved experiment, unless it is there already."""
        if not self.exists() or self.folder.read("experiment.yaml") != sealed_text(text):
            self.folder.write("experiment.yaml", sealed_text(text))

    def experiment(self) -> str:
        """The text of `experiment.yaml`. Raises StoreError when it is not what was written."""
        content = self.folder.read("experiment.yaml")
        text = opened_text(content)
        if text is None:
            raise StoreError(
                f"{self.folder.told('experiment.yaml')} is damaged: its checksum is wrong. Write it anew with `sweeper run "
                "FILE`; or, if you have changed it on purpose, remove its first and last lines."
            )
        return text

    def machine(self) -> Machine | None:
        """What was decided when the sweep began; None before that."""
        if not self.folder.exists("machine.json"):
            return None
        return self.folder.parsed("machine.json", _machine)

    def identity(self) -> str:
        """A name for this folder that no other sweep has, wherever it is moved; made when first asked for."""
        if not self.folder.exists("sweep.json"):
            self.folder.write_json("sweep.json", {"id": secrets.token_hex(8)})
        return self.folder.parsed("sweep.json", lambda fields: str(fields["id"]))

    def write_machine(self, machine: Machine) -> None:
        self.folder.write_json("machine.json", asdict(machine))

    def trial(self, key: str) -> TrialFolder:
        return self.folder.below(TrialFolder, "trials", key)

    def records(self) -> list[Record]:
        """The trials that the sweep's file, as it now is, asks for, by number. Raises StoreError that names a damaged file."""
        return self._all_but(self.left_out())

    def all_records(self) -> list[Record]:
        """Every trial in the folder, by number, also those that an earlier version of the file asked for."""
        return self._all_but(())

    def _all_but(self, keys: Collection[str]) -> list[Record]:
        found = [record for batch in self._batches_of_trials(keys) for record in self._records(batch)]
        return sorted(found, key=lambda record: record.trial.number)

    def _batches_of_trials(self, without: Collection[str]) -> Iterator[dict[str, tuple[str, ...]]]:
        """Which files tell of each trial, by key, some hundred trials at a time."""
        names: dict[str, list[str]] = {}
        for path in self.folder.sub("trials").files(depth=2):
            key, _, name = path.partition("/")
            names.setdefault(key, []).append(name)
        wanted = ((key, told_by(own)) for key, own in names.items() if key not in without)
        told = ((key, files) for key, files in wanted if files)
        while part := dict(islice(told, READ_AT_ONCE)):
            yield part

    def _records(self, wanted: Mapping[str, tuple[str, ...]]) -> Iterator[Record]:
        paths = [f"{key}/{name}" for key, names in wanted.items() for name in names]
        contents = self.folder.sub("trials").read_each(paths)
        for key, names in wanted.items():
            folder = self.trial(key)
            found = {name: next(contents) for name in names}
            record = folder.record_from(found) or folder.record()  # it went on meanwhile
            if record:
                yield record

    def asked_for(self, records: Sequence[Record]) -> list[Record]:
        """Of all records those of `records`."""
        left_out = self.left_out()
        return [record for record in records if record.trial.key not in left_out]

    def left_out(self) -> set[str]:
        """The keys of trials that the file no longer asks for, or asks for with other images or code."""
        if not self.folder.exists(LEFT_OUT):
            return set()
        return self.folder.parsed(LEFT_OUT, lambda fields: set(fields["keys"]))

    def leave_out(self, keys: set[str]) -> None:
        """Keep these trials out of `records` from now on, and no others. Writes a damaged list anew."""
        try:
            is_known = keys == self.left_out()
        except StoreError:
            is_known = False
        if not is_known:
            self.folder.write_json(LEFT_OUT, {"keys": sorted(keys)})

    def lock(self, tell: Callable[[str], object] = print) -> AbstractContextManager[None]:
        """Hold the sweep for this process. Raises StoreError that names the owner when another live process holds it."""
        return lock.hold(self.folder, self.name, tell)

    def is_running(self) -> bool:
        """Whether a live process holds the sweep."""
        return lock.is_held(self.folder)


def sweeps(storage: str) -> list[Sweep]:
    """The sweeps under a storage root, by name."""
    found = (Sweep(storage, name) for name in Folder(storage).names())
    return [sweep for sweep in found if sweep.exists()]
