"""What orchestration costs: a sweep of trivial trials on Ray, against the same trials one after another in this process.

    python -m benchmarks.orchestration [--trials 200]

Prints seconds a trial from the first trial's start to the last one's end, start-up aside, and the ratio of the two. The
trial is a logistic regression on 8 px digits for one epoch, so nearly all of its time is overhead.
"""

import argparse
import tempfile
import time

from sweeper.launch import Sweeping, run, store_experiment
from sweeper.reading import read_experiment
from sweeper.store import Result, Row, Sweep
from sweeper.tracking import Parent, Publisher
from sweeper.trial import Trial

EXPERIMENT = """
name: orchestration
data: {{name: digits, image_size: 8, augment: []}}
model: {{name: "benchmarks.orchestration:softmax"}}
train: {{epochs: 1, batch_size: 1024, schedule: constant}}
search: {{space: {{lr: [{rates}]}}}}
artifacts: {{models: none}}
"""


def softmax(classes: int) -> object:
    """Logistic regression on the image's mean over an 8 x 8 grid."""
    from torch import nn

    return nn.Sequential(nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(192, classes))


class Watch:
    """Notes when the first trial started and the last ended."""

    def __init__(self) -> None:
        self.first = self.last = 0.0

    def started(self, trial: Trial, history: tuple[Row, ...]) -> None:
        self.first = self.first or time.perf_counter()

    def reported(self, trial: Trial, history: tuple[Row, ...], saved_epoch: int) -> None: ...
    def retried(self, trial: Trial, error: str) -> None: ...
    def halting(self, running: int) -> None: ...

    def ended(self, trial: Trial, result: Result) -> None:
        self.last = time.perf_counter()
        if self.first_end == 0.0:
            self.first_end = self.last

    first_end = 0.0


def seconds_a_trial(executor: str, trials: int) -> tuple[float, float]:
    """Seconds a trial without and with the wait for MLflow; the first trial, which imports torch, is start-up."""
    rates = ", ".join(str(round(0.001 * (number + 1), 6)) for number in range(trials))
    experiment = read_experiment(EXPERIMENT.format(rates=rates), "orchestration")
    with tempfile.TemporaryDirectory() as storage:
        sweep, watch = Sweep(storage, experiment.name), Watch()
        publisher = Publisher(f"sqlite:///{storage}/mlflow.db", sweep, experiment)
        publisher.start()
        store_experiment(sweep, experiment)
        run(Sweeping.of(sweep, experiment), executor, None, [watch, publisher])
        trained = time.perf_counter()
        missing = publisher.finish(sweep.records(), Parent({}, {}, is_over=True))
        published = time.perf_counter() - trained
    assert not missing, missing
    alone = (watch.last - watch.first_end) / (trials - 1)
    return alone, alone + published / trials


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    trials = parser.parse_args().trials
    inline, inline_published = seconds_a_trial("inline", trials)
    ray, ray_published = seconds_a_trial("ray", trials)
    print(f"inline: {inline:.3f} s a trial, {inline_published:.3f} s until all is in MLflow")
    print(f"ray:    {ray:.3f} s a trial, {ray_published:.3f} s until all is in MLflow")
    print(f"ray / inline: {ray / inline:.2f}")


if __name__ == "__main__":
    main()
