"""Which of a sweep's trials is the best."""

import math
from collections.abc import Iterable

from sweeper.experiment import Objective
from sweeper.store import Record
from sweeper.trial import TrialState


def best_record(
    records: Iterable[Record], objective: Objective, state: TrialState = TrialState.COMPLETE
) -> Record | None:
    """The trial in a state with the best finite objective; the first of two that are equal."""
    ended = [record for record in records if record.state is state and record.result]
    finite = [record for record in ended if math.isfinite(value_of(record, objective))]
    return max(finite, key=lambda record: objective.score(value_of(record, objective)), default=None)


def value_of(record: Record, objective: Objective) -> float:
    """An ended trial's objective; NaN where it has none."""
    return record.result.summary.get(objective.metric, math.nan) if record.result else math.nan
