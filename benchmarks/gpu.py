"""What one GPU does: the source's AlexNet grid, an epoch of ResNet-18, and the time to 52 % on Tiny ImageNet.

    python -m benchmarks.gpu --data tiny-imagenet-200.zip [--only grid compact resnet]
    python -m benchmarks.gpu --smoke                         # the same code on a few made-up images, in under a minute

- grid, compact: all of `experiments/alexnet_grid.yaml`, 12 trials of 35 epochs at batch 12, from a prepared data set to
  the last trial's result; AlexNet in full and in its compact form. The source took 126 minutes. Targets: 90 s and 30 s.
- resnet: ResNet-18 with a 3 x 3 stem at 64 px on all 100,000 training images, judged on the official 10,000 after each of
  20 epochs. Told are the median epoch (training and validation; target 6 s), its share of the GPU's rate at plain
  products and convolutions in bfloat16, and the wall time until val/top1 is 52 % (the source took 2 h with its VGG-16).

Trials run in this process one after another (`inline`), nothing is published: neither Ray nor MLflow need be installed.
`METHOD.md` lists what has to be. There is no second side: ratios are to the source's figures and to the targets.

THIS HAS NEVER BEEN RUN ON A GPU, only with --smoke on a CPU: nothing is known yet of how far the targets are.
"""

import argparse
import io
import statistics
import tempfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.floor import gflop_an_image, peak_tflops
from benchmarks.sides import verdict
from sweeper.data import default_cache, prepare
from sweeper.experiment import Experiment
from sweeper.launch import Sweeping, run
from sweeper.reading import read_experiment
from sweeper.store import Record, Result, Row, Sweep
from sweeper.trial import Trial, TrialState

GRID = Path(__file__).parents[1] / "experiments" / "alexnet_grid.yaml"
SOURCE_SECONDS, GRID_TARGETS, EPOCH_TARGET, TOP1 = 126 * 60, {"grid": 90.0, "compact": 30.0}, 6.0, 0.52
PARTS = ("grid", "compact", "resnet")
RESNET = """
name: resnet
data: {name: tiny-imagenet, image_size: 64, split: official}
model: {name: resnet18, stem: small}
train:
  {epochs: 20, batch_size: 256, optimizer: sgd, lr: 0.2, momentum: 0.9, nesterov: true, weight_decay: 0.0005,
   schedule: one_cycle, loss: {name: smooth_cross_entropy, smoothing: 0.1}}
search: {space: {lr: [0.2]}}
"""
SMOKE = {
    "grid": ("train.epochs=1", "search.space.momentum=[0.9]", "search.space.lr=[0.001]", "artifacts.models=none"),
    "compact": ("train.epochs=2", "search.space.momentum=[0.9]", "search.space.lr=[0.001]"),
    "resnet": ("train.epochs=2", "train.batch_size=10", "search.space.lr=[0.01]"),
}


class Clock:
    """Listens to a sweep; notes when a trial first reached the accuracy that is waited for."""

    def __init__(self) -> None:
        self.start, self.reached = time.perf_counter(), None

    reached: float | None

    def reported(self, trial: Trial, history: tuple[Row, ...], saved_epoch: int) -> None:
        if self.reached is None and history[-1]["val/top1"] >= TOP1:
            self.reached = time.perf_counter() - self.start

    def started(self, trial: Trial) -> None: ...
    def retried(self, trial: Trial, error: str) -> None: ...
    def ended(self, trial: Trial, result: Result) -> None: ...
    def halting(self, running: int) -> None: ...
    def stopped(self) -> None: ...


def read(part: str, data: Path, is_smoke: bool) -> Experiment:
    text = RESNET if part == "resnet" else GRID.read_text()
    given = [f"data.root={data}", *(["model.compact=true"] if part == "compact" else [])]
    return read_experiment(text, part, [*given, *(SMOKE[part] if is_smoke else ())])


def sweep_through(experiment: Experiment) -> tuple[float, Clock, Sequence[Record]]:
    """Run an experiment in this process, into a folder that is thrown away; returns its seconds of wall time."""
    start = time.perf_counter()
    prepare(experiment.data, default_cache())
    print(f"{experiment.name}: images prepared in {time.perf_counter() - start:.1f} s", flush=True)
    with tempfile.TemporaryDirectory() as storage:
        sweep, clock = Sweep(storage, experiment.name), Clock()
        run(Sweeping.of(sweep, experiment), "inline", None, [clock])
        seconds = time.perf_counter() - clock.start
        records = sweep.records()
    broken = [record.result.error for record in records if record.result and record.state is TrialState.FAILED]
    if broken:
        raise SystemExit(f"{len(broken)} trials failed, the first with\n{broken[0]}")
    return seconds, clock, records


def tell_grid(part: str, experiment: Experiment) -> None:
    seconds, _, records = sweep_through(experiment)
    best = max(record.result.summary["val/top1"] for record in records if record.result)
    epochs = sum(len(record.history) for record in records)
    print(f"{part}: {len(records)} trials, {epochs} epochs in {seconds:.1f} s, best val/top1 {best:.3f}")
    if len(records) == 12 and torch.cuda.is_available():
        print(f"{part}: {SOURCE_SECONDS / seconds:.0f} times as fast as the source")
    tell_target(f"{part} seconds", seconds, GRID_TARGETS[part])


def tell_resnet(experiment: Experiment) -> None:
    seconds, clock, records = sweep_through(experiment)
    history, data = records[0].history, prepare(experiment.data, default_cache())
    for row in history:
        print(f"epoch {row['epoch']:.0f}: {row['epoch_seconds']:.2f} s, val/top1 {row['val/top1']:.3f}")
    epoch_seconds = statistics.median(row["epoch_seconds"] for row in history[1:])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    forward, both = gflop_an_image(experiment.model, 64, len(data.classes), batch=8)
    trained, judged = data.official_from, len(data.labels_N) - data.official_from
    reached = (trained * both + judged * forward) / epoch_seconds / 1000
    floor = peak_tflops(torch.bfloat16, device)
    print(f"resnet: {len(history)} epochs in {seconds:.1f} s, peak memory {history[-1]['peak_memory_mib']:.0f} MiB")
    print(f"resnet: {reached:.1f} TFLOP/s, {reached / floor:.0%} of the {floor:.1f} of plain products and convolutions")
    tell_target("resnet seconds an epoch", epoch_seconds, EPOCH_TARGET)
    print(f"resnet: {TOP1:.0%} after", f"{clock.reached:.1f} s" if clock.reached else "more than all of that")


def tell_target(what: str, seconds: float, target: float) -> None:
    """Targets are of a GPU."""
    if torch.cuda.is_available():
        print(verdict(what, seconds, target, at_least=False))
    else:
        print(f"{what}: {seconds:.3g} (no GPU: not compared with the target)")


def made_up(file: Path, a_class: int = 10, classes: int = 10) -> Path:
    """An archive in Tiny ImageNet's layout with noise for images, each class of its own brightness."""
    numbers, wnids = np.random.default_rng(0), [f"n{number:08}" for number in range(classes)]
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("tiny/wnids.txt", "\n".join(wnids))
        archive.writestr("tiny/words.txt", "\n".join(f"{wnid}\t{wnid}" for wnid in wnids))
        annotations = [f"val_{number}.JPEG\t{wnid}\t0\t0\t62\t62" for number, wnid in enumerate(wnids)]
        archive.writestr("tiny/val/val_annotations.txt", "\n".join(annotations))
        for label, wnid in enumerate(wnids):
            names = [f"train/{wnid}/images/{wnid}_{number}.JPEG" for number in range(a_class)]
            for name in [*names, f"val/images/val_{label}.JPEG"]:
                buffer = io.BytesIO()
                pixels_HWC = numbers.integers(0, 25 * (label + 1), (64, 64, 3)).astype(np.uint8)
                Image.fromarray(pixels_HWC).save(buffer, "JPEG")
                archive.writestr(f"tiny/{name}", buffer.getvalue())
    return file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="all of Tiny ImageNet: the archive or a folder")
    parser.add_argument("--only", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--smoke", action="store_true", help="a few made-up images, to see that it runs")
    options = parser.parse_args()
    if not options.smoke and not options.data:
        parser.error("give --data, or --smoke")
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU'}")
    with tempfile.TemporaryDirectory() as temporary:
        if options.smoke:
            print("SMOKE: made-up images and fewer epochs; the figures mean nothing")
        data = made_up(Path(temporary, "made-up.zip")) if options.smoke else options.data.absolute()
        for part in options.only:
            experiment = read(part, data, options.smoke)
            tell_resnet(experiment) if part == "resnet" else tell_grid(part, experiment)


if __name__ == "__main__":
    main()
