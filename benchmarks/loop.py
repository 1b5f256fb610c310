"""What `fit` costs beyond the arithmetic: a whole trial against the barest hand-written loop that does the same maths.

    python -m benchmarks.loop [--root PATH] [--epochs 8] [--rounds 3] [--share 0.8]

Compact AlexNet on Tiny Image10 at 64 px, batch 64, random crops and flips, SGD with momentum, one thread, bfloat16 where the
CPU has it in hardware. `fit` is called as an executor calls it, with everything that is on by default: metrics of every
epoch, history, a checkpoint every 30 s, the best weights, per-class tables, predictions and `model.pt`. The bare loop has
the same network, seeds, order of images, crops, flips, dropout and precision, and validates after every epoch and tests at
the end, for top-1 alone; it writes nothing. Both end with the same weights, bit for bit, or the run says so.

The two take turns epoch by epoch: when `fit` reports an epoch, the bare loop does that epoch; what `fit` took is the whole
call without those. As `fit` saves by the clock, it saves about twice as often as it would alone. Target: at most 3 % slower.

The second table says how far both are from the floor: the CPU's best rate at plain matrix products and a convolution.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.bare import Bare
from benchmarks.floor import gflop_an_image, peak_tflops
from benchmarks.images import ROOT_HELP, SHARE_HELP, prepared
from benchmarks.sides import verdict
from sweeper.data import Dataset
from sweeper.data.split import Indices, split
from sweeper.experiment import Experiment
from sweeper.launch.sweeping import Fingerprints
from sweeper.reading import read_experiment
from sweeper.search import Search
from sweeper.store import Machine, Result, Row, Sweep
from sweeper.training.fit import fit
from sweeper.training.machine import decide, kind_here, settle
from sweeper.trial import Answer, Trial

TARGET = 1.03
EXPERIMENT = """
name: loop
data: {name: tiny-image10, image_size: 64}
model: {name: alexnet, compact: true}
train: {epochs: 8, batch_size: 64, lr: 0.005, schedule: constant}
search: {space: {momentum: [0.9]}}
"""


class Round(NamedTuple):
    """Seconds of a trial by each side, and what both ended with."""

    fit_seconds: float
    bare_seconds: float
    outside_seconds: float  # of fit's: before its first and after its last epoch, and between them
    fit_top1: float
    bare_top1: float
    is_same: bool


class Turns:
    """Reports to `fit`, and does an epoch of the bare loop at each; knows how long that took."""

    def __init__(self, bare: Bare) -> None:
        self.bare, self.seconds, self.top1 = bare, 0.0, 0.0

    def __call__(self, rows: tuple[Row, ...], saved_epoch: int) -> Answer:
        start = time.perf_counter()
        for row in rows:
            self.bare.train_epoch(int(row["epoch"]))
            self.top1 = max(self.top1, self.bare.top1(self.bare.indices.val_N))
        self.seconds += time.perf_counter() - start
        return Answer.GO_ON


def first_trial(experiment: Experiment) -> Trial:
    trial = Search(experiment, Fingerprints(experiment.data), [], 1, False).ask()
    assert trial
    return trial


def one_round(experiment: Experiment, machine: Machine, dataset: Dataset) -> Round:
    trial = first_trial(experiment)
    with tempfile.TemporaryDirectory() as storage:
        sweep = Sweep(storage, experiment.name)
        sweep.write_machine(machine)
        sweep.trial(trial.key).write_trial(trial)
        start = time.perf_counter()
        bare = Bare(trial.settings, dataset, split(dataset, experiment.data.split), machine.precision == "bfloat16")
        built = time.perf_counter()
        turns = Turns(bare)
        result = fit(trial, sweep, experiment, turns)
        fitted = time.perf_counter()
        bare.top1(bare.indices.test_N)
        tested = time.perf_counter()
        kept = torch.load(Path(sweep.trial(trial.key).artifacts.path, "model.pt"), weights_only=True)["weights"]
    assert result
    fit_seconds, bare_seconds = fitted - built - turns.seconds, turns.seconds + (built - start) + (tested - fitted)
    outside_seconds = fit_seconds - sum(row["epoch_seconds"] for row in result.history)
    return Round(fit_seconds, bare_seconds, outside_seconds, *_ends(result, kept, bare, turns.top1))


def _ends(result: Result, kept: dict[str, Any], bare: Bare, bare_top1: float) -> tuple[float, float, bool]:
    """Both best accuracies, and whether the weights are the same, as far as `fit` kept those of the last epoch."""
    same_accuracy = result.summary["val/top1"] == bare_top1
    is_last = result.best_epoch == len(result.history)
    own: dict[str, Tensor] = bare.network.state_dict()
    same_weights = all(torch.equal(own[name], weights) for name, weights in kept.items()) if is_last else True
    return result.summary["val/top1"], bare_top1, same_accuracy and same_weights


def tell_floor(rounds: list[Round], experiment: Experiment, indices: Indices, machine: Machine, classes: int) -> None:
    """How much of the CPU's arithmetic each side's training and validation uses."""
    dtype = torch.bfloat16 if machine.precision == "bfloat16" else torch.float32
    forward, both = gflop_an_image(experiment.model, experiment.data.image_size, classes, experiment.train.batch_size)
    epochs = experiment.train.epochs
    gflop = epochs * (len(indices.train_N) * both + len(indices.val_N) * forward) + len(indices.test_N) * forward
    floor = peak_tflops(dtype, torch.device("cpu"))
    print(f"{both:.3f} GFLOP an image forward and backward")
    print(f"{dtype} products and convolutions on one thread, at best: {floor:.3f} TFLOP/s")
    for name, seconds in (("bare", [r.bare_seconds for r in rounds]), ("fit", [r.fit_seconds for r in rounds])):
        reached = gflop / statistics.median(seconds) / 1000
        print(f"{name:5} {reached:6.3f} TFLOP/s   {reached / floor:.0%} of that")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", help=ROOT_HELP)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--share", type=float, default=0.8, help=SHARE_HELP)
    options = parser.parse_args()
    given = [f"data.root={options.root}"] if options.root else []
    given += [f"train.epochs={options.epochs}", f"data.split.train={options.share}"]
    experiment = read_experiment(EXPERIMENT, "loop", given)
    _, dataset, indices = prepared(options.root, share=options.share)
    machine = decide(kind_here("cpu"), 1, 1)
    settle(machine)
    rounds = [one_round(experiment, machine, dataset) for _ in range(options.rounds + 1)][1:]  # the first warms up
    shown = options.epochs * len(indices.train_N)
    for name, seconds, top1 in (
        ("bare", statistics.median(r.bare_seconds for r in rounds), rounds[-1].bare_top1),
        ("fit", statistics.median(r.fit_seconds for r in rounds), rounds[-1].fit_top1),
    ):
        print(f"{name:5} {seconds:6.2f} s a trial   {shown / seconds:7,.0f} images/s   best val/top1 {top1:.3f}")
    print(f"fit outside its epochs: {statistics.median(r.outside_seconds for r in rounds):.2f} s a trial")
    print("same weights and accuracy, bit for bit:", "yes" if all(r.is_same for r in rounds) else "NO")
    reached = statistics.median(r.fit_seconds / r.bare_seconds for r in rounds)
    print(verdict("fit / bare", reached, TARGET, at_least=False))
    tell_floor(rounds, experiment, indices, machine, len(dataset.classes))


if __name__ == "__main__":
    main()
