"""Which of a sweep's trials is the best."""

import math
from collections.abc import Iterable

from sweeper.experiment import Objective
from sweeper.store import Record, Result
from sweeper.trial import Trial, TrialState

Rank = tuple[float, int]
"""Of two trials the one with the larger rank is the better."""


def best_so_far(records: Iterable[Record], objective: Objective) -> Record | None:
    """The best complete trial; where none is complete, the best pruned one."""
    records = list(records)
    is_complete = any(record.state is TrialState.COMPLETE for record in records)
    return best_record(records, objective, TrialState.COMPLETE if is_complete else TrialState.PRUNED)


def best_record(
    records: Iterable[Record], objective: Objective, state: TrialState = TrialState.COMPLETE
) -> Record | None:
    """The trial with the best finite objective of those that ended in a state; of two that are equal the lower number."""
    ranks = ((rank(record.trial, record.result, objective, state), record) for record in records)
    ranked = [(found, record) for found, record in ranks if found is not None]
    return max(ranked, key=lambda pair: pair[0])[1] if ranked else None


def rank(
    trial: Trial, result: Result | None, objective: Objective, state: TrialState = TrialState.COMPLETE
) -> Rank | None:
    """An ended trial's rank; None unless it ended in `state` with a finite objective."""
    return rank_by(trial, result.summary.get(objective.metric), objective) if result and result.state is state else None


def rank_by(trial: Trial, value: float | None, objective: Objective) -> Rank | None:
    """The rank that a value of the objective gives a trial; None unless it is finite."""
    return None if value is None or not math.isfinite(value) else (objective.score(value), -trial.number)


def value_of(record: Record, objective: Objective) -> float:
    """An ended trial's objective; NaN where it has none."""
    return record.result.summary.get(objective.metric, math.nan) if record.result else math.nan
