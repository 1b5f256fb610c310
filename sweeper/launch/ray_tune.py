"""The Ray executor: Tune's Searcher asks the driver, its TrialScheduler reports to it, its Callback tells how trials end.

Tune's own experiment state lies in a temporary folder and is never read. A worker imports torch once and runs many
trials (`reuse_actors`); the driver's answer to an epoch reaches it through a small actor.
"""

import os
import tempfile
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import tune
from ray.tune import FailureConfig, RunConfig, TuneConfig
from ray.tune.execution import class_cache
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweeper.experiment import Tracking
from sweeper.launch.answers import Answers, LostAnswersError
from sweeper.launch.credentials import SECRETS, credentials
from sweeper.launch.driver import Driver
from sweeper.launch.head import Head
from sweeper.launch.share import Share
from sweeper.launch.work import Work
from sweeper.trial import Answer, Trial

if TYPE_CHECKING:
    from sweeper.launch.cluster import Cluster

LEAST_PENDING = 8


def run_on_ray(driver: Driver, share: Share, at_once: int, head: Head, nodes: "Cluster | None" = None) -> None:
    """Run a sweep's trials on the connected cluster until none is left, the driver halts, or Ray itself is lost."""
    # With fewer waiting trials than workers that start, a started worker would stand idle until the others are up. By its
    # waiting trials a cluster also knows that it is to grow.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(max(at_once + 2, LEAST_PENDING if nodes else 0))
    class_cache.ENV_VARS_TO_PROPAGATE.difference_update(SECRETS)
    answers = _answering()
    states: dict[str, State] = defaultdict(State)
    work = Work(
        sweep=(driver.sweep.storage.url, driver.sweep.name),
        experiment=replace(driver.experiment, tracking=Tracking()),  # publishing is the driver's; so are its passwords
        answers=answers,
        access=credentials(),
        versions=nodes.here if nodes else None,
    )
    trainable = tune.with_parameters(_train, work=work)
    with tempfile.TemporaryDirectory(prefix="sweeper-tune-") as scratch, suppress(_HaltError, _LostError):
        tune.Tuner(
            tune.with_resources(trainable, partial(_reservation, share)),
            tune_config=TuneConfig(
                search_alg=_Asking(driver),
                scheduler=_Reporting(driver, answers, states, share, nodes),
                num_samples=-1,
                reuse_actors=True,
            ),
            run_config=RunConfig(
                name="tune",
                storage_path=scratch,
                callbacks=[_Ending(driver, answers, states, head, nodes)],
                failure_config=FailureConfig(max_failures=0),
                verbose=0,
            ),
        ).fit()


def _answering() -> Any:
    """The actor that takes answers to workers: on the driver's own node, without which there is no sweep."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    # Asked again where the connection breaks: an answer stays what it is. Started again when it dies.
    options = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1, "scheduling_strategy": here}
    return ray.remote(Answers).options(**options).remote()


def _bundle(share: Share, config: dict[str, Any]) -> dict[str, float]:
    """What Ray keeps for a trial while it runs."""
    own = share.whole if config.get("is_alone") else share
    return {"CPU": float(own.cpus), **({"GPU": own.gpus} if own.gpus else {})}


def _reservation(share: Share, config: dict[str, Any]) -> tune.PlacementGroupFactory:
    return tune.PlacementGroupFactory([_bundle(share, config)])


def _train(config: dict[str, Any], work: Work) -> None:
    """What a worker runs. Only there is torch imported."""
    from sweeper.launch.worker import train

    train(config["key"], work)


@dataclass
class State:
    """What is known of a running trial: its node, once it has told; how it broke, and whether its node was unfit for it."""

    node: str | None = None
    error: str | None = None
    is_unfit: bool = False

    @property
    def is_own(self) -> bool:
        """Whether what broke it was its own, and not its node's or the driver's."""
        return not (self.is_unfit or LostAnswersError.__name__ in (self.error or ""))


class _HaltError(Exception):
    """Ends Tune's loop: the trials have saved and stopped, or had their time to."""


class _LostError(BaseException):
    """As that, of a Ray that is lost: past Tune's clean-up, which would wait for it until Ray ends this process."""


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
        return {"key": trial.key, "is_alone": trial.key in self.driver.alone}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing: `_Ending` hears of it with the error's text."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the sweep folder remembers."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: Tune's state is never read."""


class _Reporting(_Unsaved, FIFOScheduler):
    """Tune's scheduler: takes epochs to the driver, whose answer the trial then fetches itself; never stops a trial."""

    def __init__(
        self, driver: Driver, answers: Any, states: dict[str, State], share: Share, nodes: "Cluster | None"
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.driver, self.answers, self.states, self.share, self.nodes = driver, answers, states, share, nodes

    def on_trial_add(self, tune_controller: Any, trial: TuneTrial) -> None:
        """Keep a trial off the nodes that are left out."""
        if self.nodes and self.nodes.unfit:
            bundle = _bundle(self.share, trial.config)
            others = {"ray.io/node-id": f"!in({','.join(sorted(self.nodes.unfit))})"}
            trial.update_resources(tune.PlacementGroupFactory([bundle], bundle_label_selector=[others]))

    def on_trial_result(self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]) -> str:
        self.driver.begin(trial.config["key"])  # a worker that is used again starts without a word
        unfit, node = result.get("unfit"), result.get("node")
        self.states[trial.config["key"]] = State(node, result.get("error") or unfit, bool(unfit))
        if self.nodes and node and unfit:
            self.nodes.leave_out(node, unfit)
        rows = tuple(result.get("rows", ()))
        if rows:
            answer = self.driver.report(self.driver.running[trial.config["key"]], rows, result["saved_epoch"])
            if answer is not Answer.GO_ON:
                ray.get(self.answers.set.remote(trial.config["key"], int(rows[-1]["epoch"]), answer.value))
        return str(TrialScheduler.CONTINUE)


class _Ending(_Unsaved, TrialProgressCallback):
    """Tune's callback: how trials end, and passing on a halt. In the place of the one that prints results."""

    def __init__(
        self, driver: Driver, answers: Any, states: dict[str, State], head: Head, nodes: "Cluster | None"
    ) -> None:
        super().__init__()
        self.driver, self.answers, self.states, self.head, self.nodes = driver, answers, states, head, nodes
        self.has_told_halt = False

    def on_step_begin(self, iteration: int, trials: list[TuneTrial], **info: Any) -> None:
        if self.nodes:
            self.nodes.watch(lambda: any(trial.status == TuneTrial.RUNNING for trial in trials))
        if told := self.head.told_lost:
            self.head.leave()
            self.driver.trouble = told
            raise _LostError
        if self.driver.halt_deadline is None:
            return
        if not self.has_told_halt:
            self.answers.halt.remote()
            self.has_told_halt = True
        if time.monotonic() > self.driver.halt_deadline or not self.driver.training:
            raise _HaltError

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        self.driver.begin(trial.config["key"])

    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: dict[str, Any], **info: Any
    ) -> None:
        """Nothing: `_Reporting` took it in."""

    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        state, own = self._leave(trial)
        if state.error:
            self.driver.fail(own, state.error, state.is_own)
        else:
            self.driver.end_as_stored(own)

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        state, own = self._leave(trial)
        death = _death(trial)
        lost = self.nodes.told_lost(state.node, death) if self.nodes and not state.error else None
        self.driver.fail(own, state.error or lost or death, lost is None and state.is_own)

    def _leave(self, trial: TuneTrial) -> tuple[State, Trial]:
        """What is known of an ended trial; without 15 kB of Tune's own statistics, which it would keep to the end."""
        trial.run_metadata.metric_analysis.clear()
        trial.run_metadata.metric_n_steps.clear()
        key = trial.config["key"]
        return self.states.pop(key, State()), self.driver.running[key]


def _death(trial: TuneTrial) -> str:
    """What is known of a worker that ended without a word."""
    told = Path(trial.error_file).read_text() if trial.error_file and Path(trial.error_file).exists() else ""
    return f"its worker died: {told or 'killed, or out of memory'}"
