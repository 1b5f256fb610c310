"""A sweep that is about to run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from sweeper.data import prepare_at
from sweeper.experiment import Data, Experiment, Settings
from sweeper.search import Search, goes_on
from sweeper.space import Space
from sweeper.store import Record, Sweep
from sweeper.trial import settings_for

MAX_CELLS = 2000


class Fingerprints:
    """The fingerprint of each data section, whose images are prepared when it is first asked for."""

    def __init__(self, access: Data) -> None:
        self.access = access
        self.known: dict[Data, str] = {}

    def __call__(self, data: Data) -> str:
        if data not in self.known:
            self.known[data] = prepare_at(self.access, data).fingerprint
        return self.known[data]


@dataclass(frozen=True)
class Sweeping:
    """A sweep that is about to run: its folder, its experiment, what is there already, and the search over the rest."""

    sweep: Sweep
    experiment: Experiment
    records: Sequence[Record]
    fingerprints: Fingerprints
    retry_failed: bool = False

    @classmethod
    def of(cls, sweep: Sweep, experiment: Experiment, retry_failed: bool = False) -> "Sweeping":
        return cls(sweep, experiment, sweep.all_records(), Fingerprints(experiment.data), retry_failed)

    def goes_on(self, record: Record) -> bool:
        """Whether an ended trial is taken up again."""
        return goes_on(record, self.experiment, self.retry_failed)

    def settings_left(self) -> Iterator[Settings]:
        """The settings of each grid trial that has not ended; of a sampler's, the file's own."""
        if self.experiment.search.method != "grid":
            yield settings_for(self.experiment, {}, self.experiment.search.seeds[0])
            return
        search = self.search(None)
        while trial := search.ask():
            yield trial.settings

    def shapes(self) -> Iterator[Settings]:
        """The settings of trials that may differ in what they take of a machine: of a range, those at its two ends."""
        if self.experiment.search.method == "grid":
            yield from self.settings_left()
            return
        space = Space.of(self.experiment.search)
        ends = Space(tuple(axis.with_ends() for axis in space.axes), space.include, space.exclude)
        for cell in islice(ends.cells(), MAX_CELLS):
            yield settings_for(self.experiment, cell, self.experiment.search.seeds[0])

    def search(self, window: int | None = None) -> Search:
        return Search(self.experiment, self.fingerprints, self.records, window, self.retry_failed)
