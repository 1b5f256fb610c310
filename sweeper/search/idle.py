"""What judges the trials of a grid without a pruner: nothing, and without Optuna."""

from collections.abc import Iterable, Mapping
from typing import Any

from sweeper.space.domain import Cell
from sweeper.store import Result, Row
from sweeper.trial import Trial


class Idle:
    """Draws nothing, stops nothing and keeps nothing of 10,000 trials; `Judge` does as these verbs say."""

    def add(self, cell: Mapping[str, Any]) -> None:
        """The next number, of a trial with a cell; without parameters where that is none of the space."""

    def skip(self, number: int) -> None:
        """The next number, which no trial has."""

    def sample(self, number: int, method: str) -> Cell:
        """The next number's cell, drawn."""
        raise AssertionError("a grid draws nothing")

    def set_cell(self, number: int, cell: Mapping[str, Any]) -> None:
        """Give a drawn number the cell that it had before the study was lost."""

    def forget(self, number: int) -> None:
        """Let a drawn number be no trial's."""

    def report(self, trial: Trial, history: Iterable[Row]) -> None:
        """See `Search.report`."""

    def should_prune(self, trial: Trial) -> bool:
        """See `Search.should_prune`."""
        return False

    def tell(self, trial: Trial, result: Result) -> None:
        """See `Search.tell`."""

    def replay(self, trial: Trial, result: Result) -> None:
        """Take in how a trial ended in an earlier run."""
