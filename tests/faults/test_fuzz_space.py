"""Any grid that a file can ask for: each trial comes once, in the file's order, under a key that only its settings make."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sweeper.experiment import Experiment
from sweeper.reading import read_experiment
from sweeper.reading.mistakes import ExperimentError
from sweeper.search import Search
from sweeper.trial import Trial, canonical_json, trial_key

VALUES = st.sampled_from(
    [0, 1, 2, 1.0, 0.5, True, False, None, "1", "a", "true", [1], [True], [], {"x": 1}, {"x": True}, 10**20]
)
AXES = ("model.a", "model.b", "lr", "train.momentum", "batch_size", "data.augment")
OWN = {
    "lr": st.sampled_from([0.1, 0.01, 1, 1e-3]),
    "train.momentum": st.sampled_from([0, 0.5, 0.9]),
    "batch_size": st.integers(1, 4),
    "data.augment": st.sampled_from([[], ["random_crop"], ["horizontal_flip"]]),
}  # fmt: skip
CALM = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much])
Cell = dict[str, Any]


def text_of(value: Any) -> str:
    """JSON in which 1.0 is 1 and true is not."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{text_of(value[name])}" for name in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(text_of, value)) + "]"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else json.dumps(value)


def of(name: str) -> st.SearchStrategy[Any]:
    return OWN.get(name, VALUES)


@st.composite
def sections(draw: st.DrawFn) -> dict[str, Any]:
    """A `search` section."""
    names = draw(st.lists(st.sampled_from(AXES), unique=True, max_size=4))
    tied = names[:2] if len(names) > 2 and draw(st.booleans()) else []
    space = {
        name: draw(st.lists(of(name), min_size=1, max_size=3, unique_by=text_of)) for name in names if name not in tied
    }
    rows = draw(st.integers(1, 3))
    linked = [{name: draw(st.lists(of(name), min_size=rows, max_size=rows)) for name in tied}] if tied else []
    listed = {**space, **(linked[0] if linked else {})}
    inside = {name: st.sampled_from(values) for name, values in listed.items()}
    excluded = st.sampled_from(list(inside) or [""]).flatmap(
        lambda name: st.fixed_dictionaries(
            {name: inside[name]}, optional={k: v for k, v in inside.items() if k != name}
        )
    )
    added = {name: inside.get(name, st.nothing()) | of(name) for name in {*names, "lr"}}
    included = st.fixed_dictionaries({}, optional=dict(sorted(added.items())))
    return {
        "space": space,
        "linked": linked,
        "exclude": draw(st.lists(excluded, max_size=2)) if listed else [],
        "include": draw(st.lists(included, max_size=3, unique_by=text_of)),
        "seeds": draw(st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True)),
    }


def experiment_of(section: Mapping[str, Any]) -> Experiment:
    values = {"name": "any", "data": {"name": "digits"}, "model": {"name": "tests.tiny:linear"}, "search": section}
    try:
        return read_experiment(yaml.safe_dump(values, sort_keys=False), "f.yaml")
    except ExperimentError:
        assume(False)
        raise


def grid_of(section: Mapping[str, Any]) -> list[Cell]:
    """The definition, written out: the product, less what is excluded, and what is included where it is not there."""
    parts: list[Sequence[Cell]] = [[{name: value} for value in values] for name, values in section["space"].items()]
    for group in section["linked"]:
        parts.append([dict(zip(group, row, strict=True)) for row in zip(*group.values(), strict=True)])
    cells = [{name: value for part in row for name, value in part.items()} for row in itertools.product(*parts)]

    def is_excluded(cell: Cell) -> bool:
        return any(
            all(text_of(cell[name]) == text_of(value) for name, value in out.items()) for out in section["exclude"]
        )

    kept = [cell for cell in cells if not is_excluded(cell)]
    return [*kept, *section["include"]]


def once(cells: Sequence[Cell], seeds: Sequence[int]) -> list[tuple[str, int]]:
    """Each cell with each seed, the first time it comes; a cell is what its settings are, however axes are called."""
    return list(dict.fromkeys((text_of(cell), seed) for cell in cells for seed in seeds))


def asked(experiment: Experiment) -> Iterator[Trial]:
    search = Search(experiment, lambda data: "0123456789abcdef", ())
    while trial := search.ask():
        yield trial
    assert search.is_exhausted


@CALM
@given(sections())
def test_every_trial_of_a_grid_comes_once_and_in_the_order_of_the_file(section: dict[str, Any]) -> None:
    experiment = experiment_of(section)
    trials = list(asked(experiment))
    assert [trial.number for trial in trials] == list(range(len(trials)))
    assert len({trial.key for trial in trials}) == len(trials) == Search(experiment, lambda data: "0" * 16, ()).total
    expected = once(grid_of(section), section["seeds"])
    found = [(text_of(dict(trial.cell)), trial.seed) for trial in trials]
    assert found == [
        one for one in expected if one in set(found)
    ]  # a cell that an earlier one has the settings of is left out
    settings_asked = {canonical_json(trial.config) for trial in trials}
    assert len(settings_asked) == len(trials)
    left_out = set(expected) - set(found)
    assert not left_out or section["include"]  # only an added cell can have the settings of another


@CALM
@given(sections(), st.randoms(use_true_random=False))
def test_a_key_is_made_by_the_settings_alone(section: dict[str, Any], chance: Any) -> None:
    """The same grid with its axes, seeds and the keys of its values in another order, under another name."""

    def shuffled(value: Any, also_lists: bool = False) -> Any:
        if isinstance(value, dict):
            names = chance.sample(sorted(value), len(value))
            return {name: shuffled(value[name], name in ("seeds", "include")) for name in names}
        if isinstance(value, list):
            items = [shuffled(item) for item in value]
            return chance.sample(items, len(items)) if also_lists else items
        return value

    first, second = list(asked(experiment_of(section))), list(asked(experiment_of(shuffled(section))))
    assert {trial.key for trial in first} == {trial.key for trial in second}
    names = {trial.key: sorted(trial.name.split(" ")) for trial in first}
    assert len(first) == len(names)
    for trial in (*first, *second):
        assert trial.key == trial_key(json.loads(json.dumps(trial.config)))
