"""The pieces of an Optuna study: storage with a horizon, distributions, samplers and pruners by name."""

import copy
import warnings
from collections.abc import Container, Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import FrozenTrial

from sweeper.experiment import Experiment, Named, named_of
from sweeper.space.domain import Axis, Cell, Choice, Int, Uniform
from sweeper.trial import TrialState, canonical_json

FAIL, WAITING = optuna.trial.TrialState.FAIL, optuna.trial.TrialState.WAITING
MARK = "completed_rung_"  # Optuna's, at the rungs of successive halving
OPTUNA_STATES = {
    TrialState.COMPLETE: optuna.trial.TrialState.COMPLETE,
    TrialState.PRUNED: optuna.trial.TrialState.PRUNED,
    TrialState.DIVERGED: optuna.trial.TrialState.PRUNED,  # so that samplers learn to stay away
    TrialState.FAILED: FAIL,
}


class Horizon(InMemoryStorage):
    """The storage of one study that shows only the trials numbered below `limit`, and trial `own`.

    While `is_sampling` it hides cells from outside the space too: samplers take their space from what all trials share.
    """

    limit: int | None = None
    own = -1
    is_sampling = False

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[optuna.trial.TrialState] | None = None
    ) -> list[FrozenTrial]:
        if states == (WAITING,):  # asked for with every draw, and quick in memory alone
            return super().get_all_trials(study_id, deepcopy, states)
        trials = super().get_all_trials(study_id, deepcopy=False)
        shown = trials[: self.limit]
        if len(shown) <= self.own < len(trials):
            shown.append(trials[self.own])
        if self.is_sampling:
            shown = [trial for trial in shown if trial.params or trial.number == self.own]
        if states is not None:
            shown = [trial for trial in shown if trial.state in states]
        return copy.deepcopy(shown) if deepcopy else shown

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        return BaseStorage.get_best_trial(self, study_id)

    def add(self, study: optuna.Study, params: dict[str, Any], distributions: dict[str, BaseDistribution]) -> None:
        """The next trial, running, with parameters that are known to be in their distributions."""
        number = self.create_new_trial(self.get_study_id_from_name(study.study_name))
        self.set_params(number, params, distributions)

    def set_params(self, number: int, params: dict[str, Any], distributions: dict[str, BaseDistribution]) -> None:
        trial = self.get_trial(number)
        trial.params, trial.distributions = params, distributions

    def set_values(self, number: int, values: dict[int, float]) -> None:
        """Replace a trial's intermediate values."""
        self.get_trial(number).intermediate_values = values

    def forget_marks(self, number: int) -> None:
        """Remove what pruners wrote onto a trial as they judged it."""
        trial = self.get_trial(number)
        trial.system_attrs = {key: value for key, value in trial.system_attrs.items() if not key.startswith(MARK)}


def make_study(experiment: Experiment, storage: Horizon) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    is_max = experiment.objective.mode == "max"
    direction = optuna.study.StudyDirection.MAXIMIZE if is_max else optuna.study.StudyDirection.MINIMIZE
    return optuna.create_study(storage=storage, study_name=experiment.name, direction=direction)


def distribution(axis: Axis) -> BaseDistribution:
    match axis.domain:
        case Choice(values):
            return CategoricalDistribution([_label(value) for value in values])
        case Uniform(low, high, log):
            return FloatDistribution(low, high, log=log)
        case Int(low, high):
            return IntDistribution(low, high)


def _label(value: Any) -> bool | int | float | str | None:
    """A choice as Optuna can hold it."""
    return value if value is None or isinstance(value, bool | int | float | str) else canonical_json(value)


def parameter(axis: Axis, cell: Mapping[str, Any]) -> Any:
    """The value of an axis in a cell, as Optuna holds it."""
    values = [cell[name] for name in axis.names]
    value = values if len(values) > 1 else values[0]
    return _label(value) if isinstance(axis.domain, Choice) else value


def values_of(axis: Axis, params: Mapping[str, Any]) -> Cell:
    """The part of a cell that Optuna's parameters give an axis."""
    drawn = params[axis.label]
    if isinstance(axis.domain, Choice):
        drawn = next(value for value in axis.domain.values if _label(value) == drawn)
    return axis.assign(drawn)


def make_sampler(method: str, base: int, number: int) -> optuna.samplers.BaseSampler:
    """A sampler whose draw for trial `number` depends on nothing but that number and the trials it is shown."""
    seed = (base * 1_000_003 + number) % 2**32
    samplers = optuna.samplers
    match method:
        case "tpe":
            return samplers.TPESampler(seed=seed)
        case "qmc":
            # Until a trial has ended; Optuna's own choice would draw one cell again and again.
            first = samplers.RandomSampler(seed=seed)
            return samplers.QMCSampler(
                scramble=True,
                seed=base,
                independent_sampler=first,
                warn_asynchronous_seeding=False,
                warn_independent_sampling=False,
            )
        case "cmaes":
            return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
        case "gp":
            return samplers.GPSampler(seed=seed, warn_independent_sampling=False)
        case _:
            return samplers.RandomSampler(seed=seed)


PRUNERS: dict[str, type[optuna.pruners.BasePruner]] = {
    "median": optuna.pruners.MedianPruner,
    "percentile": optuna.pruners.PercentilePruner,
    "hyperband": optuna.pruners.HyperbandPruner,
    "successive_halving": optuna.pruners.SuccessiveHalvingPruner,
    "threshold": optuna.pruners.ThresholdPruner,
    "patient": optuna.pruners.PatientPruner,
    "wilcoxon": optuna.pruners.WilcoxonPruner,
    "nop": optuna.pruners.NopPruner,
}


def make_pruner(named: Named, epochs: int) -> optuna.pruners.BasePruner:
    """Optuna's pruner of that name. Its "auto" resources, guesses from finished trials, become the known `epochs`.

    Raises ValueError, in Optuna's words, when an argument is out of its range.
    """
    arguments = dict(named.arguments)
    if named.name == "hyperband" and arguments.get("max_resource", "auto") == "auto":
        arguments["max_resource"] = epochs
    if named.name == "successive_halving" and arguments.get("min_resource", "auto") == "auto":
        arguments["min_resource"] = max(1, epochs // 100)
    if arguments.get("wrapped_pruner"):
        arguments["wrapped_pruner"] = make_pruner(named_of(arguments["wrapped_pruner"]), epochs)
    with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
        return PRUNERS[named.name](**arguments)
