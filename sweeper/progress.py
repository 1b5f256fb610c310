"""The live view of a running sweep on stderr: a panel in a terminal, plain lines elsewhere."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sweeper.best import Rank, best_so_far, rank_by, value_of
from sweeper.causes import cause
from sweeper.experiment import Experiment
from sweeper.store import Result, Row, Sweep
from sweeper.text.durations import duration
from sweeper.trial import Trial, TrialState

MARKS = {
    TrialState.COMPLETE: ("✓", "green"),
    TrialState.PRUNED: ("✂", "yellow"),
    TrialState.DIVERGED: ("∞", "magenta"),
    TrialState.FAILED: ("✗", "red"),
}


@dataclass
class Standing:
    """How far a sweep is, in numbers. `seconds_left` reckons with the epochs a trial has needed so far."""

    epochs: int
    total: int
    ended: dict[TrialState, int] = field(default_factory=dict)
    running: dict[str, tuple[Trial, Row | None]] = field(default_factory=dict)
    epochs_seen: int = 0
    epochs_of_ended: list[int] = field(default_factory=list)
    first_report: float | None = None

    @property
    def ended_count(self) -> int:
        return sum(self.ended.values())

    def seconds_left(self, now: float) -> float | None:
        """None until an epoch has been timed."""
        if self.first_report is None or self.epochs_seen < 2 or now <= self.first_report:
            return None
        a_trial = sum(self.epochs_of_ended) / len(self.epochs_of_ended) if self.epochs_of_ended else self.epochs
        begun = sum(min(row["epoch"], a_trial) for _, row in self.running.values() if row)
        left = max(0.0, (self.total - self.ended_count) * a_trial - begun)
        return left * (now - self.first_report) / (self.epochs_seen - 1)


class View:
    """Shows a sweep as it runs; a `launch.Listener` and a context manager."""

    def __init__(self, console: Console, experiment: Experiment, total: int, ended: Mapping[TrialState, int]) -> None:
        self.console, self.experiment = console, experiment
        self.objective, self.metric = experiment.objective, experiment.objective.metric
        self.standing = Standing(experiment.train.epochs, total, dict(ended))
        self.ranks: dict[str, tuple[Rank, str]] = {}  # that of a trial's best epoch, and its name, by key
        self.live: Live | None = None

    def __enter__(self) -> "View":
        if self.console.is_terminal:
            self.live = Live(get_renderable=self.panel, console=self.console, refresh_per_second=4, transient=True)
            self.live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self.live:
            self.live.stop()

    def started(self, trial: Trial) -> None:
        self.standing.running[trial.key] = (trial, None)

    def reported(self, trial: Trial, history: tuple[Row, ...], saved_epoch: int) -> None:
        standing = self.standing
        standing.first_report = standing.first_report or time.monotonic()
        standing.epochs_seen += 1
        standing.running[trial.key] = (trial, history[-1])
        self._note(trial, history[-1].get(self.metric))

    def halting(self, running: int) -> None:
        self.console.print(f"stopping: {running} running trials end their epoch and save. Again: stop at once")

    def stopped(self) -> None:
        """Nothing: how to go on is told below the view."""

    def retried(self, trial: Trial, error: str) -> None:
        self.console.print(Text(f"trial {trial.number} ({trial.name}) will be tried again: {error}", style="yellow"))

    def ended(self, trial: Trial, result: Result) -> None:
        standing = self.standing
        standing.running.pop(trial.key, None)
        standing.ended[result.state] = standing.ended.get(result.state, 0) + 1
        standing.epochs_of_ended.append(len(result.history))
        if result.state in (TrialState.DIVERGED, TrialState.FAILED):
            self.ranks.pop(trial.key, None)  # the best no more
        else:
            self._note(trial, result.summary.get(self.metric))
        self.console.print(self._line(trial, result))

    @property
    def best(self) -> tuple[float, str] | None:
        """The best value so far and its trial's name."""
        if not self.ranks:
            return None
        (score, _), name = max(self.ranks.values())
        return self.objective.score(score), name

    def _note(self, trial: Trial, value: float | None) -> None:
        """Take in a trial's value; its best counts, and what is not a number never does."""
        rank = rank_by(trial, value, self.objective)
        if rank and (trial.key not in self.ranks or rank > self.ranks[trial.key][0]):
            self.ranks[trial.key] = (rank, trial.name)

    def _line(self, trial: Trial, result: Result) -> Text:
        mark, style = MARKS[result.state]
        standing = self.standing
        value = result.summary.get(self.metric)
        parts = [f"{standing.ended_count}/{standing.total}", f"{mark} {result.state.value:<8}", trial.name]
        parts += [f"{self.metric} {value:.4f}"] if value is not None else []
        parts += [f"test/top1 {result.summary['test/top1']:.4f}"] if "test/top1" in result.summary else []
        if result.error:
            parts.append(cause(result.error))
        left = standing.seconds_left(time.monotonic())
        parts += [f"about {duration(left)} left"] if left and not self.live else []
        return Text("  ".join(parts), style=style)

    def panel(self) -> RenderableType:
        """Progress with the time left, one line a running trial, and the best so far."""
        standing = self.standing
        left = standing.seconds_left(time.monotonic())
        head = Table.grid(padding=(0, 2))
        head.add_row(
            Text(self.experiment.name, style="bold"),
            ProgressBar(total=max(standing.total, 1), completed=standing.ended_count, width=30),
            f"{standing.ended_count}/{standing.total} trials",
            f"about {duration(left)} left" if left is not None else "starting",
        )
        running = Table.grid(padding=(0, 2))
        for trial, row in standing.running.values():
            epoch = int(row["epoch"]) if row else 0
            value = f"{self.metric} {row[self.metric]:.4f}" if row and self.metric in row else ""
            epochs = trial.config["train"]["epochs"]
            running.add_row(f"{trial.number:>5}", trial.name, f"epoch {epoch}/{epochs}", value)
        best = self.best
        told = Text(f"best {self.metric} {best[0]:.4f}  {best[1]}" if best else "", style="green")
        return Group(head, running, told)


def standing(sweep: Sweep, experiment: Experiment) -> dict[str, Any]:
    """How far a sweep is, for `list` and `status`: counts by state, trials to begin, the best one, whether it is running now."""
    from sweeper.search.asked import count_of  # and Optuna

    records = sweep.records()
    is_running = sweep.is_running()
    to_begin = max(0, count_of(experiment) - len(records))
    counts = Counter(record.state.value for record in records)
    metric = experiment.objective.metric
    record = best_so_far(records, experiment.objective)
    best = (
        {"metric": metric, "value": value_of(record, experiment.objective), "trial": record.trial.name}
        if record
        else None
    )
    parts = [
        f"{count} {state if is_running or state != 'running' else 'interrupted'}" for state, count in counts.items()
    ] or ["no trials yet"]
    told = ", ".join([*parts, f"{to_begin} to begin"] if to_begin else parts)
    told += f"; best {metric} {best['value']:.4f} ({best['trial']})" if best else ""
    told += "; running now" if is_running else ""
    return {
        "name": sweep.name,
        "states": dict(counts),
        "to_begin": to_begin,
        "is_running": is_running,
        "best": best,
        "told": told,
    }
