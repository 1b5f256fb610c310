"""What is to be published of a trial, and of its sweep."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sweeper.store import Record, Result, Row
from sweeper.trial import Trial, TrialState

if TYPE_CHECKING:
    import pandas as pd

    from sweeper.tracking.logged_model import LoggedModel


@dataclass(frozen=True)
class News:
    """All that is to be published of one trial; later news take the place of earlier.

    `history` has the rows that no later try measures again. A trial without a result either runs or waits.
    """

    trial: Trial
    history: tuple[Row, ...] = ()
    result: Result | None = None
    is_running: bool = True

    @property
    def ending(self) -> tuple[TrialState, float] | None:
        return (self.result.state, self.result.ended) if self.result else None


@dataclass(frozen=True)
class Parent:
    """What the parent run carries: files by name, tags, tables by file name, the best trial's network if there is one."""

    files: Mapping[str, bytes]
    tags: Mapping[str, str]
    is_over: bool
    model: "LoggedModel | None" = None
    register: str | None = None
    tables: "Mapping[str, pd.DataFrame]" = field(default_factory=dict)


def news_of_end(trial: Trial, result: Result) -> News:
    """Of a failed trial, the rows after its checkpoint are left out: a retry measures them again."""
    is_final = result.state is not TrialState.FAILED
    return News(trial, result.history if is_final else result.history[: result.saved_epoch], result)


def news_of(record: Record) -> News:
    """Of a trial that has not ended and is not running, the folder does not tell how far its checkpoint is."""
    if record.result:
        return news_of_end(record.trial, record.result)
    return News(record.trial, is_running=False)
