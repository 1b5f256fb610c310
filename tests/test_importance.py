"""Importances: shares of the objective's variance, against an analysis of variance by hand in numpy."""

import itertools
import math
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from folders import synthetic_trial

from sweeper.experiment import Data, Experiment, Search, named_of
from sweeper.search.importance import importances
from sweeper.store import Record, Result
from sweeper.trial import TrialState

Cell = dict[str, Any]
GRID = {"lr": [0.1, 0.01, 0.001, 0.0001], "momentum": [0.1, 0.5, 0.9], "model.dropout": [0.1, 0.5]}
EFFECTS = {0.1: 0.0, 0.01: 3.0, 0.001: 1.0, 0.0001: -2.0}


def experiment(space: Mapping[str, Any], **options: Any) -> Experiment:
    return Experiment("of", Data("digits"), named_of({"name": "alexnet"}), search=Search(space=space, **options))


def record(
    number: int, cell: Cell, value: float | None, seed: int = 0, state: TrialState = TrialState.COMPLETE
) -> Record:
    summary = {} if value is None else {"val/top1": value}
    return Record(synthetic_trial(number, cell, seed), state, (), Result(state, summary))


def records(
    cells: Iterable[Cell], objective: Callable[[Cell], float | None], seeds: Sequence[int] = (0,)
) -> list[Record]:
    tried = itertools.product(cells, seeds)
    return [record(number, cell, objective(cell), seed) for number, (cell, seed) in enumerate(tried)]


def cells_of(space: Mapping[str, Sequence[Any]]) -> list[Cell]:
    return [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]


def main_effects(space: Mapping[str, Sequence[Any]], objective: Callable[[Cell], float]) -> dict[str, float]:
    """Each axis's share of a whole grid's variance: the variance of the means at its values, over that of all values."""
    shape = [len(values) for values in space.values()]
    values = np.array([objective(cell) for cell in cells_of(space)]).reshape(shape)
    others = [tuple(other for other in range(len(shape)) if other != axis) for axis in range(len(shape))]
    return {name: values.mean(axis=rest).var() / values.var() for name, rest in zip(space, others, strict=True)}


def additive(cell: Cell) -> float:
    return EFFECTS[cell["lr"]] + 2 * cell["momentum"] + cell["model.dropout"]


def interacting(cell: Cell) -> float:
    return EFFECTS[cell["lr"]] * (1 if cell["momentum"] > 0.3 else -0.2) + cell["model.dropout"]


def by_chance(space: Mapping[str, Sequence[Any]], seeds: int, effect: float, draw: int) -> list[Record]:
    """Trials in which `lr` alone does anything, two levels `effect` apart, and each seed adds its own with deviation 1."""
    chance = random.Random(draw)
    tried = itertools.product(cells_of(space), range(seeds))
    return [
        record(number, cell, effect * (cell["lr"] == 0.1) + chance.gauss(0, 1), seed)
        for number, (cell, seed) in enumerate(tried)
    ]


@pytest.mark.parametrize("effect", [0.0, 2.0, 6.0])
@pytest.mark.parametrize("draw", range(4))
def test_what_seeds_alone_bring_is_no_axis_s_share(effect: float, draw: int) -> None:
    """Against an analysis of variance with repeats: each axis's sum of squares, less what chance gives one degree of freedom."""
    space = {"lr": [0.1, 0.01], "momentum": [0.5, 0.9]}
    tried = by_chance(space, 10, effect, draw)
    found = importances(experiment(space), tried)
    values = np.array([one.result.summary["val/top1"] for one in tried if one.result]).reshape(2, 2, 10)
    of_seeds, total = values.var(axis=2, ddof=1).mean(), ((values - values.mean()) ** 2).sum()
    for axis, rest in (("lr", (1, 2)), ("momentum", (0, 2))):
        squares = 20 * ((values.mean(axis=rest) - values.mean()) ** 2).sum()
        assert found[axis] == pytest.approx(max(0, squares - of_seeds) / total, abs=0.05)


@pytest.mark.parametrize("objective", [additive, interacting])
def test_on_a_grid_they_are_those_of_an_analysis_of_variance(objective: Callable[[Cell], float]) -> None:
    found = importances(experiment(GRID), records(cells_of(GRID), objective))
    wanted = main_effects(GRID, objective)
    assert found == pytest.approx(wanted, abs=0.01)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    if objective is interacting:
        assert sum(wanted.values()) < 0.9  # the rest is what axes do together


def test_seeds_of_a_cell_count_as_their_mean() -> None:
    noise = random.Random(0)
    found = importances(
        experiment(GRID), records(cells_of(GRID), lambda cell: additive(cell) + noise.gauss(0, 0.1), seeds=(0, 1, 2))
    )
    assert found == pytest.approx(main_effects(GRID, additive), abs=0.02)


def drawn(count: int, draw: random.Random) -> list[Cell]:
    return [
        {
            "lr": 10 ** draw.uniform(-4, -1),
            "momentum": draw.random(),
            "batch_size": draw.randint(1, 64),
            "loss": draw.choice(["a", "b"]),
        }
        for _ in range(count)
    ]


RANGES = {
    "lr": {"log_uniform": [1e-4, 1e-1]},
    "momentum": {"uniform": [0, 1]},
    "batch_size": {"int": [1, 64]},
    "loss": ["a", "b"],
}


@pytest.mark.parametrize("count", [300, 1000])
def test_of_ranges_they_are_the_known_shares_and_come_quickly(count: int) -> None:
    """log10(lr) is uniform on a range of 3, momentum (doubled) on one of 2, so their variances are 9/12 and 4/12."""
    draw = random.Random(0)
    cells = drawn(count, draw)
    tried = records(cells, lambda cell: math.log10(cell["lr"]) + 2 * cell["momentum"] + draw.gauss(0, 0.1))
    start = time.process_time()
    found = importances(experiment(RANGES, method="random", trials=count), tried)
    assert time.process_time() - start < 4  # 1.2 s on an idle core
    assert found == pytest.approx({"lr": 9 / 13, "momentum": 4 / 13, "batch_size": 0, "loss": 0}, abs=0.06)


def test_they_are_the_same_every_time_and_in_any_order() -> None:
    tried = records(drawn(600, random.Random(1)), lambda cell: math.log10(cell["lr"]) * cell["momentum"])
    of = experiment(RANGES, method="random", trials=600)
    assert importances(of, tried) == importances(of, tried[::-1])


def test_linked_axes_are_one() -> None:
    linked = [{"batch_size": 64, "lr": 0.01}, {"batch_size": 128, "lr": 0.02}]
    cells = [{**pair, "momentum": momentum} for pair in linked for momentum in (0.1, 0.5, 0.9)]
    of = experiment({"momentum": [0.1, 0.5, 0.9]}, linked=({"batch_size": [64, 128], "lr": [0.01, 0.02]},))
    found = importances(of, records(cells, lambda cell: 10 * cell["lr"] + cell["momentum"]))
    assert set(found) == {"momentum", "batch_size+lr"}
    assert found["momentum"] > 0.8


def test_lists_mappings_and_values_that_a_trial_lacks_are_categories() -> None:
    losses = ["cross_entropy", {"name": "focal", "gamma": 1}, None, True, 1, 1.5]
    augments = [[], ["hue"], ["hue", "random_crop"]]
    cells = [{"loss": loss, "data.augment": augment} for loss in losses for augment in augments]
    tried = records(cells, lambda cell: len(cell["data.augment"]) + losses.index(cell["loss"]) / 10)
    tried.append(record(99, {"loss": "cross_entropy"}, 0.5))
    found = importances(experiment({"loss": losses, "data.augment": augments}), tried)
    assert found["data.augment"] > found["loss"]


def test_a_range_in_which_some_trials_have_nothing_is_no_error() -> None:
    cells: list[Cell] = [{"model.dropout": n / 10, "lr": 0.1 * (n % 2 + 1)} for n in range(10)] + [
        {"lr": 0.1},
        {"lr": 0.7},
    ]
    of = experiment({"model.dropout": {"uniform": [0, 1]}, "lr": {"log_uniform": [0.1, 0.2]}}, method="tpe", trials=12)
    assert set(importances(of, records(cells, lambda cell: cell["lr"]))) == {"model.dropout", "lr"}


NOTHING = {
    "no trials": [],
    "three trials": records(cells_of(GRID)[:3], additive),
    "equal objectives": records(cells_of(GRID), lambda cell: 0.5),
    "one axis that varies": records([{**cells_of(GRID)[0], "lr": lr} for lr in GRID["lr"]], additive),
    "not a number": records(cells_of(GRID), lambda cell: math.nan),
    "no objective": records(cells_of(GRID), lambda cell: None),
    "none complete": [record(n, cell, 0.1 * n, state=TrialState.PRUNED) for n, cell in enumerate(cells_of(GRID))],
    "none ended": [Record(synthetic_trial(n, cell), TrialState.RUNNING) for n, cell in enumerate(cells_of(GRID))],
}


@pytest.mark.parametrize("tried", NOTHING.values(), ids=NOTHING)
def test_where_nothing_can_be_said_nothing_is(tried: list[Record]) -> None:
    assert importances(experiment(GRID), tried) == {}


@pytest.mark.parametrize("scale", [1e-13, 1e-300, 1e300])
def test_objectives_of_any_size_are_no_error(scale: float) -> None:
    found = importances(experiment(GRID), records(cells_of(GRID), lambda cell: additive(cell) * scale))
    assert all(0 <= share <= 1 for share in found.values())


def test_a_search_without_axes_is_no_error() -> None:
    assert importances(experiment({}), records([{}, {}, {}, {}], lambda cell: 1.0)) == {}
