"""The space of a search: axes, and the cells of a grid over them."""

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sweeper.experiment import Search
from sweeper.space.domain import Axis, Cell, Choice, Int, Uniform, axis_domain, linked_axis
from sweeper.space.setting import same, same_on


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
