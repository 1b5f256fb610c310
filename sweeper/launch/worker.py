"""What a worker of Ray's does: it imports torch once, and runs one trial after the other."""

import os
import traceback
from functools import cache

import ray
import torch
from ray import tune

from sweeper.launch.answers import LostAnswersError
from sweeper.launch.looking import versions_here
from sweeper.launch.nodes import skew
from sweeper.launch.work import Work
from sweeper.store import Row, Sweep
from sweeper.text.redaction import redacted
from sweeper.training.fit import fit
from sweeper.training.machine import told_unfit
from sweeper.trial import Answer


def train(key: str, work: Work) -> None:
    """Train one trial, from wherever its folder says it is, and report to Tune.

    Not where the versions are others than those given: a node that has joined gets trials before it was looked at.
    """
    os.environ.update(work.access)
    node = ray.get_runtime_context().get_node_id()
    opened = Sweep(*work.sweep)
    if why := (work.versions and skew(work.versions, _versions())) or told_unfit(opened.machine()):
        tune.report({"node": node, "unfit": why})
        raise RuntimeError(why)  # or Tune would let this worker have the next trial
    trial, identity = opened.trial(key).read_trial(), ray.get(work.answers.begin.remote())
    if identity is None:
        return

    def report(rows: tuple[Row, ...], saved_epoch: int) -> Answer:
        tune.report({"node": node, "rows": rows, "saved_epoch": saved_epoch})
        answer = ray.get(work.answers.get.remote(trial.key, int(rows[-1]["epoch"]), identity))
        if answer is None:
            raise LostAnswersError("the process that holds the driver's answers was started anew")
        return Answer(answer)

    try:
        fit(trial, opened, work.experiment, report)
    except (Exception, SystemExit):  # whatever a user's model raises is that trial's failure; the worker goes on
        error = redacted(traceback.format_exc())
        tune.report({"node": node, "error": error})
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            # An error on the GPU may have spoiled this process: let Ray start another. It writes into its logs why.
            raise RuntimeError(error) from None


@cache
def _versions() -> dict[str, str]:
    return versions_here()()
