"""The Ray executor: Tune's Searcher asks the driver, its TrialScheduler reports to it, its Callback tells how trials end.

Tune's own experiment state lies in a temporary folder and is never read. A worker imports torch once and runs many
trials (`reuse_actors`); the driver's answer to an epoch reaches it through a small actor.
"""

import logging
import os
import signal
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune
from ray.tune import FailureConfig, RunConfig, TuneConfig
from ray.tune.execution import class_cache
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from sweeper.experiment import Experiment, Tracking
from sweeper.launch.answers import Answers
from sweeper.launch.driver import Driver
from sweeper.launch.share import Share
from sweeper.redaction import redacted
from sweeper.store import Row, Sweep
from sweeper.training import fit
from sweeper.trial import Answer, Trial

QUIET = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_FORCE_TRIAL_CLEANUP_S": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}

# Tune would hand these to workers in a way that Ray writes into its logs, so they get them as an argument.
CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN")


@contextmanager
def cluster(address: str | None) -> Iterator[None]:
    """Join the cluster at `address`, or start one on this machine alone; whatever Ray finds lying about is not joined.

    `timeout`, Slurm and systemd send SIGTERM to a whole family of processes. A cluster of our own does not hear it (as
    Ray does with SIGINT): it is needed until the trials have saved, and ends with us.
    """
    os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
    others = _children(os.getpid())
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        ray.init(
            address=address or "local",
            include_dashboard=False if address is None else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # the driver tells of failures itself
    own = _children(os.getpid()) - others
    try:
        yield
    finally:
        threading.Thread(target=_end, args=(own,), name="ending Ray", daemon=True).start()
        ray.shutdown()


def _children(process: int) -> set[int]:
    """The ids of a process's children, where Linux tells them."""
    try:
        files = [file.read_text() for file in Path(f"/proc/{process}/task").glob("*/children")]
    except OSError:  # it has just ended
        return set()
    return {int(word) for text in files for word in text.split()}


def _family(process: int) -> list[int]:
    """A process and its descendants."""
    return [process, *(member for child in _children(process) for member in _family(child))]


def _end(processes: set[int]) -> None:
    """Kill Ray's own processes once we have left it: it would wait a second for each to hear SIGTERM."""
    while ray.is_initialized():
        time.sleep(0.01)
    for process in [member for own in processes & _children(os.getpid()) for member in _family(own)]:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def facts() -> str:
    """What the connected cluster has."""
    nodes = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    size = f"{len(nodes)} node{'s' * (len(nodes) > 1)}"
    return f"Ray {ray.__version__}, {size}, {resources.get('CPU', 0):g} CPUs, {resources.get('GPU', 0):g} GPUs"


def trials_at_once(share: Share) -> int:
    """How many trials the cluster holds side by side. Raises ResourcesError when it never holds one."""
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return share.fits(resources.get("CPU", 0), resources.get("GPU", 0))


def run_on_ray(driver: Driver, share: Share, at_once: int) -> None:
    """Run a sweep's trials on the connected cluster until none is left or the driver halts."""
    # With fewer waiting trials than workers that start, a started worker would stand idle until the others are up.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(at_once + 2)
    class_cache.ENV_VARS_TO_PROPAGATE.difference_update(CREDENTIALS)
    answers = ray.remote(num_cpus=0)(Answers).remote()
    errors: dict[str, str | None] = {}
    trainable = tune.with_parameters(
        _train,
        sweep=(driver.sweep.storage.url, driver.sweep.name),
        experiment=replace(driver.experiment, tracking=Tracking()),  # publishing is the driver's; so are its passwords
        answers=answers,
        credentials={name: os.environ[name] for name in CREDENTIALS if name in os.environ},
    )
    with tempfile.TemporaryDirectory(prefix="sweeper-tune-") as scratch, suppress(_HaltError):
        tune.Tuner(
            tune.with_resources(trainable, {"cpu": share.cpus, "gpu": share.gpus}),
            tune_config=TuneConfig(
                search_alg=_Asking(driver),
                scheduler=_Reporting(driver, answers, errors),
                num_samples=-1,
                reuse_actors=True,
            ),
            run_config=RunConfig(
                name="tune",
                storage_path=scratch,
                callbacks=[_Ending(driver, answers, errors)],
                failure_config=FailureConfig(max_failures=0),
                verbose=0,
            ),
        ).fit()


def _train(
    config: dict[str, Any], sweep: tuple[str, str], experiment: Experiment, answers: Any, credentials: dict[str, str]
) -> None:
    """What a worker runs: one trial, from wherever its folder says it is."""
    os.environ.update(credentials)
    trial = Sweep(*sweep).trial(config["key"]).read_trial()

    def report(rows: tuple[Row, ...], saved_epoch: int) -> Answer:
        tune.report({"rows": rows, "saved_epoch": saved_epoch})
        return Answer(ray.get(answers.get.remote(trial.key, int(rows[-1]["epoch"]))))

    try:
        fit(trial, Sweep(*sweep), experiment, report)
    except Exception:  # whatever a user's model raises is that trial's failure; the worker goes on with the next
        error = redacted(traceback.format_exc())
        tune.report({"error": error})
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            # An error on the GPU may have spoiled this process: let Ray start another. It writes into its logs why.
            raise RuntimeError(error) from None


class _HaltError(Exception):
    """Ends Tune's loop: the trials have saved and stopped, or had their time to."""


class _Unsaved:
    """A part of the driver that Tune pickles into its own state, which is never read: as nothing."""

    def __reduce__(self) -> tuple[type[object], tuple[()]]:
        return (object, ())


class _Asking(_Unsaved, Searcher):
    """Tune's searcher: each suggestion is the key of a trial whose `trial.json` has been written."""

    def __init__(self, driver: Driver) -> None:
        super().__init__()
        self.driver = driver

    def suggest(self, trial_id: str) -> Any:
        trial = self.driver.next_trial()
        if trial is None:
            return str(Searcher.FINISHED) if self.driver.is_done else None
        return {"key": trial.key}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing: `_Ending` hears of it with the error's text."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the sweep folder remembers."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: Tune's state is never read."""


class _Reporting(_Unsaved, FIFOScheduler):
    """Tune's scheduler: takes epochs to the driver, whose answer the trial then fetches itself; never stops a trial."""

    def __init__(self, driver: Driver, answers: Any, errors: dict[str, str | None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.driver, self.answers, self.errors = driver, answers, errors

    def on_trial_result(self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]) -> str:
        self.errors[trial.config["key"]] = result.get("error")
        rows = tuple(result.get("rows", ()))
        if rows:
            answer = self.driver.report(_trial(self.driver, trial), rows, result["saved_epoch"])
            if answer is not Answer.GO_ON:
                ray.get(self.answers.set.remote(trial.config["key"], int(rows[-1]["epoch"]), answer.value))
        return str(TrialScheduler.CONTINUE)


class _Ending(_Unsaved, TrialProgressCallback):
    """Tune's callback: how trials end, and passing on a halt. In the place of the one that prints results."""

    def __init__(self, driver: Driver, answers: Any, errors: dict[str, str | None]) -> None:
        super().__init__()
        self.driver, self.answers, self.errors = driver, answers, errors
        self.has_told_halt = False

    def on_step_begin(self, iteration: int, trials: list[TuneTrial], **info: Any) -> None:
        if self.driver.halt_deadline is None:
            return
        if not self.has_told_halt:
            self.answers.halt.remote()
            self.has_told_halt = True
        if time.monotonic() > self.driver.halt_deadline or not self.driver.running:
            raise _HaltError

    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: dict[str, Any], **info: Any
    ) -> None:
        """Nothing: `_Reporting` took it in."""

    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        key = trial.config["key"]
        error = self.errors.pop(key, None)
        if error:
            self.driver.fail(_trial(self.driver, trial), error)
            return
        folder = self.driver.sweep.trial(key)
        self.driver.end(_trial(self.driver, trial), folder.read_result() if folder.exists("result.json") else None)

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        error = self.errors.pop(trial.config["key"], None)
        self.driver.fail(_trial(self.driver, trial), error or _death(trial))


def _death(trial: TuneTrial) -> str:
    """What is known of a worker that ended without a word."""
    told = str(trial.get_pickled_error() or "killed, or out of memory").strip().splitlines()
    return f"its worker died: {told[0]}"


def _trial(driver: Driver, tune_trial: TuneTrial) -> Trial:
    return driver.sweep.trial(tune_trial.config["key"]).read_trial()
