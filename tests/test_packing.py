"""How many trials share a GPU: the rule on numbers worked by hand; the measurement on a CPU, with a meter's numbers made up."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sweeper.data import default_cache, prepare
from sweeper.data.split import split
from sweeper.experiment import Resources
from sweeper.launch.share import largest_shapes, most_a_gpu, share_of
from sweeper.launch.sweeping import Sweeping
from sweeper.reading import read_experiment
from sweeper.store import Sweep
from sweeper.training.machine import decide, kind_here
from sweeper.training.packing import CONTEXT_MEBIBYTES, Demand, Meter, demand_of, told, trials_a_gpu

FILE = """
name: packed
data: {name: digits, image_size: 8, augment: []}
model: {name: "tests.tiny:linear"}
train: {batch_size: 32}
search: {space: {batch_size: [16, 64, 32], lr: [0.1, 0.2], model.width: [4, 8]}}
"""


@pytest.mark.parametrize(
    ("demands", "free", "most", "places"),
    [
        ([(1000, 0.2)], 80_000, 8, 5),  # five fill the GPU's time: 1 / 0.2
        ([(1000, 0.6)], 80_000, 8, 2),  # two do 1.67 times the work of one, three no more
        ([(1000, 0.95)], 80_000, 8, 1),  # a second would gain 5 %, less than is worthwhile
        ([(1000, 1.0)], 80_000, 8, 1),
        ([(1000, 0.1)], 80_000, 4, 4),  # never more than are allowed
        ([(10_000, 0.1)], 40_000, 8, 3),  # 90 % of 40,000 holds three
        ([(1000, 0.1), (30_000, 0.1)], 80_000, 8, 2),  # the largest decides: 72,000 / 30,000
        ([(1000, 0.1), (1000, 0.9)], 80_000, 8, 2),  # the busiest decides: 1 / 0.9 is 1.11
        ([(90_000, 0.1)], 80_000, 8, 1),  # one that hardly fits runs alone
        ([(math.inf, 1.0), (10, 0.1)], 80_000, 8, 1),  # one that does not fit, too
        ([], 80_000, 8, 1),
    ],
)
def test_a_gpu_is_shared_by_as_many_as_its_memory_holds_and_its_idle_time_is_worth(
    demands: list[tuple[float, float]], free: float, most: int, places: int
) -> None:
    assert trials_a_gpu([Demand(*demand) for demand in demands], free, most) == places


def test_the_decision_is_told_with_its_reasons() -> None:
    words = told([Demand(1000, 0.2), Demand(4000, 0.1)], 80_000, 5)
    assert words.startswith("5 trials share a GPU: the largest needs 4,000 of 80,000 MiB free")
    assert "20% of a step" in words
    assert told([Demand(1000, 1.0)], 80_000, 1).startswith("1 trial has a GPU")


@pytest.mark.parametrize(
    ("cores", "gpus", "cpus", "at_once", "most"),
    [
        (16, 1, 1, 1000, 16),
        (16, 8, 1, 1000, 2),
        (16, 2, 4, 1000, 2),
        (16, 2, 1, 3, 2),
        (4, 8, 1, 1000, 1),
        (64, 4, 1, 4, 1),
    ],
)
def test_a_gpu_has_no_more_trials_than_cores_nor_than_there_are_to_spread(
    cores: int, gpus: int, cpus: int, at_once: int, most: int
) -> None:
    assert most_a_gpu(cores, gpus, cpus, at_once) == most


def sweeping(folder: Path, text: str = FILE) -> Sweeping:
    return Sweeping.of(Sweep(str(folder), "packed"), read_experiment(text, "packed.yaml"))


def test_one_trial_of_each_model_and_batch_size_is_measured_the_largest_batch_first(tmp_path: Path) -> None:
    shapes = largest_shapes(sweeping(tmp_path).shapes())
    assert [one.train.batch_size for one in shapes] == [64, 64, 32, 32, 16, 16]
    assert {one.model.arguments["width"] for one in shapes} == {4, 8}


def test_whole_models_on_an_axis_are_measured_each(tmp_path: Path) -> None:
    models = ["logistic_regression", {"name": "one_hidden", "hidden": 4}, {"name": "one_hidden", "hidden": 8}]
    shapes = largest_shapes(sweeping(tmp_path, grid(model=models, lr=[0.1, 0.2])).shapes())
    assert [one.model.arguments for one in shapes] == [{}, {"hidden": 4}, {"hidden": 8}]


HEAVY = {
    "train.optimizer": ["sgd", "adam"],
    "train.ema": [None, 0.9],
    "train.precision": ["bfloat16", "float32", "auto"],
    "train.momentum": [0.0, 0.9],
    "data.image_size": [16, 24],
}


def grid(**axes: list[Any]) -> str:
    given = FILE.partition("search:")[0].replace("image_size: 8", "image_size: 16, crop_size: 8")
    return f"{given}search: {{space: {json.dumps(axes)}}}"


@pytest.mark.parametrize("method", ["", "method: random, trials: 4, "])
@pytest.mark.parametrize("axis", HEAVY)
def test_what_a_trial_takes_besides_its_model_and_batch_is_measured_the_heaviest_first(
    tmp_path: Path, axis: str, method: str
) -> None:
    text = grid(**{axis: HEAVY[axis]}).replace("search: {", f"search: {{{method}")
    shapes = largest_shapes(sweeping(tmp_path, text).shapes())
    section, name = axis.split(".")
    heaviest = {"train.precision": ["float32", "auto", "bfloat16"]}.get(axis, HEAVY[axis][::-1])
    assert [getattr(getattr(one, section), name) for one in shapes] == heaviest


def test_the_heaviest_of_many_is_measured_whatever_the_order_of_the_values(tmp_path: Path) -> None:
    text = grid(**HEAVY, batch_size=[*range(16, 30)], **{"train.lr": [0.1, 0.2]})
    shapes = largest_shapes(sweeping(tmp_path, text).shapes())
    assert len(shapes) == 12
    first = shapes[0]
    assert (first.train.batch_size, first.data.image_size, first.train.precision) == (29, 24, "float32")
    assert (first.train.optimizer, first.train.ema) == ("adam", 0.9)


def test_of_a_range_the_two_ends_are_measured(tmp_path: Path) -> None:
    text = FILE.replace("[16, 64, 32]", "{int: [16, 100]}").replace("search: {", "search: {method: random, trials: 4, ")
    shapes = largest_shapes(sweeping(tmp_path, text).shapes())
    assert [one.train.batch_size for one in shapes] == [100, 100, 16, 16]


class MadeUp:
    """A meter that does the work and then says what it was told to."""

    def __init__(self, kernel_seconds: float) -> None:
        self.seconds, self.waits, self.works = kernel_seconds, 0, 0

    def wait(self) -> None:
        self.waits += 1

    def kernel_seconds(self, work: Callable[[], None]) -> float:
        work()
        self.works += 1
        return self.seconds

    def peak_mebibytes(self) -> float:
        return 100.0


def measured(folder: Path, meter: Meter) -> Demand:
    one = next(sweeping(folder).shapes())
    dataset = prepare(one.data, default_cache())
    return demand_of(one, dataset, split(dataset, one.data.split), decide(kind_here("cpu"), 1, 1), meter)


@pytest.mark.parametrize(("kernel_seconds", "least", "most"), [(1e9, 1.0, 1.0), (1e-9, 0.0, 1e-3), (0.0, 1.0, 1.0)])
def test_what_is_measured_is_a_share_of_the_time_and_nothing_seen_counts_as_all_of_it(
    tmp_path: Path, kernel_seconds: float, least: float, most: float
) -> None:
    meter = MadeUp(kernel_seconds)
    demand = measured(tmp_path, meter)
    assert least <= demand.busy <= most
    assert demand.mebibytes == 100 + CONTEXT_MEBIBYTES
    assert (meter.works, meter.waits) == (1, 2)


def test_a_trial_that_runs_out_of_memory_by_itself_takes_all_of_the_gpu(tmp_path: Path) -> None:
    class Full(MadeUp):
        def kernel_seconds(self, work: Callable[[], None]) -> float:
            raise torch.OutOfMemoryError("made up")

    assert measured(tmp_path, Full(1.0)) == Demand(math.inf, 1.0)


@pytest.mark.parametrize(("trials", "gpus"), [(1, 1.0), (4, 0.25), (3, 1 / 3)])
def test_what_was_decided_is_in_machine_json_and_kept(tmp_path: Path, trials: int, gpus: float) -> None:
    wanted = sweeping(tmp_path)
    machine = replace(decide(kind_here("cpu"), 1, 1), device="cuda", trials_a_gpu=trials)
    wanted.sweep.write_machine(machine)
    assert wanted.sweep.machine() == machine
    share = share_of(wanted)
    assert (share.gpus, share.trials_a_gpu, share.told) == (gpus, trials, "")
    assert share.fits(64, 2) == 2 * trials
    asked = replace(wanted, experiment=replace(wanted.experiment, resources=Resources(gpus_per_trial=0.5)))
    assert share_of(asked).trials_a_gpu == 2
