"""A sweep that is about to run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from sweeper.data import Excluded, prepare_at
from sweeper.experiment import CHOOSING_IMAGES, Data, Experiment, Settings, Tracking
from sweeper.reading import write_experiment
from sweeper.redaction import without_password
from sweeper.search import Search, goes_on
from sweeper.space import Space, setting_steps
from sweeper.store import Record, Sweep
from sweeper.trial import canonical_json, settings_for

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

    def excluded(self) -> tuple[Excluded, ...]:
        """The images that some trial leaves out because they cannot be decoded; each choice of images is prepared for it."""
        found = (prepare_at(self.experiment.data, data).excluded for data in self._data_sections())
        return tuple(dict.fromkeys(one for excluded in found for one in excluded))

    def _data_sections(self) -> Iterator[Data]:
        """One data section for each choice of images: whether one decodes does not depend on the section's other settings."""
        search, space = self.experiment.search, Space.of(self.experiment.search)
        choosing = [name for name in space.names if setting_steps(name) in CHOOSING_IMAGES]
        if search.method != "grid":  # one sees what is drawn only later; of a range of first classes, the end has all
            axes = tuple(axis.with_ends() for axis in space.axes if {*axis.names} & {*choosing})
            space = Space(axes, space.include, space.exclude)
        cells = {canonical_json([cell.get(name) for name in choosing]): cell for cell in space.cells()}
        for cell in cells.values():
            yield settings_for(self.experiment, cell, search.seeds[0]).data

    def own(self, search: Search) -> list[Record]:
        """The trials in the folder that the file as it now is asks for."""
        return [record for record in self.records if record.trial.key in search.known]

    def others(self, search: Search) -> list[Record]:
        """The trials in the folder that it does not ask for."""
        return [record for record in self.records if record.trial.key not in search.known]

    def keep(self, search: Search) -> None:
        """Make this the folder's experiment, and leave the trials of others out of every table."""
        self.sweep.leave_out({record.trial.key for record in self.others(search)})
        store_experiment(self.sweep, self.experiment)

    def search(self, window: int | None = None) -> Search:
        return Search(self.experiment, self.fingerprints, self.records, window, self.retry_failed)


def store_experiment(sweep: Sweep, experiment: Experiment) -> None:
    """Keep the resolved experiment in the folder, for `resume` and for every reader; a password in it is left out."""
    uri = experiment.tracking.uri
    shown = replace(experiment, tracking=Tracking(uri and without_password(uri)))
    sweep.write_experiment(write_experiment(shown))
