"""The checks of names that come with arguments: losses, augmentations; and of class weights."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args, get_origin

from sweeper.experiment import AUGMENTATIONS, FROM_SWEEP, INF
from sweeper.models import LOSSES
from sweeper.reading.mistakes import Path, Source, shown, unknown


class Limits(NamedTuple):
    """The least and the most that a number may be."""

    low: float = -INF
    high: float = INF


Allowed = Limits | tuple[str, ...]  # numbers, or words
LOSS_LIMITS = {"gamma": Limits(low=0), "smoothing": Limits(0, 1)}


def check_loss(source: Source, path: Path, loss: Any) -> None:
    """A loss, alone or with its arguments."""
    name, arguments = _parts(loss)
    if name is None:
        return
    if name not in LOSSES:
        source.add(path if isinstance(loss, str) else (*path, "name"), unknown(name, LOSSES, "loss"))
        return
    allowed: dict[str, Allowed] = {
        argument: get_args(kind) if get_origin(kind) is Literal else LOSS_LIMITS.get(argument, Limits())
        for argument, kind in LOSSES[name].arguments.items()
    }
    _check_arguments(source, path, name, arguments, allowed)


def check_augment(source: Source, path: Path, augment: Any) -> None:
    """A list of augmentations, each alone or with its arguments."""
    seen: set[str] = set()
    for index, word in enumerate(augment if isinstance(augment, list) else ()):
        name, arguments = _parts(word)
        if name is None:
            continue
        at = (*path, index)
        if name not in AUGMENTATIONS:
            source.add(at if isinstance(word, str) else (*at, "name"), unknown(name, AUGMENTATIONS, "augmentation"))
            continue
        allowed: dict[str, Allowed] = {
            argument: Limits(low, high) for argument, (_, low, high) in AUGMENTATIONS[name].items()
        }
        _check_arguments(source, at, name, arguments, allowed)
        if name in seen:
            source.add(at, f"{name} is listed twice; keep one")
        seen.add(name)


def check_class_weights(source: Source, path: Path, weights: Any) -> None:
    """Weights by class name are numbers; `from_sweep` names a sweep and stands alone."""
    if not isinstance(weights, Mapping):
        return
    if isinstance(weights.get(FROM_SWEEP), str):
        if len(weights) > 1:
            source.add(path, f"`{FROM_SWEEP}` gives every class its weight; leave the others out")
        if weights[FROM_SWEEP] == source.at(("name",)):
            source.add((*path, FROM_SWEEP), "names this sweep itself; its weights come from another")
        return
    for name, weight in weights.items():
        if isinstance(weight, str):
            source.add((*path, name), f"given {shown(weight)}, allowed a number above 0, or {{{FROM_SWEEP}: NAME}}")


def _parts(word: Any) -> tuple[str | None, Mapping[str, Any]]:
    if isinstance(word, Mapping) and isinstance(word.get("name"), str):
        return word["name"], {key: value for key, value in word.items() if key != "name"}
    return (word if isinstance(word, str) else None), {}


def _check_arguments(
    source: Source, path: Path, name: str, arguments: Mapping[str, Any], allowed: Mapping[str, Allowed]
) -> None:
    for argument, value in arguments.items():
        at = (*path, argument)
        if argument not in allowed:
            known = unknown(argument, allowed, f"argument of {name}")
            source.add(at, known if allowed else f"unknown argument `{argument}`; {name} takes none")
        else:
            _check_argument(source, at, value, allowed[argument])


def _check_argument(source: Source, path: Path, value: Any, allowed: Allowed) -> None:
    if not isinstance(allowed, Limits):
        if value not in allowed:
            source.add(path, unknown(value if isinstance(value, str) else shown(value), allowed, str(path[-1])))
    elif type(value) not in (int, float) or not allowed.low <= value <= allowed.high or value == INF:
        low, high = allowed
        limits = "a finite number" if low == -INF else f"{low:g} or more" if high == INF else f"{low:g} to {high:g}"
        source.add(path, f"given {shown(value)}, allowed {limits}")
