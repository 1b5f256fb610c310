"""A sweep that is about to run."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

from sweeper.data import Dataset, Excluded, passed_over, prepare_at
from sweeper.data.split import split, told_missing, told_parts, told_unused
from sweeper.experiment import CHOOSING_IMAGES, Data, Experiment, Settings, Split, Tracking, to_plain
from sweeper.reading import write_experiment
from sweeper.search import Search, goes_on
from sweeper.space import Space
from sweeper.space.setting import setting_steps
from sweeper.store import Record, Sweep
from sweeper.text.redaction import without_password
from sweeper.trial import canonical_json, settings_for

MAX_CELLS = 2000
MAX_MODELS = 12
COSTLY = ("batch_size", "epochs", "optimizer", "precision", "ema")


def is_costly(axis: str) -> bool:
    """Whether an axis changes how long a trial takes."""
    section, *setting = setting_steps(axis)
    return section in ("model", "data") or setting[0] in COSTLY


def is_weighty(axis: str) -> bool:
    """Whether an axis changes how long a trial takes, or its memory: without momentum SGD keeps nothing of each weight."""
    return is_costly(axis) or setting_steps(axis) == ("train", "momentum")


def changes_model(axis: str) -> bool:
    """Whether an axis changes the model, or how many classes and pixels it is built for."""
    steps = setting_steps(axis)
    return steps[0] == "model" or steps in (*CHOOSING_IMAGES, ("data", "image_size"), ("data", "crop_size"))


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
    """A sweep that is about to run: its folder, its experiment, what is there already, and the search over the rest.

    `note` writes what else belongs into the folder; it is called when nothing speaks against running the sweep any more.
    """

    sweep: Sweep
    experiment: Experiment
    records: Sequence[Record]
    fingerprints: Fingerprints
    retry_failed: bool = False
    note: Callable[[], object] = lambda: None

    @classmethod
    def of(cls, sweep: Sweep, experiment: Experiment, retry_failed: bool = False, has_rows: bool = True) -> "Sweeping":
        """Without `has_rows` what is there already is known without its histories, by which a pruner judges."""
        return cls(sweep, experiment, sweep.all_records(has_rows), Fingerprints(experiment.data), retry_failed)

    def goes_on(self, record: Record) -> bool:
        """Whether an ended trial is taken up again."""
        return goes_on(record, self.experiment, self.retry_failed)

    def settings_left(self) -> Iterator[Settings]:
        """The settings of each grid trial that has not ended; of a sampler's, those of its `shapes`."""
        if self.experiment.search.method != "grid":
            yield from self.shapes()
            return
        search = self.search(None)
        while trial := search.ask():
            yield trial.settings

    def shapes(self, matters: Callable[[str], bool] = is_weighty) -> Iterator[Settings]:
        """The settings of trials that may differ in what they take of a machine: of a range, those at its two ends.

        Of a sampler's, one for each combination on the axes that matter.
        """
        if self.experiment.search.method == "grid":
            yield from self.settings_left()
            return
        yield from islice(self._over(matters), MAX_CELLS)

    def models(self) -> list[Settings]:
        """A trial of each distinct model and size of image that is left, or that a sampler may draw; the first twelve."""
        # A grid of 10,000 cells takes seconds to walk; where no axis changes the model or its images, one cell tells of all.
        is_one = not any(map(changes_model, Space.of(self.experiment.search).names))
        distinct: dict[tuple[str, int], Settings] = {}
        for settings in islice(self.shapes(changes_model), 1 if is_one else None):
            distinct.setdefault((canonical_json(to_plain(settings.model)), settings.data.input_size), settings)
            if len(distinct) == MAX_MODELS:
                break
        return list(distinct.values())

    def excluded(self) -> tuple[Excluded, ...]:
        """The images that some trial leaves out because they cannot be decoded; each choice of images is prepared for it."""
        sections = self.data_sections(*CHOOSING_IMAGES)  # whether one decodes does not depend on the other settings
        found = (prepare_at(self.experiment.data, data).excluded for data in sections)
        return tuple(dict.fromkeys(one for excluded in found for one in excluded))

    def passed_over(self) -> tuple[str, ...]:
        """The files beside the images of some trial that are not taken for images and that somebody may miss."""
        sections = self.data_sections(*CHOOSING_IMAGES)
        return tuple(dict.fromkeys(one for data in sections for one in passed_over(self.experiment.data, data)))

    def cautions(self) -> tuple[str, ...]:
        """What is to be told of each choice of images: those its split leaves unused, classes with none to judge by."""
        found = [
            (told_unused(dataset, how), told_missing(dataset, split(dataset, how))) for dataset, how in self._divided()
        ]
        return tuple(dict.fromkeys(one for both in found for one in both if one))

    def parts(self) -> tuple[str, ...]:
        """How many images each choice of images, divided as it is, has for training, validation and test."""
        return tuple(dict.fromkeys(told_parts(dataset, split(dataset, how)) for dataset, how in self._divided()))

    def _divided(self) -> Iterator[tuple[Dataset, Split | Literal["official"]]]:
        """Each choice of images with each way to divide them."""
        for data in self.data_sections(*CHOOSING_IMAGES, ("data", "split")):
            yield prepare_at(self.experiment.data, data), data.split

    def data_sections(self, *settings: tuple[str, str]) -> Iterator[Data]:
        """One data section for each combination of these settings; what a sampler draws from a range is seen only later."""
        cells = self._over(lambda axis: setting_steps(axis)[:2] in settings)
        yield from dict.fromkeys(one.data for one in cells)

    def _over(self, matters: Callable[[str], bool]) -> Iterator[Settings]:
        """The settings of one cell for each combination on the axes that matter; of a range, its two ends."""
        space = Space.of(self.experiment.search).with_ends()
        for cell in space.cells_over([*filter(matters, space.names)]):
            yield settings_for(self.experiment, cell, self.experiment.search.seeds[0])

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
