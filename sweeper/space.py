"""The space of a search: axes, and the cells of a grid over them."""

import itertools
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from sweeper.experiment import Search, bare

Cell = dict[str, Any]
MODEL = ("model",)
WORDS = (MODEL, ("train", "loss"), ("data", "augment"))
"""Settings whose values are names, alone or with arguments."""


@dataclass(frozen=True)
class Choice:
    """One of some values. A linked axis has tuples, one value for each of its names."""

    values: tuple[Any, ...]

    def __contains__(self, value: Any) -> bool:
        return repr(written(value)) in self._all_written

    @cached_property
    def _all_written(self) -> frozenset[str]:
        return frozenset(repr(written(value)) for value in self.values)


@dataclass(frozen=True)
class Uniform:
    """A float in [low, high], drawn evenly, or evenly in its logarithm."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Int:
    """A whole number in [low, high]."""

    low: int
    high: int


Domain = Choice | Uniform | Int


@dataclass(frozen=True)
class Axis:
    """Settings that take their values together: one name, or several when linked; names as the file has them."""

    names: tuple[str, ...]
    domain: Domain

    @property
    def label(self) -> str:
        return "+".join(self.names)

    def assign(self, value: Any) -> Cell:
        return dict(zip(self.names, value if len(self.names) > 1 else (value,), strict=True))

    def with_ends(self) -> "Axis":
        """This axis with a range's two ends as its choices."""
        if isinstance(self.domain, Choice):
            return self
        return replace(self, domain=Choice((self.domain.low, self.domain.high)))


@dataclass(frozen=True)
class Space:
    """Axes with the cells to leave out and to add."""

    axes: tuple[Axis, ...]
    include: tuple[Cell, ...] = ()
    exclude: tuple[Cell, ...] = ()

    @classmethod
    def of(cls, search: Search) -> "Space":
        """The space of a validated `search` section. Raises ValueError on what `axis_domain` refuses."""
        single = [Axis((name,), axis_domain(given)) for name, given in search.space.items()]
        linked = [linked_axis(group) for group in search.linked]
        return cls((*single, *linked), search.include, search.exclude)

    @property
    def names(self) -> tuple[str, ...]:
        """Every axis name, in the file's order, then names that only `include` uses."""
        names = [name for axis in self.axes for name in axis.names]
        names += [name for cell in self.include for name in cell]
        return tuple(dict.fromkeys(names))

    def cells(self) -> Iterator[Cell]:
        """Every cell, the last axis fastest, then those that `include` adds. Raises ValueError at an axis of floats."""
        yield from _walk({}, list(zip(map(_values, self.axes), self._excludes_ending(self.axes), strict=True)))
        yield from (dict(cell) for cell in self.include if not self.spans(cell) or self.excludes(cell))

    def with_ends(self) -> "Space":
        """This space with each range's two ends as its choices."""
        return replace(self, axes=tuple(axis.with_ends() for axis in self.axes))

    def cells_over(self, names: Collection[str]) -> Iterator[Cell]:
        """One cell for each combination that axes with these names have in any, the last fastest; and all of `include`.

        Raises ValueError at an axis of floats.
        """
        over = [axis for axis in self.axes if not {*axis.names}.isdisjoint(names)]
        others = [axis for axis in self.axes if {*axis.names}.isdisjoint(names)]
        values = [*map(_values, over), *self._told_apart(others)]
        steps = list(zip(values, self._excludes_ending([*over, *others]), strict=True))
        for begun in _walk({}, steps[: len(over)]):
            cell = next(_walk(begun, steps[len(over) :]), None)
            if cell is not None:
                yield {name: cell[name] for axis in self.axes for name in axis.names}
        yield from map(dict, self.include)

    def _excludes_ending(self, axes: Sequence[Axis]) -> list[list[Cell]]:
        """For each of all axes in an order, the parts of `exclude` that name it and else only axes before it."""
        places = {name: place for place, axis in enumerate(axes) for name in axis.names}
        ending: list[list[Cell]] = [[] for _ in axes]
        for part in self.exclude:
            if axes and part.keys() <= places.keys():
                ending[max((places[name] for name in part), default=0)].append(part)
        return ending

    def _told_apart(self, axes: Sequence[Axis]) -> Iterator[list[Cell]]:
        """Values of each axis, one of those that `exclude` does not tell from each other."""
        naming: dict[str, list[Cell]] = {}
        for part in self.exclude:
            for name in part:
                naming.setdefault(name, []).append(part)
        for axis in axes:
            kinds: dict[tuple[bool, ...], Cell] = {}
            parts = [part for name in axis.names for part in naming.get(name, ())]
            for cell in _values(axis):
                kinds.setdefault(tuple(_agrees(part, cell) for part in parts), cell)
            yield list(kinds.values())

    def size(self, limit: int) -> int:
        """How many cells there are, counted up to `limit`."""
        domains = [axis.domain for axis in self.axes]
        if any(isinstance(d, Uniform) or (isinstance(d, Int) and d.high - d.low >= limit) for d in domains):
            return limit
        return sum(1 for _ in itertools.islice(self.cells(), limit))

    def is_all_excluded(self) -> bool:
        """Whether `exclude` leaves none of the axes' cells; of a range it leaves all or nothing, so its ends stand for it."""
        ends = Space(tuple(axis.with_ends() for axis in self.axes), (), self.exclude)
        return next(ends.cells_over(()), None) is None

    def contains(self, cell: Mapping[str, Any]) -> bool:
        """Whether a cell is one of this space: inside every axis and not excluded, or included."""
        return (self.spans(cell) and not self.excludes(cell)) or any(same(dict(cell), part) for part in self.include)

    def spans(self, cell: Mapping[str, Any]) -> bool:
        """Whether a cell has a value inside each axis, and no other."""
        is_full = set(cell) == {name for axis in self.axes for name in axis.names}
        return is_full and all(_fits(axis, tuple(cell[name] for name in axis.names)) for axis in self.axes)

    def excludes(self, cell: Mapping[str, Any]) -> bool:
        """Whether some partial assignment of `exclude` agrees with the cell."""
        return any(
            all(name in cell and same_on(name, cell[name], value) for name, value in part.items())
            for part in self.exclude
        )


def _agrees(part: Cell, cell: Cell) -> bool:
    """Whether a part of `exclude` says nothing else of what a cell has."""
    return all(name not in cell or same_on(name, cell[name], value) for name, value in part.items())


def _walk(begun: Cell, steps: Sequence[tuple[Sequence[Cell], Sequence[Cell]]]) -> Iterator[Cell]:
    """Each cell that goes on from one with a value of each step, the last fastest.

    A step has the values of an axis, and the parts of `exclude` that end there: what they exclude is not gone into.
    """
    stack = [(begun, 0)]
    while stack:
        cell, count = stack.pop()
        if count == len(steps):
            yield cell
            continue
        values, ending = steps[count]
        wider = [cell | value for value in reversed(values)]
        stack += [(one, count + 1) for one in wider if not any(_agrees(part, one) for part in ending)]


def _values(axis: Axis) -> list[Cell]:
    match axis.domain:
        case Choice(values):
            return [axis.assign(value) for value in values]
        case Int(low, high):
            return [axis.assign(value) for value in range(low, high + 1)]
        case Uniform():
            raise ValueError(f"a grid needs a list of values for {axis.label}")


def _fits(axis: Axis, values: tuple[Any, ...]) -> bool:
    match axis.domain:
        case Choice() as choice:
            return (values if len(values) > 1 else values[0]) in choice
        case Uniform(low, high):
            return type(values[0]) in (int, float) and low <= values[0] <= high
        case Int(low, high):
            return type(values[0]) is int and low <= values[0] <= high


def same(one: Any, other: Any) -> bool:
    """Whether two plain values are one setting: 1 and 1.0 are, 1 and true are two."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def same_on(name: str, one: Any, other: Any) -> bool:
    """Whether two values of an axis are one setting; where it takes words, `alexnet` and `{name: alexnet}` are."""
    return same(as_setting(name, one), as_setting(name, other))


def as_setting(name: str, value: Any) -> Any:
    """A value of an axis as the setting has it: a name without arguments as the bare word."""
    if setting_steps(name) not in WORDS:
        return value
    return [bare(item) for item in value] if isinstance(value, list | tuple) else bare(value)


def axis_domain(given: Any) -> Domain:
    """An axis as the file writes it. Raises ValueError that says what is allowed."""
    if isinstance(given, Sequence) and not isinstance(given, str):
        return _choice(given)
    if isinstance(given, Mapping) and len(given) == 1:
        ((kind, bounds),) = given.items()
        if kind in ("uniform", "log_uniform", "int"):
            return _range(kind, bounds)
    raise ValueError(
        f"given {given!r}, allowed a list of values, {{uniform: [a, b]}}, {{log_uniform: [a, b]}} or {{int: [a, b]}}"
    )


def _choice(values: Sequence[Any]) -> Choice:
    if not values:
        raise ValueError("an empty list leaves nothing to try; give it at least one value")
    seen = set()
    for value in values:
        text = repr(written(value))
        if text in seen:
            raise ValueError(f"{value!r} is listed twice")
        seen.add(text)
    return Choice(tuple(values))


def written(value: Any) -> Any:
    """A value as all that are `same` would be written."""
    if isinstance(value, Mapping):
        return {name: written(value[name]) for name in sorted(value)}
    if isinstance(value, list | tuple):
        return [written(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _range(kind: str, bounds: Any) -> Domain:
    numbers = isinstance(bounds, Sequence) and len(bounds) == 2 and all(type(bound) in (int, float) for bound in bounds)
    if not numbers or not bounds[0] < bounds[1]:
        raise ValueError(f"given {kind}: {bounds!r}, allowed [a, b] with two numbers and a < b")
    low, high = bounds
    if kind == "int":
        if type(low) is not int or type(high) is not int:
            raise ValueError(f"given int: {bounds!r}, allowed two whole numbers")
        return Int(low, high)
    if max(abs(low), abs(high)) > sys.float_info.max:
        raise ValueError(f"given {kind}: {bounds!r}, allowed two finite numbers")
    if kind == "log_uniform" and low <= 0:
        raise ValueError(f"given log_uniform: {bounds!r}, allowed two numbers above 0")
    return Uniform(low, high, log=kind == "log_uniform")


def linked_axis(group: Mapping[str, Any]) -> Axis:
    """Axes that move together. Raises ValueError unless they are lists of one length."""
    if len(group) < 2:
        raise ValueError("linked axes are two or more, for instance {batch_size: [64, 128], lr: [0.01, 0.02]}")
    for name, values in group.items():
        if not isinstance(values, list) or not values:
            raise ValueError(f"{name} must be a list of values to be linked, given {values!r}")
    lengths = {name: len(values) for name, values in group.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            f"linked lists must be of one length, given {', '.join(f'{n}: {k}' for n, k in lengths.items())}"
        )
    return Axis(tuple(group), _choice(list(zip(*group.values(), strict=True))))


def setting_steps(name: str) -> tuple[str, ...]:
    """Where an axis name points, from the top of the file. A bare name means train.<name>, but `model` the whole model."""
    steps = tuple(name.split("."))
    return steps if len(steps) > 1 or steps == MODEL else ("train", name)


def with_setting(config: Mapping[str, Any], steps: Sequence[str], value: Any) -> dict[str, Any]:
    """A copy of nested mappings with one value set; sections on the way that are no mappings are replaced."""
    first, *rest = steps
    if not rest:
        return {**config, first: value}
    inner = config.get(first)
    return {**config, first: with_setting(inner if isinstance(inner, Mapping) else {}, rest, value)}
