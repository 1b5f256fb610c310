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
<storage>/<name>/trials/<key>/checkpoint.before.pt   the one before, for when the latest is damaged
<storage>/<name>/trials/<key>/result.json    only when the trial has ended
<storage>/<name>/trials/<key>/artifacts/     per_class.csv, confusion.csv, predictions.parquet, model.pt
<storage>/<name>/trials/<key>/artifacts/pictures/   predictions, mistakes, confusion and calibration, each .png;
                                                    of the best trial saliency, kernels, kernels_deep and histograms too;
                                                    errors.txt says which could not be drawn, and why
"""

import secrets
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from sweeper.store import lock
from sweeper.store.folder import READ_AT_ONCE, Folder, StoreError
from sweeper.store.seals import opened_text, sealed_text
from sweeper.store.trial_folder import Record, Result, Row, TrialFolder, time_after, told_by
from sweeper.text.commands import command

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

LEFT_OUT = "left_out.json"
ENDED = ("trial.json", "result.json")


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
        self.known_identity: str | None = None

    def exists(self) -> bool:
        return self.folder.exists("experiment.yaml")

    def command(self, verb: str, options: Mapping[str, object] | None = None) -> str:
        """See `commands.command`."""
        return command(verb, self.name, self.storage.url, options)

    def write_experiment(self, text: str) -> None:
        """Keep the resolved experiment, unless it is there already."""
        if not self.exists() or self.folder.read("experiment.yaml") != sealed_text(text):
            self.folder.write("experiment.yaml", sealed_text(text))

    def experiment(self) -> str:
        """The text of `experiment.yaml`. Raises StoreError when it is not what was written."""
        content = self.folder.read("experiment.yaml")
        text = opened_text(content)
        if text is None:
            anew = command("run", "FILE", self.storage.url)
            raise StoreError(
                f"{self.folder.told('experiment.yaml')} is damaged: its checksum is wrong. Write it anew with `{anew}`; or, if "
                "you have changed it on purpose, remove its first and last lines."
            )
        return text

    def machine(self) -> Machine | None:
        """What was decided when the sweep began; None before that."""
        if not self.folder.exists("machine.json"):
            return None
        return self.folder.parsed("machine.json", _machine)

    def identity(self) -> str:
        """A name for this folder that no other sweep has, wherever it is moved; made when first asked for.

        Raises StoreError when the folder has another name than before, or none: it is not the same any more.
        """
        if self.known_identity is None and not self.folder.exists("sweep.json"):
            self.folder.write_json("sweep.json", {"id": secrets.token_hex(8)})
        try:
            found = self.folder.parsed("sweep.json", lambda fields: str(fields["id"]))
        except (FileNotFoundError, NotADirectoryError):
            found = ""
        if found != (self.known_identity or found):
            raise StoreError(
                f"{self.folder.url} was moved or removed, or its disk was taken away, while this ran "
                f"({self.folder.told('sweep.json')} is gone, or another's). Put it back first"
            )
        self.known_identity = found
        return found

    def write_machine(self, machine: Machine) -> None:
        self.folder.write_json("machine.json", asdict(machine))

    def trial(self, key: str) -> TrialFolder:
        return self.folder.below(TrialFolder, "trials", key)

    def records(self) -> list[Record]:
        """The trials that the sweep's file, as it now is, asks for, by number. Raises StoreError that names a damaged file."""
        return self._all_but(self.left_out())

    def all_records(self, has_rows: bool = True) -> list[Record]:
        """Every trial in the folder, by number, also those that an earlier version of the file asked for.

        Without `has_rows` those that have ended come without their histories, in half of the time.
        """
        return self._all_but((), has_rows)

    def readable_records(self) -> list[Record]:
        """As `all_records`, without those whose files are damaged."""
        found = []
        for key in self.folder.sub("trials").names():
            with suppress(StoreError, OSError):
                found.append(self.trial(key).record())
        return [record for record in found if record]

    def _all_but(self, keys: Collection[str], has_rows: bool = True) -> list[Record]:
        found = [record for batch in self._batches_of_trials(keys) for record in self._records(batch, has_rows)]
        return sorted(found, key=lambda record: record.trial.number)

    def _batches_of_trials(self, without: Collection[str]) -> Iterator[dict[str, tuple[str, ...]]]:
        """Which files tell of each trial, by key, some hundred trials at a time."""
        told = ((key, files) for key, files in self._told().items() if files and key not in without)
        while part := dict(islice(told, READ_AT_ONCE)):
            yield part

    def _told(self) -> Mapping[str, tuple[str, ...]]:
        trials = self.folder.sub("trials")
        if trials.is_local:  # most have ended, and the others are looked at again: sooner than a listing of each folder
            return dict.fromkeys(trials.names(), ENDED)
        names: dict[str, list[str]] = {}
        for path in trials.files(depth=2):
            key, _, name = path.partition("/")
            names.setdefault(key, []).append(name)
        return {key: told_by(own) for key, own in names.items()}

    def _records(self, wanted: Mapping[str, tuple[str, ...]], has_rows: bool) -> Iterator[Record]:
        paths = [f"{key}/{name}" for key, names in wanted.items() for name in names]
        contents = self.folder.sub("trials").read_each(paths)
        for key, names in wanted.items():
            folder = self.trial(key)
            found = {name: next(contents) for name in names}
            record = folder.record_from(found, has_rows) or folder.record(has_rows)  # it goes on, or went on meanwhile
            if record:
                yield record

    def asked_for(self, records: Sequence[Record]) -> list[Record]:
        """Those of the given records whose trials the file still asks for."""
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
