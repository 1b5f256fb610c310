"""Settings that must agree with each other, whichever cell of the space they come from."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sweeper.experiment import BEGIN_LOW, Data, Objective, Train, to_plain
from sweeper.reading.mistakes import Path, Source, shown
from sweeper.space import Space
from sweeper.space.domain import Axis, Cell
from sweeper.space.setting import as_setting, setting_steps, with_setting, written

Values = Mapping[str, Any]
SECTIONS: dict[str, Any] = {"data": Data, "train": Train, "objective": Objective}
SPLIT: dict[str, Any] = to_plain(Data.split)
PARTS = ("train", "val", "test")
LOOKED_AT_BY = {  # settings of `train` that only some schedules or optimisers look at
    "step_size": ("schedule", ("step",)),
    "gamma": ("schedule", ("step", "plateau")),
    "patience": ("schedule", ("plateau",)),
    "min_lr": ("schedule", ("plateau", "cosine", "cyclic")),
    "cycle_epochs": ("schedule", ("cyclic",)),
    "beta2": ("optimizer", ("adam", "adamw")),
}


class Rule(NamedTuple):
    """`told` says what is wrong with a cell's settings, or nothing.

    A rule that `forbids` is told for the first cell that breaks it. The others find what has no effect, which is a
    mistake only when it has none in any cell.
    """

    fields: tuple[str, ...]  # the first is where the mistake is
    told: Callable[["_Settings"], str | None]
    forbids: bool = True


def _crop(v: Values) -> str | None:
    crop, image = v["data.crop_size"], v["data.image_size"]
    return f"given {crop}, allowed at most data.image_size, {image}" if crop and crop > image else None


def _random_crop(v: Values) -> str | None:
    crop, augment = v["data.crop_size"], v["data.augment"]
    names = [word["name"] if isinstance(word, Mapping) else word for word in augment]
    if crop != v["data.image_size"] or "random_crop" not in names:
        return None
    return (
        f"given {crop}, all of the image: random_crop has one place to cut; leave it out, and the image is padded first"
    )


def _ten_crop(v: Values) -> str | None:
    if v["data.evaluation"] != "ten_crop" or (v["data.crop_size"] or v["data.image_size"]) < v["data.image_size"]:
        return None
    return "given ten_crop, but the crops are all the whole image; set `crop_size` below `image_size`"


def _shares(v: Values) -> dict[str, Any]:
    """The shares of a split; none where it is `official`."""
    split = v["data.split"]
    return {**SPLIT, **split} if isinstance(split, Mapping) else {}


def _split(v: Values) -> str | None:
    total = sum(share for share in (_shares(v).get(part) for part in PARTS) if isinstance(share, int | float))
    return f"the fractions add up to {total:g}; they divide the images, so at most 1" if total > 1 + 1e-9 else None


def _training(v: Values) -> str | None:
    if _shares(v).get("train") != 0:
        return None
    return "given 0, allowed more than 0: there would be nothing to train on"


def _validation(v: Values) -> str | None:
    metric = v["objective.metric"]
    if _shares(v).get("val") != 0 or not metric.startswith("val/"):
        return None
    return f"given 0, but the objective is {metric}: leave some images for validation"


def _momentum(v: Values) -> str | None:
    if not v["train.nesterov"] or v["train.optimizer"] != "sgd" or v["train.momentum"] > 0:
        return None
    return "given true, but Nesterov's step needs a momentum above 0"


def _nesterov(v: Values) -> str | None:
    other = v["train.optimizer"]
    return f"given true, but {other} has no Nesterov step; use sgd" if v["train.nesterov"] and other != "sgd" else None


def _stop_after(v: Values) -> str | None:
    if v["train.stop_after"] is None or v["train.schedule"] == "plateau":
        return None
    return f"given {v['train.stop_after']}, but `schedule: {v['train.schedule']}` has no cuts to count; use plateau"


def _warmup(v: Values) -> str | None:
    if not v["train.warmup_epochs"] or v["train.schedule"] not in BEGIN_LOW:
        return None
    return f"given {v['train.warmup_epochs']}, but {v['train.schedule']} begins low by itself; leave it out"


def _warmup_length(v: Values) -> str | None:
    warmup, epochs = v["train.warmup_epochs"], v["train.epochs"]
    return f"given {warmup}, allowed less than epochs, {epochs}" if warmup >= epochs else None


def _min_lr(v: Values) -> str | None:
    low, high = v["train.min_lr"], v["train.lr"]
    return f"given {low:g}, allowed at most lr, {high:g}" if low > high else None


def _class_weights(v: Values) -> str | None:
    weights, classes = v["train.class_weights"], v["data.classes"]
    if not isinstance(weights, list) or not isinstance(classes, list | tuple) or [*classes] == sorted(classes):
        return None
    return "given a list, which goes by the classes' names in order, and data.classes has another; give {class: weight}"


def _single_images(v: Values) -> str | None:
    if v["train.class_weights"] is None or v["train.batch_size"] > 1:
        return None
    return "has no effect with `batch_size: 1`, where the weighted mean of a batch is its image's loss"


def _looked_at(name: str) -> Rule:
    """An axis is looked at by the schedule or optimiser of some cell."""
    kind, users = LOOKED_AT_BY[name]

    def told(v: "_Settings") -> str | None:
        given = v[f"train.{kind}"]
        if f"train.{name}" not in v.on_axes or given in users:
            return None
        return (
            f"`{kind}: {given}` does not look at it, and its trials would be the same; it is for {' and '.join(users)}"
        )

    return Rule((f"train.{name}", f"train.{kind}"), told, forbids=False)


RULES = (
    Rule(("data.split",), _split),
    Rule(("data.split.train", "data.split"), _training),
    Rule(("data.split.val", "data.split", "objective.metric"), _validation),
    Rule(("data.crop_size", "data.image_size"), _crop),
    Rule(("data.crop_size", "data.image_size", "data.augment"), _random_crop, forbids=False),
    Rule(("data.evaluation", "data.crop_size", "data.image_size"), _ten_crop, forbids=False),
    Rule(("train.nesterov", "train.momentum", "train.optimizer"), _momentum),
    Rule(("train.nesterov", "train.optimizer"), _nesterov, forbids=False),
    Rule(("train.stop_after", "train.schedule"), _stop_after, forbids=False),
    Rule(("train.warmup_epochs", "train.schedule"), _warmup, forbids=False),
    Rule(("train.warmup_epochs", "train.epochs"), _warmup_length),
    Rule(("train.min_lr", "train.lr"), _min_lr),
    *map(_looked_at, LOOKED_AT_BY),
    Rule(("train.class_weights", "data.classes"), _class_weights),
    Rule(("train.class_weights", "train.batch_size"), _single_images, forbids=False),
)


def check_agreement(source: Source, axes: Sequence[Axis]) -> None:
    """Add the rules that cells of the space break; a rule about a setting that is wrong by itself is left out.

    A range has its two ends: what holds at both holds between them. Two axes of one setting were told already.
    """
    settings = [setting_steps(name) for axis in axes for name in axis.names]
    if len({*settings}) < len(settings):
        return
    include, exclude = (tuple(_mappings(source.at(("search", key)))) for key in ("include", "exclude"))
    space = Space(tuple(axes), include, exclude).with_ends()
    wrong = " ".join(mistake.path for mistake in source.mistakes)
    for rule in RULES:
        if any(re.search(rf"\b{re.escape(field.partition('.')[2])}\b", wrong) for field in rule.fields):
            continue
        cells = space.cells_over([name for name in space.names if _sets(name, rule.fields)])
        told = [(cell, rule.told(_Settings(source, cell))) for cell in cells]
        broken = [(cell, message) for cell, message in told if message]
        if broken and (rule.forbids or len(broken) == len(told)):
            cell, message = broken[0]
            source.add(_place(source, rule.fields[0]), f"{message}{_of(cell, rule.fields)}")
    _check_losses(source, space)


def _check_losses(source: Source, space: Space) -> None:
    """An objective that is a loss compares trials of one loss alone."""
    cells = space.cells_over([name for name in space.names if _sets(name, ("train.loss",))])
    losses = {repr(written(as_setting("loss", _Settings(source, cell)["train.loss"]))) for cell in cells}
    metric = _Settings(source, {})["objective.metric"]
    if metric in ("val/loss", "train/loss") and len(losses) > 1:
        told = f"given {metric}, and trials have {len(losses)} losses, whose values do not compare; take val/top1"
        source.add(("objective", "metric"), told)


def _mappings(given: Any) -> Iterator[Cell]:
    yield from (dict(part) for part in (given if isinstance(given, list) else ()) if isinstance(part, Mapping))


def _sets(name: str, fields: Collection[str]) -> bool:
    """Whether an axis sets one of these settings, or a part of it."""
    path = ".".join(setting_steps(name))
    return any(path == field or path.startswith(f"{field}.") for field in fields)


class _Settings(dict[str, Any]):
    """A cell's settings by dotted path, from the cell, the file or the defaults."""

    def __init__(self, source: Source, cell: Cell) -> None:
        super().__init__()
        self.values_given, self.on_axes = source.values, {".".join(setting_steps(name)) for name in cell}
        for name, value in cell.items():
            self.values_given = with_setting(self.values_given, setting_steps(name), value)

    def __missing__(self, path: str) -> Any:
        section, _, name = path.partition(".")
        found = self.values_given.get(section)
        given = found.get(name) if isinstance(found, Mapping) else None
        return to_plain(getattr(SECTIONS[section], name, None)) if given is None else given


def _place(source: Source, field: str) -> Path:
    path, space = tuple(field.split(".")), source.at(("search", "space"))
    if source.at(path) is None and isinstance(space, Mapping):
        for name in space:
            axis = ".".join(setting_steps(name))
            if f"{axis}.".startswith(f"{field}.") or f"{field}.".startswith(f"{axis}."):
                return ("search", "space", name)
    return path


def _of(cell: Cell, fields: Sequence[str]) -> str:
    """Which values of axes clash."""
    ours = [f"{name}: {shown(value)}" for name, value in cell.items() if _sets(name, fields)]
    return f" (in the cell {{{', '.join(ours)}}})" if ours else ""
