"""The pieces of an Optuna study: storage with a horizon, distributions, samplers and pruners by name."""

import math
import warnings
from collections.abc import Container, Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import FrozenTrial

from sweeper.experiment import Experiment, Named, named_of
from sweeper.space import Axis, Cell, Choice, Int, Uniform
from sweeper.trial import TrialState, canonical_json

RUNNING, FAIL = optuna.trial.TrialState.RUNNING, optuna.trial.TrialState.FAIL
OPTUNA_STATES = {
    TrialState.COMPLETE: optuna.trial.TrialState.COMPLETE,
    TrialState.PRUNED: optuna.trial.TrialState.PRUNED,
    TrialState.DIVERGED: optuna.trial.TrialState.PRUNED,  # so that samplers learn to stay away
    TrialState.FAILED: FAIL,
}


class Horizon(InMemoryStorage):
    """A study's storage that shows only the trials numbered below `limit`, and trial `own`."""

    limit: float = math.inf
    own = -1

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[optuna.trial.TrialState] | None = None
    ) -> list[FrozenTrial]:
        trials = super().get_all_trials(study_id, deepcopy, states)
        return [trial for trial in trials if trial.number < self.limit or trial.number == self.own]

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        return BaseStorage.get_best_trial(self, study_id)


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
            return samplers.QMCSampler(
                scramble=True, seed=base, warn_asynchronous_seeding=False, warn_independent_sampling=False
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
