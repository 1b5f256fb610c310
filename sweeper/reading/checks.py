"""What an experiment file must satisfy beyond its types: names that exist, arguments that fit. Axes: `sweeper.reading.axes`.

Every check works on the file's plain values and skips what is missing or of a wrong type, which was reported before.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from sweeper.experiment import DATASET_NAMES, INF, PRUNER_LIMITS, PRUNERS, REQUIRED_BY_PRUNER
from sweeper.models import CALLABLE, LIMITS, MODELS, from_torchvision
from sweeper.reading.address import wrong_address
from sweeper.reading.mistakes import Path, Source, shown, unknown
from sweeper.reading.words import check_augment, check_class_weights, check_loss


def check(source: Source) -> None:
    """Add every mistake that the types of the file cannot show."""
    _check_name(source)
    _check_data(source)
    check_model(source, ("model",), source.at(("model",)))
    check_loss(source, ("train", "loss"), source.at(("train", "loss")))
    check_class_weights(source, ("train", "class_weights"), source.at(("train", "class_weights")))
    _check_pruner(source, ("pruning",), source.at(("pruning",)))
    _check_objective(source)
    _check_resources(source)


def _check_name(source: Source) -> None:
    name = source.at(("name",))
    if isinstance(name, str) and name.lower().startswith(("mlflow.db", "mlflow-artifacts")):
        source.add(("name",), f"given {shown(name)}, which MLflow's own files have in the storage; choose another")


def _check_data(source: Source) -> None:
    name = source.at(("data", "name"))
    if isinstance(name, str):
        check_dataset(source, ("data", "name"), name)
        if name == "folder" and source.at(("data", "root")) is None:
            source.add(("data", "root"), "is missing; `folder` needs the folder that holds one sub-folder a class")
    root = source.at(("data", "root"))
    if isinstance(root, str) and "://" in root:
        source.add(("data", "root"), f"given {shown(root)}, allowed a path: images are read where they can be mapped")
    check_augment(source, ("data", "augment"), source.at(("data", "augment")))


def check_tracking(source: Source) -> None:
    uri = source.at(("tracking", "uri"))
    if isinstance(uri, str) and (told := wrong_address(uri)):
        source.add(("tracking", "uri"), told)


def check_dataset(source: Source, path: Path, name: str) -> None:
    if name not in DATASET_NAMES and not (name.isidentifier() and name[0].isupper()):
        message = unknown(name, DATASET_NAMES, "data set")
        source.add(path, f"{message}, or a torchvision data set by its class name, such as CIFAR10")


def check_model(source: Source, path: Path, model: Any) -> None:
    """A model's name, alone or with its arguments."""
    at = path if isinstance(model, str) else (*path, "name")
    model = {"name": model} if isinstance(model, str) else model
    if not isinstance(model, Mapping) or not isinstance(model.get("name"), str):
        return
    name = model["name"]
    for argument, value in model.items():
        if not _is_finite(value):
            source.add((*path, argument), f"given {shown(value)}, allowed finite numbers")
    if ":" in name:
        if not re.fullmatch(CALLABLE, name):
            source.add(at, f'given {shown(name)}, allowed a model\'s name or "package.module:callable"')
        return
    if name.startswith(from_torchvision.PREFIX):
        if wrong := from_torchvision.what_is_wrong(name.removeprefix(from_torchvision.PREFIX)):
            source.add(at, wrong)
        return
    if name not in MODELS:
        others = f'{from_torchvision.PREFIX}<name> or "package.module:callable"'
        source.add(at, f"{unknown(name, MODELS, 'model')}, {others}")
        return
    for argument, value in model.items():
        if argument != "name" and _is_finite(value):
            check_model_argument(source, (*path, argument), name, argument, value)


def takes_any_argument(model: str) -> bool:
    """Whether a model's arguments are known only to its constructor: one of the user's own, or torchvision's."""
    return ":" in model or model.startswith(from_torchvision.PREFIX)


def check_model_argument(source: Source, path: Path, model: str, argument: str, value: Any) -> None:
    known = MODELS[model].arguments
    if argument not in known:
        has_trained = argument == "weights" and model in from_torchvision.CLASSIFIERS
        hint = f"; {from_torchvision.PREFIX}{model} takes trained weights" if has_trained else ""
        source.add(path, unknown(argument, known, f"argument of {model}") + hint)
    elif get_origin(known[argument]) is Literal:
        choices = get_args(known[argument])
        if value not in choices:
            source.add(path, unknown(value if isinstance(value, str) else shown(value), choices, argument))
    elif not _is_a(value, known[argument]):
        source.add(path, f"given {shown(value)}, allowed {_TYPE_NAMES[known[argument]]}")
    elif argument in LIMITS:
        low, high = LIMITS[argument]
        if not low <= value <= (INF if high is None else high):
            source.add(path, f"given {shown(value)}, allowed {low}{' or more' if high is None else f' to {high}'}")


_TYPE_NAMES: dict[type, str] = {
    bool: "true or false", int: "a whole number", float: "a number", str: "text", dict: "a mapping", type(None): "null",
}  # fmt: skip


def _is_finite(value: Any) -> bool:
    """Whether each number in a value can be written as JSON, and so be part of a trial's key."""
    if isinstance(value, Mapping | list):
        return all(map(_is_finite, value.values() if isinstance(value, Mapping) else value))
    return not isinstance(value, float) or math.isfinite(value)


def _is_a(value: Any, kind: type) -> bool:
    return type(value) is kind or (kind is float and type(value) is int)


def _check_pruner(source: Source, path: Path, pruner: Any) -> None:
    """A pruner's name and arguments, and those of a pruner inside it."""
    if not isinstance(pruner, Mapping) or not isinstance(pruner.get("name"), str):
        if path != ("pruning",) and pruner is not None:  # pydantic sees the outer one alone
            source.add(path, f"given {shown(pruner)}, allowed a pruner: {{name: ..., and its arguments}}")
        return
    name = pruner["name"]
    if name not in PRUNERS:
        source.add((*path, "name"), unknown(name, PRUNERS, "pruner"))
        return
    for argument, value in pruner.items():
        if argument != "name":
            _check_pruner_argument(source, (*path, argument), name, value)
    for argument in REQUIRED_BY_PRUNER.get(name, ()):
        if argument not in pruner:
            source.add(path, f"`{argument}` is missing; {name} needs it")
    if name == "threshold":
        _check_threshold(source, path, pruner.get("lower"), pruner.get("upper"))


def _check_pruner_argument(source: Source, path: Path, pruner: str, value: Any) -> None:
    argument = str(path[-1])
    kinds = PRUNERS[pruner].get(argument)
    if kinds is None:
        source.add(path, unknown(argument, PRUNERS[pruner], f"argument of {pruner}"))
    elif not any(type(value) is kind for kind in kinds):
        source.add(path, f"given {shown(value)}, allowed {' or '.join(_TYPE_NAMES[kind] for kind in kinds)}")
    elif argument == "wrapped_pruner":
        _check_pruner(source, path, value)
    elif isinstance(value, str):
        if value != "auto":
            source.add(path, f"given {shown(value)}, allowed a whole number or auto")
    else:
        low, high = PRUNER_LIMITS.get(argument, (-INF, INF))
        if not (low <= value <= high and math.isfinite(value)):
            limits = f"{low:g} or more" if high == INF else f"{low:g} to {high:g}"
            source.add(path, f"given {shown(value)}, allowed {'a finite number' if low == -INF else limits}")


def _check_threshold(source: Source, path: Path, lower: Any, upper: Any) -> None:
    if lower is None and upper is None:
        source.add(path, "`lower` or `upper` is missing; threshold needs at least one of them")
    elif all(type(bound) in (int, float) for bound in (lower, upper)) and lower > upper:
        source.add(path, f"`lower` ({lower:g}) is above `upper` ({upper:g}); every trial would be pruned")


def _check_objective(source: Source) -> None:
    metric = source.at(("objective", "metric")) or "val/top1"
    mode = source.at(("objective", "mode")) or "max"
    best = {"loss": "min", "ece": "min", "top1": "max", "top5": "max"}.get(str(metric).rpartition("/")[2], mode)
    if best != mode and mode in ("min", "max"):
        source.add(
            ("objective",),
            f"{metric} is better the {'smaller' if best == 'min' else 'larger'} it is; set `mode: {best}`",
        )


def _check_resources(source: Source) -> None:
    gpus = source.at(("resources", "gpus_per_trial"))
    if isinstance(gpus, float) and gpus > 1 and not gpus.is_integer():
        source.add(
            ("resources", "gpus_per_trial"), f"given {gpus}, allowed a fraction of one GPU or a whole number of them"
        )
