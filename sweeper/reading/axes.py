"""The checks of `search`: each axis names a setting, each value fits it, and the axes agree with each other."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sweeper.experiment import DATA_ACCESS, METHODS, Data, Named, Train
from sweeper.models import MODELS
from sweeper.reading import checks, words
from sweeper.reading.complaints import explain
from sweeper.reading.mistakes import Path, Source, shown, unknown
from sweeper.space import Space
from sweeper.space.domain import Axis, Choice, Int, Uniform, axis_domain, linked_axis
from sweeper.space.setting import MODEL, same_on, setting_steps, with_setting, written


def check_search(source: Source) -> list[Axis]:
    """Add every mistake of the `search` section that its types cannot show. Returns its axes."""
    axes = [*_single_axes(source), *_linked_axes(source)]
    names = [name for axis in axes for name in axis.names]
    _check_collisions(source, names)
    _check_cells(source, axes)
    _check_method(source, axes)
    seeds = source.at(("search", "seeds"))
    if isinstance(seeds, list) and len({shown(seed) for seed in seeds}) < len(seeds):
        source.add(("search", "seeds"), "a seed is listed twice; each replicate needs its own")
    return axes


def _single_axes(source: Source) -> list[Axis]:
    space = source.at(("search", "space"))
    axes = []
    for name, given in space.items() if isinstance(space, Mapping) else ():
        path = ("search", "space", name)
        try:
            axis = Axis((name,), axis_domain(given))
        except ValueError as error:
            source.add(path, str(error))
            continue
        axes.append(axis)
        if _check_name(source, path, name):
            for index, value in enumerate(_values(axis)):
                place = (*path, index) if isinstance(axis.domain, Choice) else path
                _check_value(source, place, name, value)
    return axes


def _values(axis: Axis) -> tuple[Any, ...]:
    match axis.domain:
        case Choice(values):
            return values
        case Uniform(low, high):
            return (float(low), float(high))
        case Int(low, high):
            return (low, high)


def _linked_axes(source: Source) -> list[Axis]:
    groups = source.at(("search", "linked"))
    axes = []
    for index, group in enumerate(groups if isinstance(groups, list) else ()):
        if not isinstance(group, Mapping):
            continue
        path = ("search", "linked", index)
        try:
            axes.append(linked_axis(group))
        except ValueError as error:
            source.add(path, str(error))
            continue
        for name, values in group.items():
            if _check_name(source, (*path, name), name):
                for place, value in enumerate(values):
                    _check_value(source, (*path, name, place), name, value)
    return axes


def _check_collisions(source: Source, names: list[str]) -> None:
    first: dict[tuple[str, ...], str] = {}
    for name in names:
        steps = setting_steps(name)
        if steps in first:
            source.add(("search",), f"two axes, `{first[steps]}` and `{name}`, set {'.'.join(steps)}; keep one")
        first.setdefault(steps, name)


def _check_cells(source: Source, axes: list[Axis]) -> None:
    domains = {name: (axis, place) for axis in axes for place, name in enumerate(axis.names)}
    included: set[str] = set()
    for index, cell in _cells(source, "include"):
        text = repr(written(cell))
        if text in included:
            source.add(("search", "include", index), f"{shown(cell)} is listed twice; keep one")
        included.add(text)
        for name, value in cell.items():
            path = ("search", "include", index, name)
            if _check_name(source, path, name):
                _check_value(source, path, name, value)
    for index, cell in _cells(source, "exclude"):
        if not cell:
            source.add(
                ("search", "exclude", index), "is empty, which would leave out every cell; give the values to leave out"
            )
        for name, value in cell.items():
            path = ("search", "exclude", index, name)
            if name in domains:
                _check_excluded(source, path, value, *domains[name])
            elif not any(name in group for group in _groups(source)):  # an axis with a mistake is told of already
                source.add(path, unknown(name, domains, "axis"))


def _cells(source: Source, key: str) -> list[tuple[int, Mapping[str, Any]]]:
    cells = source.at(("search", key))
    return [(i, cell) for i, cell in enumerate(cells if isinstance(cells, list) else ()) if isinstance(cell, Mapping)]


def _check_excluded(source: Source, path: Path, value: Any, axis: Axis, place: int) -> None:
    if not isinstance(axis.domain, Choice):
        source.add(path, f"{axis.label} is a range; only values of a list can be left out")
        return
    values = [v if len(axis.names) == 1 else v[place] for v in axis.domain.values]
    if not any(same_on(axis.names[place], value, known) for known in values):
        source.add(
            path, f"given {shown(value)}, which is no value of this axis; allowed {', '.join(map(shown, values))}"
        )


def _check_method(source: Source, axes: list[Axis]) -> None:
    """A grid runs every cell of its lists; the other methods try a number of cells of at least one axis."""
    method, trials = source.at(("search", "method")) or "grid", source.at(("search", "trials"))
    ranges = [axis for axis in axes if not isinstance(axis.domain, Choice)]
    if method == "grid":
        _check_grid(source, ranges, trials)
    elif method in METHODS:
        _check_sampler(source, method, ranges, trials)
    excluded = tuple(dict(part) for _, part in _cells(source, "exclude") if part)
    if excluded and not _cells(source, "include") and Space(tuple(axes), (), excluded).is_all_excluded():
        source.add(("search", "exclude"), "leaves out every cell; nothing would run")


def _check_grid(source: Source, ranges: list[Axis], trials: Any) -> None:
    if trials is not None:
        source.add(("search", "trials"), "a grid runs every cell; leave `trials` out, or choose another method")
    for axis in ranges:
        source.add(
            ("search", "space", axis.label), "is a range; a grid needs a list, or choose `method: tpe` or another"
        )


def _check_sampler(source: Source, method: str, ranges: list[Axis], trials: Any) -> None:
    if trials is None:
        source.add(("search",), f"`trials` is missing; {method} needs to know how many cells to try")
    if method == "cmaes" and len(ranges) < 2:
        source.add(
            ("search", "method"), "cmaes moves in two or more ranges (uniform, log_uniform, int); use tpe for lists"
        )
    if not source.at(("search", "space")) and not source.at(("search", "linked")):
        source.add(("search", "space"), f"is empty; {method} needs at least one axis")


def _check_name(source: Source, path: Path, name: str) -> bool:
    """Whether an axis name points to a setting that determines a result."""
    steps = setting_steps(name)
    if steps == MODEL:
        return True
    if steps[0] == "model" and len(steps) == 2:
        if _is_beside_whole_models(source, path):
            part = "" if steps[1] == "name" else f", {steps[1]}: ..."
            told = f"goes into the values of the axis `model`, which are whole models: {{name: ...{part}}}; leave `{name}` out"
            source.add(path, told)
            return False
        if any(map(checks.takes_any_argument, _model_names(source))):
            return True
    arguments = {argument for model in _model_names(source) if model in MODELS for argument in MODELS[model].arguments}
    known = {*Train.__dataclass_fields__, "model", "model.name", *(f"model.{argument}" for argument in arguments)}
    known |= {f"data.{field}" for field in Data.__dataclass_fields__ if field not in DATA_ACCESS}
    head = ".".join(steps[:2]).removeprefix("train.")
    if head in known and (len(steps) == 2 or steps[:2] == ("data", "split")):
        return True
    source.add(path, unknown(name, known, "axis"))
    return False


def _is_beside_whole_models(source: Source, path: Path) -> bool:
    """Whether the axes, or the cell that an axis's name is in, have whole models."""
    cell = source.at(path[:-1])
    return any("model" in group for group in (*_groups(source), cell))


def _groups(source: Source) -> list[Mapping[str, Any]]:
    """The mappings whose names are axes."""
    space, linked = source.at(("search", "space")), source.at(("search", "linked"))
    return [group for group in (space, *(linked if isinstance(linked, list) else ())) if isinstance(group, Mapping)]


def _model_names(source: Source) -> list[str]:
    """The model names that `model.name` and its arguments on axes are of."""
    axes = [group.get("model.name") for group in _groups(source)]
    names = next((axis for axis in axes if isinstance(axis, list)), [source.at(("model", "name"))])
    return [name for name in names if isinstance(name, str)]


def _check_value(source: Source, path: Path, name: str, value: Any) -> None:
    """One value of an axis against the setting that it will take the place of."""
    steps = setting_steps(name)
    if steps == MODEL:
        _check_whole_model(source, path, value)
    elif steps == ("model", "name"):
        _check_model_name(source, path, value)
    elif steps[0] == "model":
        for model in _model_names(source):
            if model in MODELS:
                checks.check_model_argument(source, path, model, steps[1], value)
    else:
        _check_typed(source, path, steps, value)


def _check_whole_model(source: Source, path: Path, value: Any) -> None:
    try:
        _MODEL.validate_json(json.dumps(value))
    except ValidationError as error:
        for at, message in explain(error.errors(include_url=False), value, path):
            source.add(at, message)
    checks.check_model(source, path, value)


def _check_model_name(source: Source, path: Path, value: Any) -> None:
    if isinstance(value, str):
        checks.check_model(source, path, value)
    else:
        source.add(path, f"given {shown(value)}, allowed a model's name; the axis `model` takes one with its arguments")


_MODEL: TypeAdapter[Any] = TypeAdapter(Named)
_SECTIONS: dict[str, TypeAdapter[Any]] = {"train": TypeAdapter(Train), "data": TypeAdapter(Data)}


_WORDS = {
    ("train", "loss"): words.check_loss,
    ("train", "class_weights"): words.check_class_weights,
    ("data", "augment"): words.check_augment,
}


def _check_typed(source: Source, path: Path, steps: tuple[str, ...], value: Any) -> None:
    section = with_setting({"name": "digits"} if steps[0] == "data" else {}, steps[1:], value)
    try:
        _SECTIONS[steps[0]].validate_json(json.dumps(section))
    except ValidationError as error:
        for _, message in explain(error.errors(include_url=False), section, path=steps[:1]):
            source.add(path, message)
    if steps in _WORDS:
        _WORDS[steps](source, path, value)
    if steps == ("data", "name") and isinstance(value, str):
        checks.check_dataset(source, path, value)
