"""The Optuna study of a search: what samplers draw from and pruners judge by."""

import itertools
import math
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import optuna

from sweeper.experiment import Experiment
from sweeper.search.idle import Idle
from sweeper.search.study import (
    FAIL,
    OPTUNA_STATES,
    Horizon,
    distribution,
    make_pruner,
    make_sampler,
    make_study,
    parameter,
    values_of,
)
from sweeper.space import Space
from sweeper.space.domain import Cell
from sweeper.store import Result, Row
from sweeper.trial import Trial, TrialState

MARKING_PRUNERS = ("successive_halving", "hyperband", "patient")  # these mark trials as they judge them, or may


class Judge(Idle):
    """A study in memory, rebuilt from a sweep's folder, that looks back no further than `window` allows (see `Search`)."""

    def __init__(self, experiment: Experiment, space: Space, window: int | None) -> None:
        self.experiment, self.space, self.window = experiment, space, window
        self.storage = Horizon()
        self.study = make_study(experiment, self.storage)
        self.pruner = make_pruner(experiment.pruning, experiment.train.epochs) if experiment.pruning else None
        self.marks = experiment.pruning is not None and experiment.pruning.name in MARKING_PRUNERS
        self.distributions = {axis.label: distribution(axis) for axis in space.axes}

    def add(self, cell: Mapping[str, Any]) -> None:
        params = self._params(cell) if self.space.spans(cell) else {}
        self.storage.add(self.study, params, {name: self.distributions[name] for name in params})

    def skip(self, number: int) -> None:
        self.storage.add(self.study, {}, {})
        self.storage.set_trial_state_values(number, FAIL)

    def sample(self, number: int, method: str) -> Cell:
        self._look_back_from(number, is_sampling=True)
        with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
            self.study.sampler = make_sampler(method, self.experiment.search.seeds[0], number)
            drawn = self.study.ask(self.distributions)
        return {name: value for axis in self.space.axes for name, value in values_of(axis, drawn.params).items()}

    def set_cell(self, number: int, cell: Mapping[str, Any]) -> None:
        self.storage.set_params(number, self._params(cell), self.distributions)

    def forget(self, number: int) -> None:
        self.storage.set_params(number, {}, {})
        self.storage.set_trial_state_values(number, FAIL)

    def report(self, trial: Trial, history: Iterable[Row]) -> None:
        values = self._objective_values(history)
        known = self.storage.get_trial(trial.number).intermediate_values
        if self.marks and list(known) != list(values)[:-1]:
            self.storage.forget_marks(trial.number)
            for epochs in range(1, len(values)):
                self.storage.set_values(trial.number, dict(itertools.islice(values.items(), epochs)))
                self.should_prune(trial)
        self.storage.set_values(trial.number, values)

    def should_prune(self, trial: Trial) -> bool:
        if self.pruner is None:
            return False
        self._look_back_from(trial.number)
        return bool(self.pruner.prune(self.study, self.storage.get_trial(trial.number)))

    def tell(self, trial: Trial, result: Result) -> None:
        if self._objective_values(result.history) != self.storage.get_trial(trial.number).intermediate_values:
            self.report(trial, result.history)
        state, value = result.state, result.summary.get(self.experiment.objective.metric, math.nan)
        if state is TrialState.COMPLETE and not math.isfinite(value):
            state = TrialState.DIVERGED
        values = [value] if state is TrialState.COMPLETE else None
        self.storage.set_trial_state_values(trial.number, OPTUNA_STATES[state], values)

    def replay(self, trial: Trial, result: Result) -> None:
        diverged = result.history[-1:] if result.state is TrialState.DIVERGED else ()  # a row that is not judged
        if self.marks and not self._objective_values(diverged):
            self.should_prune(trial)
        self.tell(trial, result)

    def _params(self, cell: Mapping[str, Any]) -> dict[str, Any]:
        return {axis.label: parameter(axis, cell) for axis in self.space.axes}

    def _look_back_from(self, number: int, is_sampling: bool = False) -> None:
        self.storage.limit = None if self.window is None else max(0, number - self.window + 1)
        self.storage.own, self.storage.is_sampling = number, is_sampling

    def _objective_values(self, history: Iterable[Row]) -> dict[int, float]:
        metric = self.experiment.objective.metric
        values = {int(row["epoch"]): row[metric] for row in history if metric in row}
        return {epoch: value for epoch, value in values.items() if math.isfinite(value)}
