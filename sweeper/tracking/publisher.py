"""The background thread that publishes a sweep as it runs, and again what a store that was out did not take."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from sweeper.experiment import Experiment
from sweeper.store import Record, Result, Row, StoreError, Sweep
from sweeper.text.redaction import without_password, without_passwords
from sweeper.tracking.news import News, Parent, news_of, news_of_end
from sweeper.tracking.settings import set_up
from sweeper.tracking.trouble import Outage, is_outage, sentence
from sweeper.trial import Trial, TrialState

if TYPE_CHECKING:
    from sweeper.tracking.mlflow_store import SweepRuns

RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
PATIENCE_SECONDS = 20.0
GATHER_SECONDS = 1.0  # of a trial that starts, reports and ends within that the store is asked once
STALL_SECONDS, MODEL_SECONDS = 60.0, 360.0
MODEL = "the best model"


class Publisher:
    """Listens to a sweep and publishes it; see `launch.Listener`. Start it, then call `finish`, or `leave` where the sweep stops.

    The thread owns the connection. A trial's news stay in `news` until the store has them. After any trouble nothing
    that was known of the store is believed: runs are looked up again, as after a restart. `tell` hears of an outage.
    """

    def __init__(
        self,
        uri: str,
        sweep: Sweep,
        experiment: Experiment,
        patience_seconds: float = PATIENCE_SECONDS,
        tell: Callable[[str], object] = lambda told: None,
    ) -> None:
        self.uri, self.sweep, self.experiment, self.patience = uri, sweep, experiment, patience_seconds
        self.outage = Outage(uri, tell)
        self.news: dict[str, News] = {}
        self.taken: dict[str, tuple[TrialState, float] | None] = {}
        self.changed = threading.Condition()
        self.parent: Parent | None = None
        self.records: Sequence[Record] = ()
        self.missing: list[str] = ["the parent run"]
        self.trouble: str | None = None
        self.registered: str | None = None  # the address of the best model, when it was to be registered
        self.is_outage = self.was_troubled = self.is_last = self.is_leaving = False
        self.tries = self.troubles = 0
        self.next_round = 0.0
        self.stopping: Future[None] | None = None
        self.deadline = self.busy_until = float("inf")
        self.runs: SweepRuns | None = None
        self.experiment_id, self.run_ids = "", dict[str, str]()
        self.thread = threading.Thread(target=self._work, name="publisher", daemon=True)

    def start(self) -> None:
        """Begin, unless that was done; the first trial that starts does it too."""
        if self.thread.ident is None:
            set_up()
            self.thread.start()

    def started(self, trial: Trial) -> None:
        self._tell(News(trial))

    def reported(self, trial: Trial, history: tuple[Row, ...], saved_epoch: int) -> None:
        """Rows up to the checkpoint are published; those after it would be measured again after a crash."""
        self._tell(News(trial, history[:saved_epoch]))

    def retried(self, trial: Trial, error: str) -> None:
        """Nothing: the run goes on."""

    def halting(self, running: int) -> None:
        """Nothing: `stopped` ends the runs."""

    def stopped(self) -> None:
        """Begin to publish that the sweep has stopped; its storage may be out, which `leave` tells."""
        if self.stopping is None and self.thread.ident is not None:  # else nothing has begun
            self.stopping = Future()
            threading.Thread(target=self._stop_soon, args=(self.stopping,), name="stopping", daemon=True).start()

    def _stop_soon(self, stopping: "Future[None]") -> None:
        try:
            self._stop()
        except Exception as error:
            stopping.set_exception(error)
        else:
            stopping.set_result(None)

    def _stop(self) -> None:
        """Publish the stop: that no run is RUNNING first of all, and no more than is new."""
        files = {"experiment.yaml": without_passwords(self.sweep.experiment()).encode()} if self.sweep.exists() else {}
        try:
            records = self.sweep.all_records()
        except StoreError:  # the run ends with it told
            records = self.sweep.readable_records()
        self._close(records, Parent(files, {}, is_over=False), is_leaving=True)

    def ended(self, trial: Trial, result: Result) -> None:
        self._tell(news_of_end(trial, result))

    def _tell(self, news: News) -> None:
        self.start()
        with self.changed:
            self._take(news)
            self.changed.notify_all()

    def _take(self, news: News) -> None:
        """Note news, with the rows that a trial's earlier, unpublished news had."""
        before = self.news.get(news.trial.key)
        if before and news.result is None and len(before.history) > len(news.history):
            news = replace(news, history=before.history)
        self.news[news.trial.key] = news

    def settle(self, records: Sequence[Record]) -> None:
        """Publish the trials as the folder now has them, before the parent run is described.

        Waits for as long as something gets published, and 20 s more; after any trouble no longer, for `finish` tries again.
        """
        self.start()
        with self.changed:
            for record in records:
                self._take(news_of(record))
            self.is_last = True
            self.changed.notify_all()
            troubles, is_waiting = self.troubles, True
            while is_waiting and self.news and self.troubles == troubles and not self.tries:
                is_waiting = self.changed.wait(self.patience)

    def finish(self, records: Sequence[Record], parent: Parent) -> list[str]:
        """Publish the folder as it now is, then the parent run. Returns what could not be published (empty: all was).

        Waits for as long as something gets published, and 20 s more; for a store that hangs, a minute.
        """
        self._close(records, parent)
        return self._wait()

    def leave(self) -> list[str]:
        """As `finish`, of a sweep that stops. Raises what reading its folder raises."""
        self.stopped()
        if self.stopping is None:
            return []
        self.stopping.result()
        return self._wait()

    def _close(self, records: Sequence[Record], parent: Parent, is_leaving: bool = False) -> None:
        """Let the thread publish the last news, those of trials without a result first, and then the parent run."""
        with self.changed:
            for record in records:
                self._take(news_of(record))
            self.news = dict(sorted(self.news.items(), key=lambda item: item[1].result is not None))
            self.records, self.parent, self.is_leaving = records, parent, is_leaving
            self.deadline = time.monotonic() + self.patience
            self.busy_until = time.monotonic() + STALL_SECONDS
            self.changed.notify_all()

    def _wait(self) -> list[str]:
        while self.thread.is_alive() and time.monotonic() < self.busy_until:
            self.thread.join(0.2)
        with self.changed:
            left = [key for key, news in self.news.items() if news.result is None or self.taken.get(key) != news.ending]
            missing = [f"trial {key}" for key in left] + self.missing
        if missing and self.trouble is None:
            self.trouble = f"{without_password(self.uri)}: no answer"
        return missing

    def _work(self) -> None:
        """The thread: the trials as there is news of them, at the end the parent, while patience lasts again and again."""
        if self._attempt(self._connected):  # takes seconds, which are free while the first trials start
            self._extend()
        self._publish_trials()
        tries, last = 0, time.monotonic() + self.patience
        while not (self.news and self.is_outage):
            self._publish_parent()
            tries += 1
            is_hopeless = not self.is_outage and (tries > 1 or self.missing == [MODEL])
            if not self.missing or is_hopeless or time.monotonic() > last:
                return
            self._pause()
            self._publish_trials()

    def _publish_trials(self) -> None:
        """Until nothing is new. After trouble all is looked at once more: a lost answer may be of something that was done."""
        self._publish_news()
        while self.was_troubled and not self.news:
            self.was_troubled, self.runs = False, None
            with self.changed:
                self.news = {record.trial.key: news_of(record) for record in self.records}
            self._publish_news()

    def _publish_news(self) -> None:
        while self.parent is None or (self.news and not self._is_hopeless()):
            with self.changed:
                self.changed.wait_for(lambda: self.news or self.parent)
                self.changed.wait_for(lambda: self.is_last or self.parent, self.next_round - time.monotonic())
                self.next_round = time.monotonic() + GATHER_SECONDS
            went_well = self._round()
            if self.parent is None:
                self.outage.note(self.trouble if self.is_outage else None)
            if not went_well:
                self._pause()

    def _is_hopeless(self) -> bool:
        return time.monotonic() > self.deadline or (self.tries > 1 and not self.is_outage)

    def _round(self) -> bool:
        """Publish what there is to publish. Returns whether the store took it all."""
        with self.changed:
            waiting, was_leaving = list(self.news.values()), self.is_leaving
        went_well = self._attempt(self._connected)
        self.is_outage = not went_well
        for news in waiting if went_well else ():
            if self.is_leaving != was_leaving:  # there is more urgent news now
                break
            if not self._attempt(partial(self._publish, news)):
                went_well = False
                self._put_last(news)
                if self.is_outage:
                    break
        if not went_well:
            self.runs = None
        return went_well

    def _attempt(self, action: Callable[[], object]) -> bool:
        """Whether an action on the store went well. Stores are plugins, which raise anything: it is told at the end."""
        try:
            action()
        except Exception as error:
            with self.changed:
                self.trouble, self.is_outage, self.was_troubled = sentence(error, self.uri), is_outage(error), True
                self.troubles += 1
                self.changed.notify_all()
            return False
        return True

    def _connected(self) -> "SweepRuns":
        if self.runs is None:
            from sweeper.tracking.mlflow_store import SweepRuns

            self.runs = SweepRuns(self.uri, self.sweep, self.experiment)
        return self.runs

    def _publish(self, news: News) -> None:
        runs = self._connected()
        if not (self.is_leaving and news.result and runs.has_ended(news.trial, news.result)):
            runs.publish(news.trial, news.history, news.result, news.is_running)
        self.experiment_id, self.run_ids[news.trial.key] = runs.experiment_id, runs.runs[news.trial.key].run_id
        self.taken[news.trial.key] = news.ending
        with self.changed:
            if self.news.get(news.trial.key) is news:
                del self.news[news.trial.key]
            self.changed.notify_all()
        self.tries = 0
        self._extend()

    def _extend(self) -> None:
        """The store answers: have patience anew."""
        with self.changed:
            if self.parent:
                self.deadline = max(self.deadline, time.monotonic() + self.patience)
                self.busy_until = time.monotonic() + STALL_SECONDS

    def _put_last(self, news: News) -> None:
        """What the store does not take must not stand before what it would take."""
        with self.changed:
            self.news[news.trial.key] = self.news.pop(news.trial.key)

    def _pause(self) -> None:
        """Before the next try: longer each time for as long as the sweep runs."""
        seconds = RETRY_SECONDS[min(self.tries, len(RETRY_SECONDS) - 1)]
        self.tries += 1
        if self.parent:
            time.sleep(min(1.0, self.patience))
            return
        with self.changed:
            self.changed.wait_for(lambda: self.parent, timeout=seconds)

    def _publish_parent(self) -> None:
        """Publish the best model and the parent run; the one does not keep back the other."""
        parent = self.parent
        if parent is None:
            return
        steps = {MODEL: (self._log_model, MODEL_SECONDS), "the parent run": (self._end_parent, STALL_SECONDS)}
        self.missing, self.is_outage = list(steps), False
        for name, (step, seconds) in steps.items():
            self.busy_until = time.monotonic() + seconds
            if self._attempt(partial(step, parent)):
                self.missing.remove(name)

    def _log_model(self, parent: Parent) -> None:
        if parent.model:
            self.registered = self._connected().log_model(parent.model, parent.register)
        elif parent.register:
            raise ValueError(
                "the best trial has kept no model to register; `artifacts: {models: best}` keeps those of sweeps to come"
            )

    def _end_parent(self, parent: Parent) -> None:
        self._connected().end_others({record.trial.key for record in self.records})
        self._connected().publish_parent(parent.files, parent.tables, parent.tags, parent.is_over)
