"""Ask, tell, should_prune: what runs next and what stops. The one home of Optuna, which `judge` has.

The study lives in memory and is rebuilt from the sweep folder. So that parallel, interrupted and resumed sweeps all
decide alike, trial k is drawn and judged from finished trials numbered up to k - window alone, whoever else has
finished meanwhile; `ask` holds a trial back until those have ended. A grid without a pruner needs no window.
"""

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from sweeper.causes import is_of_files
from sweeper.experiment import Data, Experiment, to_plain
from sweeper.search.asked import Asked
from sweeper.search.idle import Idle
from sweeper.space.domain import Cell
from sweeper.store import Record, Result, Row, StoreError
from sweeper.trial import Trial, TrialState, canonical_json, trial_key

REPLAYED_METHODS = ("qmc", "cmaes")  # these samplers keep state of their own from ask to ask
MAX_MISSES = 100  # draws in a row that repeat a trial or are excluded, after which nothing new is expected
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
        self.experiment, self.retry_failed = experiment, retry_failed
        self.asked = Asked(experiment, fingerprint)
        self.space, self.seeds = self.asked.space, experiment.search.seeds
        has_judge = bool(experiment.pruning) or not self.asked.is_grid
        self.window = window if has_judge else None
        self.judge = Idle()
        if has_judge:
            from sweeper.search.judge import Judge  # and Optuna

            self.judge = Judge(experiment, self.space, self.window)
        self.known: set[str] = set()  # keys of trials that have a number
        self.others: set[str] = set()  # keys of trials in the folder that the file does not ask for
        self.cells: dict[str, tuple[Cell, set[int]]] = {}  # their cells, with the seeds tried
        self.unfinished: set[int] = set()
        self.again: deque[Trial] = deque()  # begun by an earlier run
        self.reopened: set[str] = set()  # of these, the keys that had ended and are taken up again
        self.ahead: deque[tuple[Cell, dict[str, Any]]] = deque()  # looked up in `planned`, not yet asked for
        self.count = 0
        self.drawn = 0  # cells that `include` does not add
        self.misses = 0
        for record in sorted(records, key=lambda record: record.trial.number):
            self._restore(record)
        self.planned = self.asked.planned()
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
        """Take in a running trial's rows up to now; what an earlier try of it reported or was told is forgotten."""
        self.judge.report(trial, history)

    def should_prune(self, trial: Trial) -> bool:
        """Whether the pruner would stop a trial after the last epoch it reported."""
        return self.judge.should_prune(trial)

    def tell(self, trial: Trial, result: Result) -> None:
        """Take in how a trial ended. One without a finite objective is no good to a sampler, as if it had diverged."""
        self.judge.tell(trial, result)
        self.unfinished.discard(trial.number)

    @property
    def is_exhausted(self) -> bool:
        """Whether nothing is left to ask for."""
        return not (self.again or self._look_ahead() or self._may_draw)

    @property
    def total(self) -> int:
        """How many trials the whole search has."""
        return self.asked.total

    @property
    def _may_draw(self) -> bool:
        return self.drawn < self.asked.to_draw and self.misses < MAX_MISSES

    def _may_start(self, number: int) -> bool:
        return self.window is None or all(other > number - self.window for other in self.unfinished if other < number)

    def _missing_replicates(self) -> Iterator[tuple[Cell, int]]:
        if not self.asked.is_grid:
            for cell, seeds in self.cells.values():
                yield from ((cell, seed) for seed in self.seeds if seed not in seeds)

    def _look_ahead(self) -> bool:
        """Whether a planned trial without a number is left; `ahead` then holds it."""
        while not self.ahead:
            planned = self.replicates.popleft() if self.replicates else next(self.planned, None)
            if planned is None:
                return False
            cell, seed = planned
            if seed in self.cells.get(canonical_json(cell), ({}, set()))[1]:
                continue
            config = self.asked.config(cell, seed)
            if self._is_new(trial_key(config)):
                self.ahead.append((cell, config))
        return True

    def _is_new(self, key: str) -> bool:
        """Whether no trial has this key: one that had two numbers would be trained twice, in one folder."""
        return key not in self.known and key not in self.others

    def _add(self, trial: Trial) -> None:
        """Give a trial its place in the study."""
        self.judge.add(trial.cell)
        self._note(trial)

    def _note(self, trial: Trial) -> None:
        self.count, self.misses = trial.number + 1, 0
        self.known.add(trial.key)
        self.unfinished.add(trial.number)
        if self._is_drawn(trial):
            self.drawn += 1
        self.cells.setdefault(canonical_json(trial.cell), (dict(trial.cell), set()))[1].add(trial.seed)

    def _is_drawn(self, trial: Trial) -> bool:
        """Whether a trial's cell is one more that a sampler draws."""
        is_planned = self.asked.is_grid or trial.key in self.asked.by_key
        return not is_planned and canonical_json(trial.cell) not in self.cells

    def _draw(self) -> Trial | None:
        """A new cell from the sampler. Draws that repeat a trial or are excluded use up their numbers."""
        while self._may_draw and self._may_start(self.count):
            number, is_stuck = self.count, self._is_stuck
            trial = self._unseen(number) if is_stuck else self._first_trial(number, self._sample(number))
            if trial is not None:
                self._add(trial) if is_stuck else self._note(trial)
                self.replicates.extend((dict(trial.cell), seed) for seed in self.seeds[1:])
                return trial
            if is_stuck:
                self.misses = MAX_MISSES
            else:
                self._miss(number)
        return None

    @property
    def _is_stuck(self) -> bool:
        """Whether the next cell is better taken from a list of those that are left, so that a small space is used up."""
        return self.misses >= RANDOM_AFTER and self.asked.is_small

    def _unseen(self, number: int) -> Trial | None:
        """A trial of a cell that is left, None when none is."""
        left = [cell for cell in self.space.cells() if canonical_json(cell) not in self.cells]
        chance = random.Random(number)  # noqa: S311 - nothing secret
        while left:
            trial = self._first_trial(number, left.pop(chance.randrange(len(left))))
            if trial is not None:
                return trial
        return None

    def _first_trial(self, number: int, cell: Cell) -> Trial | None:
        """The first replicate of a drawn cell; None of one that is excluded or comes to a trial that there is."""
        if canonical_json(cell) in self.cells or self.space.excludes(cell):
            return None
        trial = Trial.of(number, cell, self.asked.config(cell, self.seeds[0]))
        return trial if self._is_new(trial.key) else None

    def _miss(self, number: int) -> None:
        self.judge.forget(number)
        self.count, self.misses = number + 1, self.misses + 1

    def _sample(self, number: int) -> Cell:
        return self.judge.sample(number, self.experiment.search.method if self.misses < RANDOM_AFTER else "random")

    def _restore(self, record: Record) -> None:
        """Rebuild what the lost study knew of a trial."""
        trial = record.trial
        if trial.number < self.count:
            raise StoreError(
                f"trial {trial.key} has number {trial.number}, which another trial has too; remove one's folder"
            )
        while self.count < trial.number:
            self._fill(self.count)
        own = self._own(trial)
        if own is None:
            self.others.add(trial.key)
            self._fill(trial.number)
            self.misses = 0  # a trial all the same, though of another file: no draw was in vain
            return
        trial = own
        record = replace(record, trial=trial)
        if self._was_drawn(trial):
            self._sample(trial.number)
            self.judge.set_cell(trial.number, trial.cell)
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
            self.judge.skip(number)
            self.count = number + 1

    def _was_drawn(self, trial: Trial) -> bool:
        is_replayed = self.experiment.search.method in REPLAYED_METHODS
        if not is_replayed or self._is_stuck or not self.space.spans(trial.cell):
            return False
        return canonical_json(trial.cell) not in self.cells and dict(trial.cell) not in self.experiment.search.include

    def _own(self, trial: Trial) -> Trial | None:
        """The trial with its cell in the file as it now is; None when that does not ask for it, or for fewer drawn cells."""
        cell = self.asked.cell_of(trial)
        own = None if cell is None else replace(trial, cell=cell)
        return None if own and self._is_drawn(own) and self.drawn >= self.asked.to_draw else own

    def _replay(self, record: Record) -> None:
        self.report(record.trial, record.history)
        if record.result is None or goes_on(record, self.experiment, self.retry_failed):
            self.again.append(record.trial)
            if record.result:
                self.reopened.add(record.trial.key)
            return
        self.judge.replay(record.trial, record.result)
        self.unfinished.discard(record.trial.number)


def goes_on(record: Record, experiment: Experiment, retry_failed: bool) -> bool:
    """Whether an ended trial is taken up again: its pruning was changed, or failures are to be retried.

    One that failed for its files is without being asked for: whoever runs the sweep again has seen to them.
    """
    if record.result is None:
        return False
    if record.state is TrialState.PRUNED:
        return bool(record.result.pruning != to_plain(experiment.pruning))
    return record.state is TrialState.FAILED and (retry_failed or is_of_files(record.result.error or ""))
