"""The space: a grid is the product of its axes, less what `exclude` says, plus what `include` says, each cell once."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeper.experiment import Search
from sweeper.space import Space
from sweeper.space.domain import Choice, Int, Uniform, axis_domain, linked_axis
from sweeper.space.setting import same, setting_steps, with_setting, written

Cell = dict[str, Any]
VALUES = st.lists(
    st.integers(-3, 3) | st.sampled_from(["a", "b", True, None, 0.5]), min_size=1, max_size=4, unique_by=repr
)
SPACES = st.dictionaries(st.sampled_from(["lr", "momentum", "gamma", "model.dropout"]), VALUES, max_size=3)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.sampled_from(["1", 10**22, 1e22]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)


@given(PLAIN, PLAIN)
def test_values_that_are_the_same_are_written_alike_and_no_others(one: Any, other: Any) -> None:
    assert same(one, other) == (repr(written(one)) == repr(written(other)))


def canonical(cell: Mapping[str, Any]) -> str:
    return repr(sorted(cell.items()))


@st.composite
def searches(draw: st.DrawFn) -> Search:
    """Grids with linked axes, and with cells to leave out and to add that may or may not be inside."""
    space = draw(SPACES)
    pairs = draw(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=4, unique=True))
    linked = [{"batch_size": [a for a, _ in pairs], "step_size": [b for _, b in pairs]}] if pairs else []
    axes: dict[str, list[Any]] = {**space, **(linked[0] if linked else {})}
    part = st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in axes.items()})
    whole = st.fixed_dictionaries({name: st.sampled_from(values) | st.just(99) for name, values in axes.items()})
    return Search(
        space=space,
        linked=tuple(linked),
        exclude=tuple(draw(st.lists(part.filter(bool), max_size=2))) if axes else (),
        include=tuple(draw(st.lists(part | whole, max_size=3, unique_by=canonical))),
    )


def expected_cells(search: Search) -> list[Cell]:
    """The definition, written out."""
    axes: list[Sequence[Cell]] = [[{name: value} for value in values] for name, values in search.space.items()]
    axes += [
        [dict(zip(group, values, strict=True)) for values in zip(*group.values(), strict=True)]
        for group in search.linked
    ]
    cells: list[Cell] = []
    for parts in itertools.product(*axes):
        cell = {name: value for part in parts for name, value in part.items()}
        if not any(all(repr(cell[name]) == repr(value) for name, value in part.items()) for part in search.exclude):
            cells.append(cell)
    known = [canonical(cell) for cell in cells]  # in which true is not 1
    return cells + [dict(cell) for cell in search.include if canonical(cell) not in known]


@given(searches())
def test_a_grid_is_the_product_less_exclude_plus_include(search: Search) -> None:
    assert list(Space.of(search).cells()) == expected_cells(search)


@given(searches())
def test_each_cell_comes_once(search: Search) -> None:
    cells = [canonical(cell) for cell in Space.of(search).cells()]
    assert len(cells) == len(set(cells))


@given(searches())
def test_a_space_contains_its_cells_and_no_other(search: Search) -> None:
    space = Space.of(search)
    cells = list(space.cells())
    assert all(space.contains(cell) for cell in cells)
    single = [list(values) for values in search.space.values()]
    names = [*search.space, *(name for group in search.linked for name in group)]
    values = [*single, *(group[name] for group in search.linked for name in group)]
    for combination in itertools.product(*values):  # every combination of values, linked ones too
        cell = dict(zip(names, combination, strict=True))
        assert space.contains(cell) == (canonical(cell) in map(canonical, cells))


@given(searches(), st.integers(1, 200))
def test_the_size_is_the_number_of_cells_up_to_the_limit(search: Search, limit: int) -> None:
    assert Space.of(search).size(limit) == min(limit, len(expected_cells(search)))


@given(searches(), st.lists(st.sampled_from(["lr", "momentum", "gamma", "model.dropout", "step_size"]), unique=True))
def test_cells_over_some_names_have_each_of_their_combinations_once(search: Search, names: list[str]) -> None:
    """A name of linked axes stands for all of them. Cells of `include` come whole, after the others."""
    axes = [(name,) for name in search.space] + [tuple(group) for group in search.linked]
    over = [name for axis in axes if {*axis} & {*names} for name in axis]
    cells = list(Space.of(replace(search, include=())).cells())
    found = list(Space.of(search).cells_over(names))
    part = [[cell[name] for name in over] for cell in found[: len(found) - len(search.include)]]
    assert sorted(map(repr, part)) == sorted({repr([cell[name] for name in over]) for cell in cells})
    assert found[len(part) :] == list(search.include)
    assert all(canonical(cell) in map(canonical, cells) for cell in found[: len(part)])


def test_what_is_excluded_is_not_gone_into() -> None:
    """Of 2^60 combinations one cell is left, the last."""
    names = [f"model.a{number}" for number in range(60)]
    space = Space.of(Search(space={name: [1, 2] for name in names}, exclude=tuple({name: 1} for name in names)))
    only = dict.fromkeys(names, 2)
    assert list(space.cells()) == [only]
    assert list(space.cells_over(names[50:])) == [only]
    assert space.size(10) == 1
    assert not space.is_all_excluded()


@given(searches())
def test_names_are_those_of_the_file_in_its_order(search: Search) -> None:
    names = Space.of(search).names
    axes = [*search.space, *(name for group in search.linked for name in group)]
    assert list(names[: len(axes)]) == axes
    assert set(names) == {*axes, *(name for cell in search.include for name in cell)}
    assert len(set(names)) == len(names)


def test_the_last_axis_is_the_fastest() -> None:
    space = Space.of(Search(space={"lr": [1, 2], "momentum": [3, 4]}))
    assert [tuple(cell.values()) for cell in space.cells()] == [(1, 3), (1, 4), (2, 3), (2, 4)]


def test_no_axes_make_one_empty_cell() -> None:
    assert list(Space.of(Search()).cells()) == [{}]
    assert Space.of(Search()).contains({})


def test_excluding_one_linked_value_leaves_out_its_partners() -> None:
    linked = ({"batch_size": [64, 128], "lr": [0.1, 0.2]},)
    space = Space.of(Search(space={"gamma": [1, 0.5]}, linked=linked, exclude=({"batch_size": 64, "gamma": 1},)))
    assert list(space.cells()) == [
        {"gamma": 1, "batch_size": 128, "lr": 0.2},
        {"gamma": 0.5, "batch_size": 64, "lr": 0.1},
        {"gamma": 0.5, "batch_size": 128, "lr": 0.2},
    ]
    assert not space.contains({"gamma": 0.5, "batch_size": 64, "lr": 0.2})


def test_include_brings_back_what_exclude_left_out() -> None:
    cell = {"lr": 1}
    space = Space.of(Search(space={"lr": [1, 2]}, exclude=(cell,), include=(cell,)))
    assert list(space.cells()) == [{"lr": 2}, {"lr": 1}]


@given(st.floats(-10, 10), st.floats(-10, 10), st.floats(-20, 20))
def test_a_range_contains_its_ends_and_what_is_between(a: float, b: float, value: float) -> None:
    low, high = sorted((a, b))
    if low == high:
        return
    space = Space.of(Search(method="random", trials=1, space={"lr": {"uniform": [low, high]}}))
    assert space.contains({"lr": value}) == (low <= value <= high)
    assert space.contains({"lr": low})
    assert space.contains({"lr": high})
    assert not space.contains({"lr": True})


def test_a_range_of_whole_numbers_contains_whole_numbers_alone() -> None:
    space = Space.of(Search(method="random", trials=1, space={"epochs": {"int": [1, 4]}}))
    assert [value for value in (0, 1, 2.5, 3.0, 4, 5, True) if space.contains({"epochs": value})] == [1, 4]
    assert space.size(100) == 4
    assert [cell["epochs"] for cell in space.cells()] == [1, 2, 3, 4]


def test_a_huge_range_is_counted_without_being_listed() -> None:
    space = Space.of(Search(method="random", trials=1, space={"epochs": {"int": [1, 10**9]}, "lr": [1, 2]}))
    assert space.size(1000) == 1000


def test_a_grid_over_a_range_is_refused() -> None:
    with pytest.raises(ValueError, match="a grid needs a list of values for lr"):
        list(Space.of(Search(space={"lr": {"uniform": [0, 1]}})).cells())


def test_axes_are_read_from_their_three_forms() -> None:
    assert axis_domain([1, "a", None]) == Choice((1, "a", None))
    assert axis_domain({"uniform": [0, 0.5]}) == Uniform(0, 0.5)
    assert axis_domain({"log_uniform": [1e-5, 1]}) == Uniform(1e-5, 1, log=True)
    assert axis_domain({"int": [-2, 2]}) == Int(-2, 2)


REFUSED: tuple[Any, ...] = (
    [], "abc", 3, None, {}, {"uniform": [1]}, {"uniform": [1, 2, 3]}, {"uniform": [2, 1]}, {"uniform": [1, 1]},
    {"uniform": ["a", "b"]}, {"uniform": [0, float("inf")]}, {"uniform": [float("nan"), 1]}, {"uniform": [True, 2]},
    {"uniform": [0, 10**400]}, {"log_uniform": [0, 1]}, {"log_uniform": [-1, 1]}, {"int": [0, 1.5]}, {"int": "ab"},
    {"normal": [0, 1]}, {"uniform": [0, 1], "int": [0, 1]}, [1, 1], [1, 1.0], [[1], [1]], [[1], [1.0]],
    [{"a": 1, "b": 2}, {"b": 2.0, "a": 1}],
)  # fmt: skip


@pytest.mark.parametrize("given_axis", REFUSED, ids=repr)
def test_an_axis_that_makes_no_sense_is_refused_in_words(given_axis: Any) -> None:
    with pytest.raises(ValueError, match=r"allowed|twice|at least one"):
        axis_domain(given_axis)


def test_true_and_one_are_two_values() -> None:
    assert axis_domain([1, True, "1"]) == Choice((1, True, "1"))


def test_linked_lists_must_be_of_one_length_and_their_rows_distinct() -> None:
    assert linked_axis({"a": [1, 1], "b": [1, 2]}).domain == Choice(((1, 1), (1, 2)))
    with pytest.raises(ValueError, match="a: 1, b: 2"):
        linked_axis({"a": [1], "b": [1, 2]})
    with pytest.raises(ValueError, match="twice"):
        linked_axis({"a": [1, 1], "b": [2, 2]})


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=3), st.integers())
def test_setting_a_value_leaves_the_rest_and_the_original_alone(steps: list[str], value: int) -> None:
    config: dict[str, Any] = {"a": {"a": {"a": 0, "b": 1}, "b": 2}, "b": "official", "d": 3}
    before = repr(config)
    changed: Any = with_setting(config, steps, value)
    assert repr(config) == before
    assert changed["d"] == 3
    for step in steps:
        changed = changed[step]
    assert changed == value


def test_a_bare_name_means_a_train_setting() -> None:
    assert setting_steps("lr") == ("train", "lr")
    assert setting_steps("train.lr") == ("train", "lr")
    assert setting_steps("model") == ("model",)
    assert setting_steps("data.split.train") == ("data", "split", "train")


@pytest.mark.parametrize(
    ("axis", "one", "other"),
    [
        ("model", "alexnet", {"name": "alexnet"}),
        ("loss", "focal", {"name": "focal"}),
        ("train.loss", {"name": "focal"}, "focal"),
        ("data.augment", ["hue"], [{"name": "hue"}]),
    ],
)
def test_a_name_is_left_out_however_it_is_written(axis: str, one: Any, other: Any) -> None:
    space = Space.of(Search(space={axis: [one, "another"], "lr": [1, 2]}, exclude=({axis: other, "lr": 1},)))
    cells = [{axis: one, "lr": 2}, {axis: "another", "lr": 1}, {axis: "another", "lr": 2}]
    assert list(space.cells()) == list(space.cells_over([axis, "lr"])) == cells


def test_true_is_not_left_out_with_one() -> None:
    one = ({"model.flag": 1},)
    space = Space.of(Search(space={"model.flag": [0, False, 1, True]}, exclude=one, include=one))
    assert [repr(cell["model.flag"]) for cell in space.cells()] == ["0", "False", "True", "1"]
    assert not Space.of(Search(space={"model.flag": [1, 2]})).contains({"model.flag": True})
