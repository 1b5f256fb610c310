"""The search decides alike however often it is interrupted, and in whatever order trials end."""

import functools
import inspect
import itertools
import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import optuna
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sweeper import experiment as tables
from sweeper.experiment import Data, Experiment, Objective, named_of, to_plain
from sweeper.reading import read_experiment
from sweeper.search import MAX_MISSES, Search, goes_on
from sweeper.search import study as pieces
from sweeper.search.asked import Asked, count_of
from sweeper.search.judge import Judge
from sweeper.store import Record, Result, Row, StoreError
from sweeper.trial import Trial, TrialState, canonical_json, config_for, settings_for

EPOCHS = 9
LISTS = "lr: [0.001, 0.01, 0.1, 1], momentum: [0.1, 0.5, 0.9], gamma: [0.1, 0.5]"
RANGES = "lr: {log_uniform: [0.001, 1]}, momentum: {uniform: [0, 0.9]}, step_size: {int: [1, 20]}"
INCLUDE = "[{lr: 0.01, momentum: 0.5, step_size: 3, gamma: 0.1}, {lr: 0.05}]"  # one inside the space of ranges, one not
METHODS = {
    "grid": f"{{space: {{{LISTS}}}, include: [{{lr: 5}}], exclude: [{{lr: 0.1, gamma: 0.5}}], seeds: [0, 1]}}",
    "random": f"{{method: random, trials: 16, space: {{{LISTS}}}, include: [{{lr: 5}}], exclude: [{{lr: 0.1}}]}}",
    "tpe": f"{{method: tpe, trials: 20, space: {{{RANGES}, gamma: [0.1, 0.5]}}, include: {INCLUDE}, seeds: [3]}}",
    "qmc": f"{{method: qmc, trials: 9, space: {{{RANGES}, gamma: [0.1, 0.5]}}, include: {INCLUDE}, seeds: [0, 1]}}",
    "cmaes": f"{{method: cmaes, trials: 20, space: {{{RANGES}, gamma: [0.1, 0.5]}}, include: {INCLUDE}}}",
    "gp": f"{{method: gp, trials: 16, space: {{{RANGES}}}, include: [{{lr: 0.05}}]}}",
}
PRUNERS = {
    "median": "{name: median, n_startup_trials: 2, n_warmup_steps: 1}",
    "percentile": "{name: percentile, percentile: 25, n_startup_trials: 1, n_min_trials: 2}",
    "hyperband": "{name: hyperband, min_resource: 1, reduction_factor: 3}",
    "successive_halving": "{name: successive_halving, min_resource: 1, reduction_factor: 2, min_early_stopping_rate: 0}",
    "threshold": "{name: threshold, lower: 0.2, n_warmup_steps: 2}",
    "patient": "{name: patient, patience: 0, wrapped_pruner: {name: successive_halving, reduction_factor: 2}}",
    "wilcoxon": "{name: wilcoxon, p_threshold: 0.3, n_startup_steps: 3}",
    "nop": "{name: nop}",
}


def experiment(
    search: str = METHODS["grid"], pruning: str = "null", objective: str = "{metric: val/top1}"
) -> Experiment:
    text = f"name: demo\ndata: {{name: digits}}\nmodel: {{name: alexnet}}\ntrain: {{epochs: {EPOCHS}}}\n"
    return read_experiment(f"{text}search: {search}\npruning: {pruning}\nobjective: {objective}\n", "f.yaml")


def fingerprint(data: Data) -> str:
    return f"print of {data.name}"


# A world of trials that learn without training: what is on disk outlives the drivers that die in it.


class Death(Exception):  # noqa: N818
    """The driver is killed."""


@dataclass
class Files:
    """One trial's folder."""

    trial: Trial
    rows: tuple[Row, ...] = ()
    saved: int = 0
    result: Result | None = None

    @property
    def record(self) -> Record:
        if self.result:
            return Record(self.trial, self.result.state, self.result.history, self.result)
        return Record(self.trial, TrialState.RUNNING if self.rows else TrialState.WAITING, self.rows)


@dataclass
class World:
    """`draw` decides who goes on next, who dies and what was saved; `lives` is how many instants each driver lives."""

    experiment: Experiment
    window: int
    draw: random.Random = field(default_factory=lambda: random.Random(0))
    slots: int = 1
    deaths: float = 0.0  # how often a worker dies and is retried
    accidents: bool = True  # whether some trials diverge and some fail
    rarity: int = 11  # one trial in so many diverges
    lives: Iterator[int] = field(default_factory=lambda: iter(()))
    disk: dict[str, Files] = field(default_factory=dict)
    left: float = math.inf

    def instant(self) -> None:
        """A moment at which the driver may die."""
        self.left -= 1
        if self.left < 0:
            raise Death

    def search(self) -> Search:
        return Search(self.experiment, fingerprint, [files.record for files in self.disk.values()], self.window)

    def run(self) -> "World":
        """Drivers one after the other, until the last comes to its end."""
        for life in itertools.chain(self.lives, [math.inf]):
            self.left = life
            try:
                Driver(self).run()
            except Death:
                for files in self.disk.values():
                    files.saved = self.draw.randint(0, len(files.rows))
        return self

    @property
    def outcome(self) -> list[tuple[Any, ...]]:
        """What came of every trial."""
        ended = sorted((files.record for files in self.disk.values()), key=lambda record: record.trial.number)
        return [
            (
                r.trial.number,
                r.trial.key,
                dict(r.trial.cell),
                r.trial.seed,
                r.state,
                [row["val/top1"] for row in r.history],
            )
            for r in ended
        ]


class Driver:
    """What `sweeper.launch` does with a search, in small."""

    def __init__(self, world: World) -> None:
        self.world, self.search = world, world.search()
        self.running: dict[str, tuple[Row, ...] | None] = {}  # rows so far; None: not yet begun in this life

    def run(self) -> None:
        while self.step():
            self.world.instant()

    def step(self) -> bool:
        is_free = len(self.running) < self.world.slots
        if is_free and (not self.running or self.world.draw.random() < 0.5):
            trial = self.search.ask()
            if trial:
                self.world.disk.setdefault(trial.key, Files(trial)).result = None
                self.running[trial.key] = None
                return True
        if not self.running:
            assert self.search.is_exhausted
            return False
        self.advance(self.world.disk[self.world.draw.choice(sorted(self.running))])
        return True

    def advance(self, files: Files) -> None:
        """One epoch of a trial, or the report of what its checkpoint holds."""
        rows = self.running[files.trial.key]
        if rows is None and files.saved:
            rows = files.rows[: files.saved]
        else:
            rows = (*(rows or ()), row_of(files.trial, len(rows or ()) + 1))
            self.world.instant()
            if self.world.accidents and len(rows) == 3 and int(files.trial.key, 16) % self.world.rarity == 0:
                rows[-1]["val/loss"] = math.nan  # an epoch that no checkpoint ever holds, as in `fit`
                self.end(files, TrialState.DIVERGED, rows)
                return
            files.rows = rows
            self.world.instant()
        self.running[files.trial.key] = rows
        self.search.report(files.trial, rows)
        is_pruned = self.search.should_prune(files.trial)
        self.world.instant()
        if self.world.draw.random() < self.world.deaths:  # the worker dies with the answer, and is started anew
            files.saved = self.world.draw.randint(0, len(files.rows))
            self.running[files.trial.key] = None
        elif len(rows) == EPOCHS:
            self.end(files, TrialState.COMPLETE, rows)
        elif is_pruned:
            files.saved = len(rows)
            self.end(files, TrialState.PRUNED, rows)
        elif self.world.accidents and int(files.trial.key, 16) % 13 == 0:
            self.end(files, TrialState.FAILED, rows)

    def end(self, files: Files, state: TrialState, rows: tuple[Row, ...]) -> None:
        files.rows, files.result = rows, result_of(state, rows, self.world.experiment)
        self.world.instant()
        del self.running[files.trial.key]
        self.search.tell(files.trial, files.result)


def result_of(state: TrialState, rows: tuple[Row, ...], of: Experiment) -> Result:
    metric = of.objective.metric
    values = [row[metric] for row in rows if math.isfinite(row[metric])]
    best = max(values) if of.objective.mode == "max" else min(values)
    return Result(state, {metric: best}, rows, pruning=to_plain(of.pruning) if state is TrialState.PRUNED else None)


def row_of(trial: Trial, epoch: int) -> Row:
    """An epoch's metrics, which depend on the trial and the epoch alone."""
    noise = random.Random(f"{trial.key} {epoch}")
    distance = abs(math.log10(float(trial.value("lr"))) + 2) + abs(float(trial.cell.get("momentum", 0.9)) - 0.5)
    learnt = max(0.0, 0.9 - 0.2 * distance) * (1 - math.exp(-epoch / 3)) + noise.gauss(0, 0.05)
    return {"epoch": float(epoch), "val/top1": learnt, "val/loss": 1 - learnt, "lr": 0.1}


def frozen(search: Search) -> list[dict[str, Any]]:
    """The study's trials by their public fields, and what pruners wrote on those that have ended; a plain grid has none."""
    if not isinstance(search.judge, Judge):
        assert search.asked.is_grid
        assert not search.experiment.pruning
        return []
    search.judge.storage.limit, search.judge.storage.is_sampling = None, False
    return [
        {
            "number": trial.number, "state": trial.state, "params": trial.params, "distributions": trial.distributions,
            "intermediate_values": trial.intermediate_values, "values": trial.values,
            "marks": {key: value for key, value in trial.system_attrs.items() if key.startswith(pieces.MARK)},
        }
        for trial in search.judge.study.get_trials(deepcopy=False)
    ]  # fmt: skip


def asked(search: Search) -> list[Trial]:
    """All that a search asks for when nothing is ever told."""
    return list(iter(search.ask, None))


@functools.cache
def undisturbed_world(method: str, pruner: str | None, window: int) -> World:
    return World(experiment(METHODS[method], PRUNERS[pruner] if pruner else "null"), window).run()


COMBINATIONS = [
    *((method, pruner) for method in METHODS for pruner in ("median", "hyperband") if method != "gp"),
    *(("grid", pruner) for pruner in ("successive_halving", "patient", "wilcoxon")),
    *((method, "patient") for method in ("random", "tpe", "cmaes")), *((method, None) for method in METHODS),
]  # fmt: skip


@pytest.mark.parametrize(("method", "pruner"), COMBINATIONS)
class TestEverySearch:
    """What holds of every method with every pruner."""

    window = 4

    @pytest.fixture
    def subject(self, undisturbed: World) -> Experiment:
        return undisturbed.experiment

    @pytest.fixture
    def undisturbed(self, method: str, pruner: str | None) -> World:
        return undisturbed_world(method, pruner, self.window)

    def test_it_asks_for_as_many_trials_as_it_says_each_once(self, undisturbed: World) -> None:
        assert len(undisturbed.disk) == undisturbed.search().total
        cells = [(canonical_json(cell), seed) for _, _, cell, seed, _, _ in undisturbed.outcome]
        assert len(set(cells)) == len(cells)

    def test_it_decides_alike_in_whatever_order_trials_end(self, subject: Experiment, undisturbed: World) -> None:
        for turn, slots in enumerate((2, self.window)):
            world = World(subject, self.window, random.Random(turn), slots, deaths=0.1).run()
            assert world.outcome == undisturbed.outcome

    def test_it_decides_alike_however_often_it_is_killed(self, subject: Experiment, undisturbed: World) -> None:
        for turn, slots in enumerate((1, 3)):
            draw = random.Random(turn)
            lives = iter([draw.randint(0, 60) for _ in range(4)])
            world = World(subject, self.window, draw, slots, deaths=0.1, lives=lives).run()
            assert next(lives, None) is None
            assert world.outcome == undisturbed.outcome

    @pytest.mark.parametrize("objective", [Objective("val/top1", "max"), Objective("val/loss", "min")])
    def test_a_rebuilt_study_is_the_one_that_was_lost(self, subject: Experiment, objective: Objective) -> None:
        """Also where the row that a trial diverged with has no value to be judged by, and the one before was judged."""
        world = World(replace(subject, objective=objective), self.window, slots=3, rarity=4)
        driver = Driver(world)
        for turn in range(10**6):
            is_over = not driver.step()
            if turn % 50 == 49 or is_over:
                lost, rebuilt = frozen(driver.search), frozen(world.search())
                for trial in [*lost, *rebuilt]:
                    if not trial["state"].is_finished():
                        trial["marks"] = {}  # put on again when the trial reports again
                count = len(rebuilt)  # draws that came to nothing after the last trial are drawn again
                assert rebuilt == lost[:count]
                assert all(trial["state"] is optuna.trial.TrialState.FAIL for trial in lost[count:])
            if is_over:
                break

    def test_a_search_that_has_ended_has_nothing_more_to_ask(self, undisturbed: World) -> None:
        again = undisturbed.search()
        assert again.is_exhausted
        assert again.ask() is None
        assert len(again.known) == again.total


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(chance=18, pruner="median", window=2, slots=1, lives=[65])
@given(
    chance=st.integers(0, 10**9),
    pruner=st.sampled_from(["median", "hyperband", "patient"]),
    window=st.integers(1, 6),
    slots=st.integers(1, 8),
    lives=st.lists(st.integers(0, 80), max_size=3),
)
def test_no_interleaving_changes_a_grid_s_decisions(
    chance: int, pruner: str, window: int, slots: int, lives: list[int]
) -> None:
    subject = experiment(METHODS["grid"], PRUNERS[pruner])
    world = World(subject, window, random.Random(chance), slots, deaths=0.05, lives=iter(lives)).run()
    assert world.outcome == World(subject, window).run().outcome


# What runs


def test_a_grid_is_asked_for_in_the_order_of_its_cells_with_seeds_inside() -> None:
    search = Search(experiment("{space: {lr: [0.1, 0.2], gamma: [0.5, 1]}, seeds: [4, 2]}"), fingerprint)
    trials = asked(search)
    assert [(t.number, t.cell["lr"], t.cell["gamma"], t.seed) for t in trials] == [
        (0, 0.1, 0.5, 4), (1, 0.1, 0.5, 2), (2, 0.1, 1, 4), (3, 0.1, 1, 2),
        (4, 0.2, 0.5, 4), (5, 0.2, 0.5, 2), (6, 0.2, 1, 4), (7, 0.2, 1, 2),
    ]  # fmt: skip
    assert search.is_exhausted


@pytest.mark.parametrize(
    ("method", "trials"), {"grid": 44, "random": 17, "tpe": 22, "qmc": 22, "cmaes": 22, "gp": 17}.items()
)
def test_how_many_trials_there_are_to_be_is_known_without_the_images(method: str, trials: int) -> None:
    of = experiment(METHODS[method])
    assert count_of(of) == trials == len(undisturbed_world(method, None, 1).disk)


def test_include_and_exclude_are_heeded() -> None:
    search = Search(
        experiment("{space: {lr: [0.1, 0.2]}, exclude: [{lr: 0.1}], include: [{lr: 0.3}, {gamma: 1}]}"), fingerprint
    )
    assert [dict(trial.cell) for trial in asked(search)] == [{"lr": 0.2}, {"lr": 0.3}, {"gamma": 1}]


def test_cells_that_come_to_the_same_settings_run_once_and_are_counted_once() -> None:
    search = Search(
        experiment("{space: {lr: [0.1, 0.2]}, include: [{lr: 0.1, momentum: 0.9}]}"), fingerprint
    )  # 0.9 is the default
    assert search.total == 2
    assert len(asked(search)) == 2


def test_one_more_learning_rate_asks_for_the_new_cells_alone() -> None:
    small = World(experiment("{space: {lr: [0.1, 0.2], gamma: [0.5, 1]}}"), 2).run()
    small.experiment = experiment("{space: {lr: [0.05, 0.1, 0.2], gamma: [0.5, 1]}}")
    search = small.search()
    assert search.total == 6
    assert [(t.number, dict(t.cell)) for t in asked(search)] == [
        (4, {"lr": 0.05, "gamma": 0.5}),
        (5, {"lr": 0.05, "gamma": 1}),
    ]


CHANGED_GRIDS = {
    "an axis that may be null": ("{lr: [0.01, 0.1]}", "{lr: [0.01, 0.1], clip_norm: [null, 0.001]}"),
    "another": ("{lr: [0.01, 0.1]}", "{ema: [0.99, null], lr: [0.1, 0.01]}"),
    "an axis less that may be null": ("{lr: [0.01, 0.1], clip_norm: [null, 0.001]}", "{lr: [0.01, 0.1]}"),
    "a name with no arguments": ("{lr: [0.01, 0.1]}", "{lr: [0.01, 0.1], loss: [{name: cross_entropy}, focal]}"),
    "two ways to write a value": ("{lr: [0.01], loss: [focal]}", "{lr: [0.01], loss: [{name: focal}, focal]}"),
    "a whole model": ("{lr: [0.01, 0.1]}", "{model: [{name: vgg11}, alexnet, {name: alexnet}], lr: [0.1, 0.01]}"),
    "whole models for their names": ("{model.name: [alexnet, vgg11]}", "{model: [vgg11, alexnet, resnet18]}"),
    "whole models for an argument": (
        "{model.dropout: [0.1, 0.2]}", "{model: [{name: alexnet, dropout: 0.2}, {dropout: 0.1, name: alexnet}, alexnet]}"
    ),
    "a section without its defaults": ("{lr: [0.01, 0.1]}", "{data.split: [{train: 0.6}, {val: 0.1}], lr: [0.01, 0.1]}"),
    "a section and one of its settings": (
        "{lr: [0.01]}", "{data.split: [{train: 0.6}, {val: 0.1}], data.split.train: [0.7, 0.8], lr: [0.01]}"
    ),
    "a list": ("{lr: [0.01, 0.1]}", "{data.augment: [[{name: random_crop}, horizontal_flip], []], lr: [0.01, 0.1]}"),
    "linked axes": ("{lr: [0.01, 0.1]}", "{}, linked: [{lr: [0.01, 0.1, 1], clip_norm: [null, null, 1]}]"),
    "a cell with a setting that is no axis": (
        "{lr: [0.1], train.momentum: [0.5]}", "{lr: [0.1]}, include: [{lr: 0.1, momentum: 0.5}]"
    ),
    "an empty cell": ("{lr: [0.001, 0.01], ema: [null, 0.9]}", "{lr: [0.01]}, include: [{}]"),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after"), CHANGED_GRIDS.values(), ids=CHANGED_GRIDS)
def test_a_trial_is_known_again_however_the_file_now_writes_its_cell(before: str, after: str) -> None:
    """What is there is what both files ask for by themselves; nothing has two numbers; the sweep ends."""
    world = World(experiment(f"{{space: {before}}}"), 2).run()
    numbers = {key: files.trial.number for key, files in world.disk.items()}
    world.experiment = experiment(f"{{space: {after}}}")
    wanted = {trial.key for trial in asked(Search(world.experiment, fingerprint))}
    search = world.search()
    assert search.known == wanted & set(numbers) != set()
    assert search.total == len(wanted)
    world.run()
    assert set(world.disk) == wanted | set(numbers)
    assert {key: world.disk[key].trial.number for key in numbers} == numbers
    assert world.search().known == wanted
    assert world.search().is_exhausted


@pytest.mark.parametrize("method", ["random", "cmaes"])
def test_a_drawn_trial_is_known_again_on_an_axis_that_may_be_null(method: str) -> None:
    text = f"method: {method}, trials: 4, space: {{lr: {{uniform: [0.1, 1]}}, momentum: {{uniform: [0.1, 0.9]}}"
    world = World(experiment(f"{{{text}}}}}"), 2).run()
    keys = set(world.disk)
    world.experiment = experiment(f"{{{text}, ema: [null, 0.9], loss: [{{name: cross_entropy}}, focal]}}}}")
    assert world.search().known == keys
    assert world.search().is_exhausted


WRITTEN: dict[str, list[Any]] = {
    "lr": [0.001, 0.01, 0.1], "momentum": [0.9, 0.5], "ema": [None, 0.9], "train.clip_norm": [1, None],
    "loss": ["cross_entropy", {"name": "cross_entropy"}, "focal", {"name": "focal"}],
    "model": ["alexnet", {"name": "alexnet"}, {"name": "vgg11", "dropout": 0.1}, {"dropout": 0.1, "name": "vgg11"}],
    "data.split": [{"train": 0.6}, {}, {"train": 0.6, "val": 0.1}], "data.split.train": [0.6, 0.7],
}  # fmt: skip
SPANS = [{}, {"step_size": {"int": [1, 5]}}, {"gamma": {"uniform": [0.1, 0.9]}}]


@st.composite
def sections(draw: st.DrawFn) -> str:
    """A `search` section whose cells may be written in several ways."""
    method = draw(st.sampled_from(["grid", "random", "tpe", "qmc"]))
    names = draw(st.lists(st.sampled_from(sorted(WRITTEN)), min_size=1, max_size=3, unique=True))
    space = {n: draw(st.lists(st.sampled_from(WRITTEN[n]), min_size=1, unique_by=canonical_json)) for n in names}
    cell = st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in WRITTEN.items()})
    drawing = {} if method == "grid" else {"trials": draw(st.integers(1, 8))}
    ranges = {} if method == "grid" else draw(st.sampled_from(SPANS))
    include = draw(st.lists(cell, max_size=2, unique_by=canonical_json))
    seeds = draw(st.sampled_from([[0], [0, 1], [1, 0], [1]]))
    section = {"method": method, **drawing, "space": {**space, **ranges}, "include": include, "seeds": seeds}
    return canonical_json(section)


CELLS = st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in WRITTEN.items()})


@given(st.lists(st.tuples(CELLS, st.integers(0, 9)), max_size=4))
def test_a_config_is_the_same_whether_its_settings_are_read_together_or_one_by_one(
    trials: list[tuple[dict[str, Any], int]],
) -> None:
    subject = experiment(objective="{metric: val/loss, mode: min}")
    asked = Asked(subject, fingerprint)
    for cell, seed in trials:
        settings_read = settings_for(subject, cell, seed)
        whole = config_for(settings_read, fingerprint(settings_read.data), objective=subject.objective)
        assert json.dumps(asked.config(cell, seed)) == json.dumps(whole)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(sections(), min_size=2, max_size=4), st.integers(0, 10**9))
def test_however_a_file_is_changed_a_trial_keeps_its_number_and_the_sweep_comes_to_its_end(
    searches: list[str], chance: int
) -> None:
    world = World(experiment(searches[0]), 2, random.Random(chance), slots=2)
    for text in searches:
        numbers = {key: files.trial.number for key, files in world.disk.items()}
        world.experiment, world.lives = experiment(text), iter([chance % 50])
        world.run()
        found = {key: files.trial.number for key, files in world.disk.items()}
        assert len(set(found.values())) == len(found)
        assert found.items() >= numbers.items()
        assert len(world.search().known) == world.search().total
        assert world.search().is_exhausted


def test_one_more_seed_asks_for_the_new_replicates_alone() -> None:
    for text in ("space: {lr: [0.1, 0.2]}", "method: random, trials: 3, space: {lr: {uniform: [0.1, 1]}}"):
        world = World(experiment(f"{{{text}, seeds: [0]}}"), 10).run()
        cells = [canonical_json(record.trial.cell) for record in (files.record for files in world.disk.values())]
        world.experiment = experiment(f"{{{text}, seeds: [0, 7]}}")
        new = asked(world.search())
        assert [trial.seed for trial in new] == [7] * len(cells)
        assert [canonical_json(trial.cell) for trial in new] == cells


def test_what_the_file_no_longer_asks_for_is_left_out() -> None:
    world = World(experiment("{space: {lr: [0.1, 0.2, 0.3]}}"), 2).run()
    world.experiment = experiment("{space: {lr: [0.3, 0.4]}}")
    search = world.search()
    assert (len(search.known), search.total) == (1, 2)
    assert [(t.number, t.cell["lr"]) for t in asked(search)] == [(3, 0.4)]


@pytest.mark.parametrize("method", ["random", "tpe", "qmc", "cmaes"])
def test_however_many_trials_a_changed_file_leaves_out_a_sampler_draws_all_of_its_own(method: str) -> None:
    trials, space = MAX_MISSES + 1, "{lr: {log_uniform: [0.001, 1]}, momentum: {uniform: [0, 0.9]}}"
    before = experiment(f"{{method: {method}, trials: {trials}, space: {space}}}")
    first, others = Search(before, fingerprint, window=1), []
    while trial := first.ask():
        end(first, trial)
        others.append(Record(trial, TrialState.WAITING))
    now = replace(before, train=replace(before.train, epochs=EPOCHS + 1), search=replace(before.search, trials=3))
    search = Search(now, fingerprint, others, window=1)
    for number in range(trials, trials + 3):
        trial = search.ask()
        assert trial
        assert trial.number == number
        end(search, trial)
    assert len(search.others) == trials
    assert search.is_exhausted


def test_a_trial_whose_folder_was_removed_is_asked_for_again_under_a_new_number() -> None:
    world = World(experiment("{space: {lr: [0.1, 0.2, 0.3]}}", PRUNERS["median"]), 2).run()
    removed = next(key for key, files in world.disk.items() if files.trial.number == 1)
    del world.disk[removed]
    assert [(trial.number, trial.key) for trial in asked(world.search())] == [(3, removed)]


def test_two_trials_of_one_number_are_refused_by_name() -> None:
    world = World(experiment("{space: {lr: [0.1, 0.2]}}"), 2).run()
    first, second = world.disk.values()
    second.trial = replace(second.trial, number=first.trial.number)
    with pytest.raises(StoreError, match=f"{second.trial.key} has number 0"):
        world.search()


def test_seeds_replicate_every_drawn_cell() -> None:
    world = World(experiment("{method: tpe, trials: 4, space: {lr: {uniform: [0.1, 1]}}, seeds: [5, 6, 7]}"), 1).run()
    trials = [files.trial for files in world.disk.values()]
    assert [trial.seed for trial in trials] == [5, 6, 7] * 4
    assert len({trial.cell["lr"] for trial in trials}) == 4
    assert all(len({trial.cell["lr"] for trial in trials[i : i + 3]}) == 1 for i in range(0, 12, 3))


@pytest.mark.parametrize("method", [method for method in METHODS if method != "grid"])
def test_another_first_seed_draws_other_cells(method: str) -> None:
    space = "{lr: {log_uniform: [0.01, 1]}, momentum: {uniform: [0, 0.9]}}"
    searches = (f"{{method: {method}, trials: 3, space: {space}, seeds: [{seed}]}}" for seed in (0, 1))
    worlds = [World(experiment(search), 1).run() for search in searches]
    drawn = [{files.trial.cell["lr"] for files in world.disk.values()} for world in worlds]
    assert not drawn[0] & drawn[1]


@pytest.mark.parametrize("method", ["random", "tpe", "qmc", "gp"])
def test_a_small_space_is_used_up_cell_by_cell_and_then_done_with(method: str) -> None:
    space = "{lr: [0.001, 0.01, 0.1], momentum: [0.1, 0.5], step_size: {int: [1, 2]}}"
    subject = experiment(f"{{method: {method}, trials: 50, space: {space}, exclude: [{{lr: 0.1, momentum: 0.5}}]}}")
    world = World(subject, 2).run()
    cells = {canonical_json(files.trial.cell) for files in world.disk.values()}
    assert len(cells) == len(world.disk) == world.search().total == 10
    assert world.search().is_exhausted
    assert World(subject, 2, random.Random(1), lives=iter([9, 30, 50])).run().outcome == world.outcome


def test_the_last_cells_of_a_space_are_found_without_luck() -> None:
    space = f"{{lr: {[1 + step for step in range(20)]}, step_size: {{int: [1, 10]}}}}"
    search = Search(experiment(f"{{method: random, trials: 999, space: {space}}}"), fingerprint)
    drawn = [trial.cell for trial in asked(search)]
    assert len({canonical_json(cell) for cell in drawn}) == len(drawn) == 200


ALIASES = {  # and how many cells there are when two are drawn
    "an empty cell": ("space: {lr: [0.001, 0.01]}, include: [{}]", 2),
    "a cell with a default": ("space: {lr: [0.1, 0.2]}, include: [{momentum: 0.9, lr: 0.1}, {}]", 3),
    "two cells alike": ("space: {lr: [0.1, 0.2]}, include: [{}, {lr: 0.001}, {train.lr: 0.2}]", 3),
    "two ways to write a value": ("space: {lr: [0.1, 0.2], loss: [cross_entropy, {name: cross_entropy}]}", 2),
    "two ways to write a model": ("space: {model: [alexnet, vgg11, {name: alexnet}]}, include: [{}]", 2),
    "a section and one of its settings": (
        "space: {data.split: [{train: 0.6}, {}], data.split.train: [0.7, 0.8], lr: [1]}", 2
    ),
    "many cells": (
        f"space: {{loss: [focal, {{name: focal}}], step_size: {[*range(1, 16)]}}}, include: [{{loss: focal}}]", 3
    ),
}  # fmt: skip


@pytest.mark.parametrize("method", ["random", "tpe", "qmc", "gp"])
@pytest.mark.parametrize(("space", "of_two"), ALIASES.values(), ids=ALIASES)
def test_a_sampler_draws_no_trial_twice_that_can_be_written_in_two_ways(method: str, space: str, of_two: int) -> None:
    everything = {trial.key for trial in asked(Search(experiment(f"{{{space}, seeds: [0, 1]}}"), fingerprint))}
    for trials, count in ((2, 2 * of_two), (99, len(everything))):
        subject = experiment(f"{{method: {method}, trials: {trials}, {space}, seeds: [0, 1]}}")
        world = World(subject, 2).run()
        assert set(world.disk) <= everything
        assert len(world.disk) == world.search().total == count
        assert sorted(files.trial.number for files in world.disk.values())[0] == 0
        assert len({files.trial.number for files in world.disk.values()}) == count
        assert world.search().is_exhausted
        assert World(subject, 2, random.Random(1), lives=iter([5, 9, 30])).run().outcome == world.outcome


@pytest.mark.parametrize("last", [100, 100_000])
def test_a_trial_that_the_folder_has_is_given_no_second_number(last: int) -> None:
    """Not even one that cannot be told from its settings, where a section is an axis and one of its settings is too."""
    world = World(experiment("{space: {data.split: [{train: 0.5}], step_size: [7]}}"), 2).run()
    (key,) = world.disk
    space = f"{{data.split: [{{train: 0.6}}], data.split.train: [0.5], step_size: {{int: [1, {last}]}}}}"
    include = "[{data.split: {train: 0.6}, data.split.train: 0.5, step_size: 7}]"
    world.experiment = experiment(f"{{method: random, trials: 2, space: {space}, include: {include}, seeds: [1]}}")
    world.run()
    world.experiment = experiment(f"{{method: random, trials: 3, space: {space}, seeds: [1, 0]}}")
    search = world.search()
    assert (key in search.known) == (last == 100)
    assert key not in {trial.key for trial in asked(search)}


@pytest.mark.parametrize("method", ["random", "tpe", "qmc", "cmaes", "gp"])
@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_fewer_trials_of_a_sampler_are_the_first_ones(method: str, pruner: str) -> None:
    def of(trials: int, more: str = "") -> Experiment:
        space = "space: {lr: {uniform: [0.001, 1]}, momentum: {uniform: [0, 0.9]}}, seeds: [0, 1]"
        return experiment(f"{{method: {method}, trials: {trials}, {space}, {more}}}", PRUNERS[pruner])

    world = World(of(9), 2).run()
    outcome, few = world.outcome, World(of(5), 2).run().outcome
    world.experiment = of(5)
    search = world.search()
    assert search.total == len(search.known) == len(few) == 10
    assert search.is_exhausted
    assert [one for one in outcome if one[1] in search.known] == few
    world.experiment = of(5, "include: [{lr: 3}]")
    assert [trial.cell for trial in asked(world.search())] == [{"lr": 3}, {"lr": 3}]
    world.experiment = of(9)
    assert world.search().is_exhausted
    assert world.run().outcome == outcome


@pytest.mark.parametrize("method", ["qmc", "cmaes"])
def test_included_cells_are_not_taken_for_draws_when_a_search_is_rebuilt(method: str) -> None:
    include = ", ".join(f"{{lr: {lr}, momentum: 0.5}}" for lr in (0.1, 0.2, 0.3, 0.4))
    space = "{lr: {uniform: [0.001, 1]}, momentum: {uniform: [0, 0.9]}}"
    subject = experiment(f"{{method: {method}, trials: 8, space: {space}, include: [{include}]}}")
    lives = iter([5, 20, 40, 40])
    assert World(subject, 1, lives=lives).run().outcome == World(subject, 1).run().outcome
    assert next(lives, None) is None


@pytest.mark.parametrize("space", ["{gamma: [0.5]}", "{gamma: [0.5], lr: {uniform: [0.1, 1]}}"])
def test_where_every_cell_is_excluded_a_sampler_has_those_of_include_alone(space: str) -> None:
    text = f"method: random, trials: 3, space: {space}, exclude: [{{gamma: 0.5}}], include: [{{lr: 2}}, {{gamma: 0.5}}]"
    world = World(experiment(f"{{{text}}}"), 2).run()
    assert [files.trial.cell for files in world.disk.values()] == [{"lr": 2}, {"gamma": 0.5}]
    assert world.search().total == 2
    assert world.search().is_exhausted


@pytest.mark.parametrize("method", ["random", "tpe"])
def test_excluded_cells_are_never_drawn(method: str) -> None:
    space = "{lr: {uniform: [0.1, 1]}, gamma: [0.1, 0.2, 0.3, 0.4]}"
    world = World(
        experiment(
            f"{{method: {method}, trials: 12, space: {space}, exclude: [{{gamma: 0.1}}, {{gamma: 0.2}}, {{gamma: 0.3}}]}}"
        ),
        1,
    ).run()
    assert [files.trial.cell["gamma"] for files in world.disk.values()] == [0.4] * 12


@pytest.mark.parametrize("method", ["tpe", "qmc", "cmaes", "gp"])
def test_a_cell_from_outside_the_space_does_not_blind_a_sampler(method: str) -> None:
    """Optuna's samplers fall back to random draws when some trial lacks a parameter."""
    text = f"method: {method}, trials: 14, space: {{lr: {{uniform: [0.001, 1]}}, momentum: {{uniform: [0, 0.9]}}}}"
    world = World(experiment(f"{{{text}, include: [{{lr: 2}}]}}"), 1).run()
    by_chance = World(experiment(f"{{{text.replace(method, 'random')}, include: [{{lr: 2}}]}}"), 1).run()
    last = [[files.trial.cell for files in each.disk.values()][-1] for each in (world, by_chance)]
    assert set(last[0]) == {"lr", "momentum"}
    assert last[0] != last[1]  # the same seed and number: random draws would be alike


@pytest.mark.parametrize("window", [1, 2, 5])
def test_a_trial_starts_only_when_those_a_window_back_have_ended(window: int) -> None:
    search = Search(experiment(METHODS["grid"], PRUNERS["median"]), fingerprint, window=window)
    first = asked(search)
    assert [trial.number for trial in first] == list(range(window))
    for trial in first[1:]:
        end(search, trial)
    assert search.ask() is None
    assert not search.is_exhausted
    end(search, first[0])
    assert [trial.number for trial in asked(search)] == list(range(window, 2 * window))


@pytest.mark.parametrize("method", METHODS)
def test_every_worker_has_a_trial_before_the_first_has_ended(method: str) -> None:
    search = Search(experiment(METHODS[method]), fingerprint, window=24)
    assert all(search.ask() for _ in range(12))


def test_a_grid_without_a_pruner_waits_for_nobody() -> None:
    search = Search(experiment(), fingerprint, window=1)
    assert len(asked(search)) == search.total


def end(search: Search, trial: Trial, state: TrialState = TrialState.COMPLETE, *values: float) -> None:
    metric = search.experiment.objective.metric
    rows = tuple({"epoch": float(epoch), metric: value} for epoch, value in enumerate(values or (0.5,), start=1))
    search.tell(trial, Result(state, {metric: rows[-1][metric]}, rows))


# What stops, and what goes on


@pytest.mark.parametrize("pruner", PRUNERS)
def test_every_pruner_stops_some_trials_of_a_grid(pruner: str) -> None:
    states = [state for *_, state, _ in World(experiment(METHODS["grid"], PRUNERS[pruner]), 2).run().outcome]
    assert (TrialState.PRUNED in states) == (pruner != "nop")
    assert TrialState.COMPLETE in states


@pytest.mark.parametrize("objective", ["{metric: val/top1}", "{metric: val/loss, mode: min}"])
def test_pruning_stops_the_bad_and_keeps_the_best(objective: str) -> None:
    subject = experiment(
        "{space: {lr: [0.01, 0.011, 0.012, 1, 0.9, 0.8]}}", "{name: median, n_startup_trials: 3}", objective
    )
    states = {cell["lr"]: state for _, _, cell, _, state, _ in World(subject, 1, accidents=False).run().outcome}
    assert {state for lr, state in states.items() if lr < 0.1} == {TrialState.COMPLETE}
    assert {state for lr, state in states.items() if lr > 0.1} == {TrialState.PRUNED}


def pruned_world() -> tuple[World, list[str]]:
    world = World(experiment(METHODS["grid"], PRUNERS["median"]), 2).run()
    return world, [key for _, key, _, _, state, _ in world.outcome if state is TrialState.PRUNED]


@pytest.mark.parametrize(
    "pruning", ["null", "{name: median, n_startup_trials: 3}", "{name: percentile, percentile: 10.0}"]
)
def test_pruned_trials_go_on_when_pruning_is_changed_or_removed(pruning: str) -> None:
    world, pruned = pruned_world()
    assert world.search().is_exhausted
    world.experiment = experiment(METHODS["grid"], pruning)
    search = world.search()
    again = [trial.key for trial in search.again]
    assert again == pruned
    assert len(search.known) == search.total
    before = {files.trial.key: len(files.rows) for files in world.disk.values()}
    world.run()
    assert all(len(world.disk[key].rows) >= before[key] for key in pruned)
    assert world.search().is_exhausted


def test_removing_the_pruner_gives_what_there_would_have_been_without_one() -> None:
    world, _ = pruned_world()
    world.experiment = experiment(METHODS["grid"])
    assert world.run().outcome == World(world.experiment, 2).run().outcome


def test_failed_trials_are_tried_again_on_request_alone() -> None:
    world = World(experiment(), 1).run()
    failed = [key for _, key, _, _, state, _ in world.outcome if state is TrialState.FAILED]
    assert failed
    assert world.search().is_exhausted
    records = [files.record for files in world.disk.values()]
    retried = Search(world.experiment, fingerprint, records, 1, retry_failed=True)
    assert [trial.key for trial in asked(retried)] == failed


@pytest.mark.parametrize(
    ("state", "pruned_by", "retry", "expected"),
    [
        ("complete", None, True, False), ("diverged", None, True, False), ("failed", None, False, False),
        ("failed", None, True, True), ("pruned", "median", False, False), ("pruned", "nop", True, True),
    ],
)  # fmt: skip
def test_which_ended_trials_go_on(state: str, pruned_by: str | None, retry: bool, expected: bool) -> None:
    subject = experiment(pruning="{name: median}")
    trial = asked(Search(subject, fingerprint))[0]
    result = Result(TrialState(state), pruning={"name": pruned_by} if pruned_by else None)
    assert goes_on(Record(trial, result.state, (), result), subject, retry) == expected


def test_diverged_trials_are_told_as_pruned_so_that_samplers_stay_away() -> None:
    search = Search(experiment("{method: tpe, trials: 3, space: {lr: {uniform: [0.1, 1]}}}"), fingerprint, window=1)
    trial = search.ask()
    assert trial
    end(search, trial, TrialState.DIVERGED, 0.4, math.nan)
    (told,) = frozen(search)
    assert (told["state"], told["values"]) == (optuna.trial.TrialState.PRUNED, None)
    assert told["intermediate_values"] == {1: 0.4}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_objective_that_is_not_finite_reaches_the_study(value: float) -> None:
    search = Search(experiment(METHODS["tpe"], PRUNERS["median"]), fingerprint, window=1)
    for state in (TrialState.COMPLETE, TrialState.DIVERGED, TrialState.PRUNED, TrialState.FAILED):
        trial = search.ask()
        assert trial
        search.report(
            trial, [{"epoch": 1.0, "val/top1": 0.5}, {"epoch": 2.0, "val/top1": value}, {"epoch": 3.0, "lr": 1}]
        )
        assert not search.should_prune(trial)
        end(search, trial, state, 0.5, value)
    told = frozen(search)
    assert all(trial["intermediate_values"] == {1: 0.5} and trial["values"] is None for trial in told)
    assert not any(trial["state"] is optuna.trial.TrialState.COMPLETE for trial in told)
    assert search.ask()  # and the sampler can go on


# Optuna's pruners, by its own names and arguments


def arguments_of(pruner: type[optuna.pruners.BasePruner]) -> dict[str, inspect.Parameter]:
    return (
        dict(list(inspect.signature(pruner.__init__).parameters.items())[1:])
        if pruner.__init__ is not object.__init__
        else {}
    )


JSON_TYPES: dict[str, set[type]] = {
    "int": {int}, "float": {float, int}, "float | None": {float, int}, "str | int": {str, int},
    "BasePruner | None": {dict, type(None)},
}  # fmt: skip


def test_every_pruner_that_optuna_has_is_known_by_its_name() -> None:
    here = {pruner.__name__ for pruner in pieces.PRUNERS.values()}
    assert here == set(optuna.pruners.__all__) - {"BasePruner"}
    assert set(pieces.PRUNERS) == set(tables.PRUNERS) == set(PRUNERS)


@pytest.mark.parametrize("name", PRUNERS)
def test_a_pruner_s_arguments_are_those_that_optuna_gives_it(name: str) -> None:
    parameters = arguments_of(pieces.PRUNERS[name])
    assert {argument: set(kinds) for argument, kinds in tables.PRUNERS[name].items()} == {
        argument: JSON_TYPES[getattr(parameter.annotation, "__name__", parameter.annotation)]
        for argument, parameter in parameters.items()
    }
    required = {argument for argument, parameter in parameters.items() if parameter.default is inspect.Parameter.empty}
    assert set(tables.REQUIRED_BY_PRUNER.get(name, ())) == required


def extremes(name: str) -> Iterator[dict[str, Any]]:
    """A pruner's arguments with each at either end of what the experiment file allows."""
    plain = {"percentile": 50, "patience": 1, "wrapped_pruner": None, "lower": 0, "upper": 1}
    base = {argument: plain[argument] for argument in tables.PRUNERS[name] if argument in plain}
    for argument, (low, high) in tables.PRUNER_LIMITS.items():
        if argument in tables.PRUNERS[name]:
            yield from ({**base, argument: int(end)} for end in (low, high) if math.isfinite(end))


@pytest.mark.parametrize("name", PRUNERS)
def test_what_the_file_allows_a_pruner_optuna_takes_and_can_judge_by(name: str) -> None:
    for arguments in extremes(name):
        pruner = pieces.make_pruner(named_of({"name": name, **arguments}), EPOCHS)
        study = optuna.create_study(pruner=pruner)
        study.add_trial(optuna.trial.create_trial(value=1, intermediate_values={1: 1, 2: 2, 3: 3}))
        trial = study.ask()
        for epoch in range(1, 4):
            trial.report(epoch, epoch)
            assert trial.should_prune() in (True, False)


def test_every_bounded_argument_belongs_to_a_pruner() -> None:
    assert set(tables.PRUNER_LIMITS) <= {argument for pruner in tables.PRUNERS.values() for argument in pruner}
