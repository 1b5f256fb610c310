"""The trials that a file asks for by their keys: two cells may come to one trial, and one trial may be written in two ways."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import pairwise
from typing import Any

from sweeper.experiment import Data, Experiment, to_plain
from sweeper.models.code import code_of
from sweeper.space import Space
from sweeper.space.domain import Axis, Cell, Choice
from sweeper.space.setting import setting_steps
from sweeper.trial import Trial, canonical_json, config_for, settings_for, trial_key, value_at

SMALL = 10_000  # cells of a space that may be listed


def count_of(experiment: Experiment) -> int:
    """How many trials an experiment comes to, without a look at its images or its network's code."""
    return Asked(experiment, lambda data: canonical_json(to_plain(data)), lambda name: name).total


class Asked:
    """The cells of an experiment and what they come to."""

    def __init__(
        self, experiment: Experiment, fingerprint: Callable[[Data], str], code: Callable[[str], str | None] = code_of
    ) -> None:
        self.experiment, self.fingerprint, self.code = experiment, fingerprint, code
        self.seeds, self.is_grid = experiment.search.seeds, experiment.search.method == "grid"
        self.space = Space.of(experiment.search)
        self._in_train: dict[tuple[str, str], Any] = {}  # settings as a config has them, by name and value as written

    def config(self, cell: Cell, seed: int) -> dict[str, Any]:
        """A trial's config; where the cell changes `train` alone it is put together from settings that were read before."""
        places = {name: setting_steps(name) for name in cell}
        if any(len(steps) != 2 or steps[0] != "train" for steps in places.values()):
            return self._read_config(cell, seed)
        train = {steps[1]: self._train_setting(name, steps[1], cell[name]) for name, steps in places.items()}
        return {**self._base, "train": {**self._base["train"], **train}, "seed": seed}

    @cached_property
    def _base(self) -> Mapping[str, Any]:
        return self._read_config({}, self.seeds[0])

    def _train_setting(self, name: str, setting: str, value: Any) -> Any:
        """No setting of `train` is read otherwise for what another one is."""
        at = (name, repr(value))
        if at not in self._in_train:
            self._in_train[at] = self._read_config({name: value}, self.seeds[0])["train"][setting]
        return self._in_train[at]

    def _read_config(self, cell: Cell, seed: int) -> dict[str, Any]:
        settings = settings_for(self.experiment, cell, seed)
        fingerprint, code = self.fingerprint(settings.data), self.code(settings.model.name)
        return config_for(settings, fingerprint, code, self.experiment.objective)

    def key(self, cell: Cell, seed: int) -> str:
        return trial_key(self.config(cell, seed))

    def planned(self) -> Iterator[tuple[Cell, int]]:
        """What is known without drawing: a grid's cells, or those that `include` adds to a sampler's, with each seed."""
        cells = self.space.cells() if self.is_grid else iter(self.experiment.search.include)
        return ((cell, seed) for cell in cells for seed in self.seeds)

    @cached_property
    def by_key(self) -> Mapping[str, Cell]:
        """The first cell of each planned trial. A grid of 10,000 cells takes seconds to walk."""
        return self._first_cells(self.planned())

    @cached_property
    def _drawable(self) -> Mapping[str, Cell]:
        """The first cell of each trial of a small space."""
        return self._first_cells((cell, seed) for cell in self.space.cells() for seed in self.seeds)

    def _first_cells(self, cells: Iterable[tuple[Cell, int]]) -> Mapping[str, Cell]:
        found: dict[str, Cell] = {}
        for cell, seed in cells:
            found.setdefault(self.key(cell, seed), cell)
        return found

    @property
    def planned_count(self) -> int:
        """How many trials are planned."""
        if self.is_grid and not self._may_repeat:
            return sum(1 for _ in self.space.cells()) * len(self.seeds)
        return len(self.by_key)

    @cached_property
    def is_small(self) -> bool:
        """Whether a sampler's space may be listed."""
        return not self.is_grid and self.space.size(SMALL) < SMALL

    @property
    def total(self) -> int:
        """How many trials there are to be."""
        return self.to_draw * len(self.seeds) + self.planned_count

    @cached_property
    def to_draw(self) -> int:
        """How many cells a sampler is to draw: no more than come to trials of their own."""
        if self.is_grid or self.space.is_all_excluded():
            return 0
        included = self.planned_count // len(self.seeds)
        limit = (self.experiment.search.trials or 0) + included
        return self._size(limit) - included

    def _size(self, limit: int) -> int:
        """How many cells come to trials of their own, counted up to `limit`."""
        if not (self.is_small and self._may_repeat):
            return self.space.size(limit)
        keys: set[str] = set()
        for cell in self.space.cells():
            keys.add(self.key(cell, self.seeds[0]))
            if len(keys) == limit:
                break
        return len(keys)

    def cell_of(self, trial: Trial) -> Cell | None:
        """A trial's cell in the file as it now is; None when the file does not ask for this trial.

        A file that has gained or lost an axis, or writes a value in another way, may ask for the same settings under
        another cell.
        """
        if trial.seed not in self.seeds:
            return None
        own = dict(trial.cell)
        if self._is(own, trial):
            return own
        if trial.key in self.by_key or self.is_grid:
            return self.by_key.get(trial.key)
        if self.is_small:
            return self._drawable.get(trial.key)
        drawn = self._read(trial)
        return drawn if drawn is not None and self._is(drawn, trial) else None

    def _is(self, cell: Cell, trial: Trial) -> bool:
        return self.space.contains(cell) and self.key(cell, trial.seed) == trial.key

    def _read(self, trial: Trial) -> Cell | None:
        """The cell over the axes that has a trial's settings, if the axes have such values."""
        cell: Cell = {}
        for axis in self.space.axes:
            found = [value_at(trial.config, name) for name in axis.names]
            if isinstance(axis.domain, Choice):
                text = canonical_json(found)
                if text not in self._choices[axis.label]:
                    return None
                cell |= axis.assign(self._choices[axis.label][text])
            else:
                cell |= axis.assign(found[0])
        return cell

    @cached_property
    def _choices(self) -> Mapping[str, Mapping[str, Any]]:
        """The first choice of each axis with each setting, by the setting's canonical JSON."""
        return {axis.label: self._by_setting(axis) for axis in self.space.axes if isinstance(axis.domain, Choice)}

    def _by_setting(self, axis: Axis) -> Mapping[str, Any]:
        found: dict[str, Any] = {}
        for value in axis.domain.values if isinstance(axis.domain, Choice) else ():
            settings = [self._setting(name, part) for name, part in axis.assign(value).items()]
            found.setdefault(canonical_json(settings), value)
        return found

    def _setting(self, name: str, value: Any) -> Any:
        """A value as it stands in a trial's config."""
        if not isinstance(value, Mapping | list):
            return value
        return value_at(to_plain(settings_for(self.experiment, {name: value}, self.seeds[0])), name)

    @cached_property
    def _may_repeat(self) -> bool:
        """Whether two cells may come to one trial."""
        steps = sorted(setting_steps(name) for axis in self.space.axes for name in axis.names)
        is_within = any(later[: len(first)] == first for first, later in pairwise(steps))
        has_added = any(not self.space.spans(cell) for cell in self.experiment.search.include)
        lists = (
            (self._choices[axis.label], axis.domain) for axis in self.space.axes if isinstance(axis.domain, Choice)
        )
        return is_within or has_added or any(len(settings) < len(domain.values) for settings, domain in lists)
