"""A setting that an axis sweeps: where its name points, and which of its values are the same."""

from collections.abc import Mapping, Sequence
from typing import Any

from sweeper.experiment import bare

MODEL = ("model",)
WORDS = (MODEL, ("train", "loss"), ("data", "augment"))
"""Settings whose values are names, alone or with arguments."""


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


def written(value: Any) -> Any:
    """A value as all that are `same` would be written."""
    if isinstance(value, Mapping):
        return {name: written(value[name]) for name in sorted(value)}
    if isinstance(value, list | tuple):
        return [written(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
