"""How much of the objective's variance each axis explains, by Optuna's fANOVA.

fANOVA (Hutter, Hoos and Leyton-Brown, ICML 2014) fits a random forest to the trials and splits its variance into the main
effects of the axes and what they do together: shares of the variance over the whole space, as an analysis of variance of
a grid has them. PED-ANOVA, Optuna's default, is quicker and says what sets the best trials apart from the others, which
is no share of a variance.
"""

import json
import math
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean, variance
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution

from sweeper.experiment import Experiment
from sweeper.space import Space
from sweeper.space.domain import Axis, Choice, Uniform
from sweeper.store import Record
from sweeper.trial import Trial, TrialState, canonical_json

MIN_TRIALS = 4
MAX_TRIALS = 400  # of more, so many are drawn, always the same ones: a forest's time grows with their square
FEW, REPEATS = 100, 8  # few trials are given so often that hardly a tree's bootstrap sample lacks one
TREES, DEPTH, DEPTH_OF_FEW = 16, 7, 64
SEED = 0
Column = tuple[list[float], FloatDistribution]


def importances(experiment: Experiment, records: Sequence[Record]) -> dict[str, float]:
    """Each axis's own share of the objective's variance over the complete trials, in [0, 1], the greatest first.

    Linked axes are one, "batch_size+lr". What the shares lack to 1 is what axes do together, and the seeds. On a whole
    grid they are those of an analysis of variance. Empty where it cannot be said: fewer than two axes that vary, fewer
    than four trials, or equal objectives.
    """
    known = _objectives(experiment.objective.metric, records)
    trials = _sampled(known)
    axes = Space.of(experiment.search).axes if trials else ()
    columns = {axis.label: _column(axis, [trial for trial, _ in trials]) for axis in axes}
    columns = {name: column for name, column in columns.items() if len(set(column[0])) > 1}
    objectives = [value for _, value in trials]
    if len(trials) < MIN_TRIALS or len(columns) < 2 or not 1e-12 < max(objectives) - min(objectives) < 1e100:
        return {}
    of_cells = _share_of_cells(known)
    return {name: of_cells * share for name, share in _shares(columns, objectives).items()}


def _objectives(metric: str, records: Sequence[Record]) -> list[tuple[Trial, float]]:
    """The complete trials with a finite objective, by number."""
    summaries = [(r.trial, r.result.summary) for r in records if r.result and r.state is TrialState.COMPLETE]
    known = [(trial, summary[metric]) for trial, summary in summaries if math.isfinite(summary.get(metric, math.nan))]
    return sorted(known, key=lambda known: known[0].number)


def _share_of_cells(trials: Sequence[tuple[Trial, float]]) -> float:
    """How much of the variance lies between cells, beyond what seeds alone bring: epsilon squared (Kelley 1935).

    1 where no cell has two seeds. The forest sees no more than the cells' means: without this it would share out what
    chance has left in them.
    """
    by_cell: dict[str, list[float]] = defaultdict(list)
    for trial, value in trials:
        by_cell[canonical_json(trial.cell)].append(value)
    repeats = len(trials) - len(by_cell)
    if not repeats:
        return 1.0
    of_seeds = sum((value - fmean(own)) ** 2 for own in by_cell.values() for value in own) / repeats
    return max(0.0, 1 - of_seeds / variance(value for _, value in trials))


def _sampled(trials: Sequence[tuple[Trial, float]]) -> Sequence[tuple[Trial, float]]:
    return trials if len(trials) <= MAX_TRIALS else random.Random(SEED).sample(trials, MAX_TRIALS)  # noqa: S311


def _column(axis: Axis, trials: Sequence[Trial]) -> Column:
    """An axis's values as numbers, and where they lie: evenly where the search would draw them, or each in a unit of its own.

    fANOVA takes every number between two bounds for equally likely. Optuna's own one-hot encoding of lists does not: it
    counts combinations that no trial can have.
    """
    values, domain = [[trial.value(name) for name in axis.names] for trial in trials], axis.domain
    if not isinstance(domain, Choice) and all(type(value) in (int, float) for (value,) in values):
        is_log = isinstance(domain, Uniform) and domain.log and min(value for (value,) in values) > 0
        numbers = [math.log(value) if is_log else float(value) for (value,) in values]
        return numbers, FloatDistribution(min(numbers), max(numbers))
    texts = [canonical_json(value) for value in values]
    places = {text: float(place) for place, text in enumerate(sorted(set(texts), key=_order))}
    return [places[text] for text in texts], FloatDistribution(-0.5, len(places) - 0.5)


def _order(text: str) -> tuple[bool, float, str]:
    """Numbers by their size, so that a tree needs few splits for what rises or falls with them; then the others."""
    (first, *_) = json.loads(text)
    is_number = type(first) in (int, float)
    return not is_number, float(first) if is_number else 0.0, text


def _shares(columns: Mapping[str, Column], objectives: Sequence[float]) -> dict[str, float]:
    """Optuna's shares; none when no tree has any variance, as of objectives that differ in their last bits."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    distributions: dict[str, BaseDistribution] = {name: distribution for name, (_, distribution) in columns.items()}
    is_few = len(objectives) <= FEW
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage())
    for row, value in enumerate(objectives):
        params: dict[str, Any] = {name: numbers[row] for name, (numbers, _) in columns.items()}
        trial = optuna.trial.create_trial(params=params, distributions=distributions, value=value)
        study.add_trials([trial] * (REPEATS if is_few else 1))
    depth = DEPTH_OF_FEW if is_few else DEPTH
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=TREES, max_depth=depth, seed=SEED)
    try:
        found = evaluator.evaluate(study)
    except RuntimeError:
        return {}
    return {name: min(1.0, float(share)) for name, share in found.items()}
