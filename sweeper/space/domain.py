"""An axis of a search and what it may be: a list of values, a range, or lists that move together."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from sweeper.space.setting import written

Cell = dict[str, Any]


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
