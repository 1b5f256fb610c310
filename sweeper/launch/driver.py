"""What a driver does with every event of a sweep, whichever executor runs the trials."""

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from sweeper.best import rank
from sweeper.causes import cause, is_of_settings, is_out_of_gpu_memory, own_error
from sweeper.experiment import Experiment
from sweeper.search import Search
from sweeper.store import Record, Result, Row, StoreError, Sweep, time_after
from sweeper.store.folder import FULL
from sweeper.store.remote import UnreachableError
from sweeper.store.trial_folder import CHECKPOINT, CheckpointError
from sweeper.text.redaction import redacted
from sweeper.trial import Answer, Trial, TrialState

FULL_DISK = {f"OSError: [Errno {number}]": remedy for number, remedy in FULL.items()}
MOST_LOSSES = 2


class Listener(Protocol):
    """Who is told what happens: the live view, and the publisher to MLflow."""

    def started(self, trial: Trial) -> None: ...
    def reported(self, trial: Trial, history: tuple[Row, ...], saved_epoch: int) -> None: ...
    def retried(self, trial: Trial, error: str) -> None: ...
    def ended(self, trial: Trial, result: Result) -> None: ...
    def halting(self, running: int) -> None: ...
    def stopped(self) -> None: ...


class Driver:
    """The one writer of a sweep's `trial.json` files, and the only one who asks and tells the search.

    `at_last` is called once no new trial is left to start.
    """

    def __init__(
        self,
        sweep: Sweep,
        experiment: Experiment,
        search: Search,
        listeners: Sequence[Listener],
        shares_gpus: bool = False,
        at_last: Callable[[], object] | None = None,
    ) -> None:
        self.shares_gpus = shares_gpus
        self.at_last = at_last
        self.alone: set[str] = set()
        self.waiting: set[str] = set()
        self.sweep, self.experiment, self.search, self.listeners = sweep, experiment, search, listeners
        self.histories: dict[str, tuple[Row, ...]] = {}
        self.running: dict[str, Trial] = {}
        self.halt_deadline: float | None = None
        self.trouble: str | None = None
        self.saved_epochs: dict[str, int] = {}
        self.tries: Counter[str] = Counter()
        self.losses: dict[str, tuple[int, int]] = {}
        self.again: deque[Trial] = deque()
        self.best: tuple[tuple[float, int], str] | None = None

    def halt(self, grace_seconds: float | None) -> None:
        """Start no more trials, and ask the running ones to end their epoch, save and stop, within a time if one is given."""
        was_halted, now = self.is_halted, time.monotonic()
        self.halt_deadline = min(
            self.halt_deadline or math.inf, now + (math.inf if grace_seconds is None else grace_seconds)
        )
        if not was_halted:  # a signal may have interrupted a line that is being written: told beside it
            threading.Thread(target=self._tell_halting, args=(self.training,), name="telling").start()

    @property
    def training(self) -> int:
        """How many of the running trials have got what they run on."""
        return len(self.running.keys() - self.waiting)

    def _tell_halting(self, running: int) -> None:
        for listener in self.listeners:
            listener.halting(running)

    @property
    def is_halted(self) -> bool:
        return self.halt_deadline is not None

    @property
    def is_done(self) -> bool:
        """Whether no trial will be started any more; a running one may yet have to be tried again."""
        return self.is_halted or not (self.running or self.again or not self.search.is_exhausted)

    def next_trial(self) -> Trial | None:
        """The next trial to start now, noted in the folder; None when there is none for now (or, see `is_done`, ever).

        While a trial waits for a GPU of its own there is none: those that start would share what becomes free.
        """
        limit = self.experiment.resources.max_concurrent
        if self.is_halted or self.alone & self.waiting or (limit is not None and len(self.running) >= limit):
            return None
        trial = self.again.popleft() if self.again else self.search.ask()
        if self.at_last and self.search.is_exhausted:
            self.at_last()
            self.at_last = None
        if trial is None:
            return None
        with self.storing(trial):
            self._note(trial)
        if self.is_halted:
            return None
        self.running[trial.key] = trial
        self.waiting.add(trial.key)
        for listener in self.listeners:
            listener.started(trial)
        return trial

    def _note(self, trial: Trial) -> None:
        self.sweep.identity()  # else a folder that is gone would be made anew, trial by trial
        folder = self.sweep.trial(trial.key)
        if not folder.exists("trial.json"):
            folder.write_trial(trial)
        if trial.key in self.search.reopened:
            folder.reopen()
            self.search.reopened.remove(trial.key)

    @contextmanager
    def storing(self, trial: Trial) -> Iterator[None]:
        """What a trial's folder refuses ends the sweep in good order: trying again would help no trial."""
        try:
            yield
        except (OSError, StoreError) as error:
            self._drop(trial)
            self._give_up(f"{type(error).__name__}: {error}" if isinstance(error, OSError) else str(error))

    def _drop(self, trial: Trial) -> None:
        self.running.pop(trial.key, None)
        self.begin(trial.key)

    def _give_up(self, told: str) -> None:
        told += next((f". {remedy} first." for start, remedy in FULL_DISK.items() if told.startswith(start)), "")
        self.trouble = self.trouble or told
        self.halt(None)

    def begin(self, key: str) -> None:
        """Take in that a trial has got what it runs on."""
        self.waiting.discard(key)

    def report(self, trial: Trial, rows: tuple[Row, ...], saved_epoch: int) -> Answer:
        """Take in epochs of a running trial; the answer goes back to it. An earlier try's later rows are forgotten."""
        before = tuple(row for row in self.histories.get(trial.key, ()) if rows and row["epoch"] < rows[0]["epoch"])
        history = self.histories[trial.key] = before + rows
        self.saved_epochs[trial.key] = saved_epoch
        self.search.report(trial, history)
        for listener in self.listeners:
            listener.reported(trial, history, saved_epoch)
        if self.is_halted:
            return Answer.HALT
        return Answer.PRUNE if self.search.should_prune(trial) else Answer.GO_ON

    def end(self, trial: Trial, result: Result | None) -> None:
        """Take in that a trial's work is over: with its result, or without one when it was halted."""
        self._drop(trial)
        self.histories.pop(trial.key, None)
        if result is None:
            return
        self.search.tell(trial, result)
        with self.storing(trial):
            self.sweep.identity()
            self._keep_best_model(trial, result)
        for listener in self.listeners:
            listener.ended(trial, result)

    def end_as_stored(self, trial: Trial) -> None:
        """As `end`, with the result that the trial's folder has, if it has one."""
        with self.storing(trial):
            folder = self.sweep.trial(trial.key)
            self.end(trial, folder.read_result() if folder.exists("result.json") else None)

    def fail(self, trial: Trial, error: str, is_own: bool = True) -> None:
        """Take in that a trial broke, with its traceback: it is tried again from its checkpoint, or has failed for good.

        What its node or Ray did, not itself (`is_own`), counts as a try only from the third time on that it has got no further.
        Settings that do not fit the images are not tried again.
        A trial that failed for good keeps its checkpoint, for `resume --retry-failed`. One that ran out of memory on a
        GPU that it shared was not at fault: it is tried again alone, once, whatever `max_retries` says. One whose latest
        checkpoint is damaged goes on from the one before. A damaged file that has none before it stops a sweep with a
        pruner or a sampler, which would decide otherwise than with it mended.
        """
        with self.storing(trial):
            self._fail(trial, redacted(error), is_own)  # a worker elsewhere has another environment

    def _fail(self, trial: Trial, error: str, is_own: bool) -> None:
        self.sweep.identity()  # a folder that is gone is no trial's fault
        told, (kind, message), folder = cause(error), own_error(error), self.sweep.trial(trial.key)
        is_storage_out = kind == UnreachableError.__name__ or told.startswith(tuple(FULL_DISK))
        if is_storage_out and not self.is_halted:  # trying again would help no trial
            self._give_up(message)
        if kind == CheckpointError.__name__ and not self.is_halted and folder.set_back():
            self._try_again(
                trial, f"{folder.told(CHECKPOINT)} was damaged, and is removed; it goes on from the one before"
            )
            return
        is_damaged = kind in (StoreError.__name__, CheckpointError.__name__)
        if is_damaged and self.search.window is not None:  # others would be judged otherwise without it
            self._give_up(message)
        if self.is_halted:  # its worker was stopped with the rest
            self.end(trial, None)
            return
        if folder.exists("result.json"):  # its worker died after its last word
            self.end(trial, folder.read_result())
            return
        if self.shares_gpus and trial.key not in self.alone and is_out_of_gpu_memory(error):
            self.alone.add(trial.key)
            self._try_again(trial, f"{told} (now alone on a GPU)")
            return
        saved = self.saved_epochs.get(trial.key, 0)
        if is_own or self._is_lost_again(trial.key, saved):
            self.tries[trial.key] += 1
        if self.tries[trial.key] <= self.experiment.resources.max_retries and not is_of_settings(error):
            self._try_again(trial, told)
            return
        history = self.histories.get(trial.key, ())
        result = Result(
            TrialState.FAILED, history=history, error=error, saved_epoch=saved, ended=time_after(history), artifacts={}
        )
        folder.write_result(result)
        self.end(trial, result)

    def _is_lost_again(self, key: str, saved: int) -> bool:
        """Note that a trial was lost, with the epoch to go on from; whether it has got no further for too many times."""
        epoch, times = self.losses.get(key, (-1, 0))
        times = times + 1 if epoch >= saved else 1
        self.losses[key] = saved, times
        return times > MOST_LOSSES

    def _try_again(self, trial: Trial, told: str) -> None:
        self._drop(trial)
        self.again.append(trial)
        for listener in self.listeners:
            listener.retried(trial, told)

    def remember(self, records: Sequence[Record]) -> None:
        """Take in the rows of an earlier run's trials, and whose model is the best so far."""
        for record in records:
            self.histories[record.trial.key] = record.history
            if record.result and record.trial.key not in self.search.reopened:
                self._keep_best_model(record.trial, record.result)

    def _keep_best_model(self, trial: Trial, result: Result) -> None:
        """Under `models: best`, keep one `model.pt`: of the best complete trial, the first numbered of two alike."""
        score = rank(trial, result, self.experiment.objective)
        if score is None:
            return
        loser = trial.key
        if self.best is None or score > self.best[0]:
            loser = self.best[1] if self.best else ""
            self.best = (score, trial.key)
        if loser and self.experiment.artifacts.models == "best":
            self.sweep.trial(loser).artifacts.remove("model.pt")
