"""The best trial: one rule for records and for tables."""

import math

from folders import synthetic_trial
from hypothesis import given
from hypothesis import strategies as st

from sweeper.best import best_so_far
from sweeper.dashboards.ranking import best
from sweeper.experiment import Objective
from sweeper.results import trials_table
from sweeper.store import Record, Result
from sweeper.trial import TrialState

METRIC = "val/top1"
VALUES = st.none() | st.sampled_from([0.0, 0.5, 1.0, math.nan, math.inf, -math.inf])


def record(number: int, state: TrialState, value: float | None) -> Record:
    summary = {} if value is None else {METRIC: value}
    return Record(
        synthetic_trial(number, {"lr": 0.1 + number}), state, (), Result(state, summary) if state.is_finished else None
    )


@given(st.permutations(range(6)), st.data(), st.sampled_from(["max", "min"]))
def test_the_best_record_is_the_best_row_of_the_table(numbers: list[int], data: st.DataObject, mode: str) -> None:
    states = st.sampled_from(TrialState)
    records = [record(number, data.draw(states), data.draw(VALUES)) for number in numbers]
    table = trials_table(records, ["lr"])
    row, found = best(table, METRIC, mode), best_so_far(records, Objective(METRIC, mode))
    assert (found and found.trial.number) == (None if row is None else table["number"][row])
