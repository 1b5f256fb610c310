"""Ask, tell, should_prune: what runs next and what stops. The one home of Optuna.

The study lives in memory and is rebuilt from the sweep folder. So that parallel, interrupted and resumed sweeps all
decide alike, trial k is drawn and judged from finished trials numbered up to k - window alone, whoever else has
finished meanwhile; `ask` holds a trial back until those have ended. A grid without a pruner needs no window.
"""

import math
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import optuna

from sweeper.experiment import Data, Experiment, to_plain
from sweeper.search.study import (
    FAIL,
    OPTUNA_STATES,
    RUNNING,
    Horizon,
    distribution,
    make_pruner,
    make_sampler,
    make_study,
    parameter,
    values_of,
)
from sweeper.space import Cell, Space
from sweeper.store import Record, Result, Row, StoreError
from sweeper.trial import Trial, TrialState, canonical_json, config_for, settings_for, trial_key

REPLAYED_METHODS = ("qmc", "cmaes")  # these samplers keep state of their own from ask to ask
REPLAYED_PRUNERS = ("successive_halving", "hyperband", "patient")  # these mark trials as they judge them
MAX_MISSES = 100  # draws in a row that repeat a cell or are excluded, after which nothing new is expected
RANDOM_AFTER = 10  # such draws, after which cells are drawn at random: a sampler can be stuck on its favourite


class Search:
    """The search of one experiment over what its folder already holds.

    `fingerprint` gives the fingerprint of a data section; `window` is the lag described above. Numbers count trials in
    the order in which they were asked for.
    """

    def __init__(
        self,
        experiment: Experiment,
        fingerprint: Callable[[Data], str],
        records: Iterable[Record] = (),
        window: int | None = None,
        retry_failed: bool = False,
    ) -> None:
        self.experiment, self.fingerprint, self.retry_failed = experiment, fingerprint, retry_failed
        self.space = Space.of(experiment.search)
        self.window = window if experiment.pruning or experiment.search.method != "grid" else None
        self.storage = Horizon()
        self.study = make_study(experiment, self.storage)
        self.pruner = make_pruner(experiment.pruning, experiment.train.epochs) if experiment.pruning else None
        self.distributions = {axis.label: distribution(axis) for axis in self.space.axes}
        self.known: set[str] = set()  # keys of trials that have a number
        self.cells: dict[str, tuple[Cell, set[int]]] = {}  # their cells, with the seeds tried
        self.unfinished: set[int] = set()
        self.again: deque[Trial] = deque()  # begun by an earlier run
        self.ahead: deque[tuple[Cell, dict[str, Any]]] = deque()  # looked up in `planned`, not yet asked for
        self.count = 0
        self.misses = 0
        for record in sorted(records, key=lambda record: record.trial.number):
            self._restore(record)
        self.planned = self._plan()
        self.replicates = deque(self._missing_replicates())

    def ask(self) -> Trial | None:
        """The next trial that may start now; None when none may, for now or (see `is_exhausted`) for good."""
        if self.again:
            return self.again.popleft() if self._may_start(self.again[0].number) else None
        if self._look_ahead():
            if not self._may_start(self.count):
                return None
            cell, config = self.ahead.popleft()
            trial = Trial.of(self.count, cell, config)
            self._add(trial)
            return trial
        return self._draw()

    def report(self, trial: Trial, history: Iterable[Row]) -> None:
        """Take in a running trial's rows up to now; what an earlier run of it reported beyond them is forgotten."""
        values = self._objective_values(history)
        own = self.storage.get_trial(trial.number)
        for step in set(own.intermediate_values) - set(values):
            del own.intermediate_values[step]
        for step, value in values.items():
            if own.intermediate_values.get(step) != value:
                self.storage.set_trial_intermediate_value(trial.number, step, value)

    def should_prune(self, trial: Trial) -> bool:
        """Whether the pruner would stop a trial after the last epoch it reported."""
        if self.pruner is None:
            return False
        self._look_back_from(trial.number)
        return bool(self.pruner.prune(self.study, self.storage.get_trial(trial.number)))

    def tell(self, trial: Trial, result: Result) -> None:
        """Take in how a trial ended."""
        self.report(trial, result.history)
        value = result.summary.get(self.experiment.objective.metric)
        values = [value] if result.state is TrialState.COMPLETE and value is not None else None
        self.storage.set_trial_state_values(trial.number, OPTUNA_STATES[result.state], values)
        self.unfinished.discard(trial.number)

    @property
    def is_exhausted(self) -> bool:
        """Whether nothing is left to ask for."""
        return not (self.again or self._look_ahead() or self._may_draw)

    @property
    def total(self) -> int:
        """How many trials the whole search has."""
        search = self.experiment.search
        cells = sum(1 for _ in self.space.cells()) if search.method == "grid" else self._wanted_cells
        return cells * len(search.seeds)

    @property
    def _wanted_cells(self) -> int:
        return (self.experiment.search.trials or 0) + len(self.experiment.search.include)

    @property
    def _may_draw(self) -> bool:
        is_grid = self.experiment.search.method == "grid"
        return not is_grid and len(self.cells) < self._wanted_cells and self.misses < MAX_MISSES

    def _may_start(self, number: int) -> bool:
        return self.window is None or all(other > number - self.window for other in self.unfinished if other < number)

    def _look_back_from(self, number: int) -> None:
        self.storage.limit = math.inf if self.window is None else number - self.window + 1
        self.storage.own = number

    def _plan(self) -> Iterator[tuple[Cell, int]]:
        search = self.experiment.search
        cells = self.space.cells() if search.method == "grid" else iter(search.include)
        return ((cell, seed) for cell in cells for seed in search.seeds)

    def _missing_replicates(self) -> Iterator[tuple[Cell, int]]:
        if self.experiment.search.method != "grid":
            for cell, seeds in self.cells.values():
                yield from ((cell, seed) for seed in self.experiment.search.seeds if seed not in seeds)

    def _look_ahead(self) -> bool:
        """Whether a planned trial without a number is left; `ahead` then holds it."""
        while not self.ahead:
            planned = self.replicates.popleft() if self.replicates else next(self.planned, None)
            if planned is None:
                return False
            config = self._config(*planned)
            if trial_key(config) not in self.known:
                self.ahead.append((planned[0], config))
        return True

    def _config(self, cell: Cell, seed: int) -> dict[str, Any]:
        settings = settings_for(self.experiment, cell, seed)
        return config_for(settings, self.fingerprint(settings.data))

    def _add(self, trial: Trial) -> None:
        """Give a trial its place in the study."""
        params = (
            {axis.label: parameter(axis, trial.cell) for axis in self.space.axes}
            if self.space.spans(trial.cell)
            else {}
        )
        distributions = {name: self.distributions[name] for name in params}
        frozen = optuna.trial.create_trial(state=RUNNING, params=params, distributions=distributions)
        self.study.add_trial(frozen)
        self._note(trial)

    def _note(self, trial: Trial) -> None:
        self.count, self.misses = trial.number + 1, 0
        self.known.add(trial.key)
        self.unfinished.add(trial.number)
        self.cells.setdefault(canonical_json(trial.cell), (dict(trial.cell), set()))[1].add(trial.seed)

    def _draw(self) -> Trial | None:
        """A new cell from the sampler. Draws that repeat a cell or are excluded use up their numbers."""
        while self._may_draw and self._may_start(self.count):
            number = self.count
            cell = self._sample(number)
            if canonical_json(cell) in self.cells or self.space.excludes(cell):
                self._miss(number)
                continue
            first, *others = self.experiment.search.seeds
            trial = Trial.of(number, cell, self._config(cell, first))
            self._note(trial)
            self.replicates.extend((cell, seed) for seed in others)
            return trial
        return None

    def _miss(self, number: int) -> None:
        self.storage.set_trial_state_values(number, FAIL)
        self.count, self.misses = number + 1, self.misses + 1

    def _sample(self, number: int) -> Cell:
        search = self.experiment.search
        self._look_back_from(number)
        with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
            method = search.method if self.misses < RANDOM_AFTER else "random"
            self.study.sampler = make_sampler(method, search.seeds[0], number)
            drawn = self.study.ask(self.distributions)
        return {name: value for axis in self.space.axes for name, value in values_of(axis, drawn.params).items()}

    def _restore(self, record: Record) -> None:
        """Rebuild what the lost study knew of a trial."""
        trial = record.trial
        if trial.number < self.count:
            raise StoreError(
                f"trial {trial.key} has number {trial.number}, which another trial has too; remove one's folder"
            )
        while self.count < trial.number:
            self._fill(self.count)
        if not self._belongs(trial):
            self._fill(trial.number)
            return
        if self._was_drawn(trial):
            self._sample(trial.number)
            self.storage.get_trial(trial.number).params = {a.label: parameter(a, trial.cell) for a in self.space.axes}
            self._note(trial)
        else:
            self._add(trial)
        self._replay(record)

    def _fill(self, number: int) -> None:
        """Hold the place of a number that no trial of this experiment has."""
        if self.experiment.search.method in REPLAYED_METHODS:
            self._sample(number)
            self._miss(number)
        else:
            self.study.add_trial(optuna.trial.create_trial(state=FAIL))
            self.count = number + 1

    def _was_drawn(self, trial: Trial) -> bool:
        is_first = canonical_json(trial.cell) not in self.cells
        return self.experiment.search.method in REPLAYED_METHODS and is_first and self.space.spans(trial.cell)

    def _belongs(self, trial: Trial) -> bool:
        """Whether the experiment, as its file now is, asks for this trial."""
        if trial.seed not in self.experiment.search.seeds or not self.space.contains(trial.cell):
            return False
        return trial_key(self._config(dict(trial.cell), trial.seed)) == trial.key

    def _replay(self, record: Record) -> None:
        pruning = self.experiment.pruning
        if pruning and pruning.name in REPLAYED_PRUNERS:
            for epochs in range(1, len(record.history) + 1):
                self.report(record.trial, record.history[:epochs])
                self.should_prune(record.trial)
        if record.result and not goes_on(record, self.experiment, self.retry_failed):
            self.tell(record.trial, record.result)
        else:
            self.report(record.trial, record.history)
            self.again.append(record.trial)

    def _objective_values(self, history: Iterable[Row]) -> dict[int, float]:
        metric = self.experiment.objective.metric
        values = {int(row["epoch"]): row[metric] for row in history if metric in row}
        return {epoch: value for epoch, value in values.items() if math.isfinite(value)}


def goes_on(record: Record, experiment: Experiment, retry_failed: bool) -> bool:
    """Whether an ended trial is taken up again: its pruning was changed, or failures are to be retried."""
    if record.state is TrialState.PRUNED:
        return record.result is not None and record.result.pruning != to_plain(experiment.pruning)
    return record.state is TrialState.FAILED and retry_failed
