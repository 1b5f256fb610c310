"""What is to be published of a trial."""

from dataclasses import dataclass

from sweeper.store import Record, Result, Row
from sweeper.trial import Trial, TrialState


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


def news_of_end(trial: Trial, result: Result) -> News:
    """Of a failed trial, the rows after its checkpoint are left out: a retry measures them again."""
    is_final = result.state is not TrialState.FAILED
    return News(trial, result.history if is_final else result.history[: result.saved_epoch], result)


def news_of(record: Record) -> News:
    """Of a trial that has not ended and is not running, the folder does not tell how far its checkpoint is."""
    if record.result:
        return news_of_end(record.trial, record.result)
    return News(record.trial, is_running=False)
