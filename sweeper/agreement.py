"""Settings that must agree with each other, whichever cell of the space they come from."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING
from typing import Any, NamedTuple

from sweeper.experiment import BEGIN_LOW, Data, Train
from sweeper.source import Path, Source, shown
from sweeper.space import Axis, Cell, Space, setting_steps

MAX_CELLS = 2000
Values = Mapping[str, Any]


class Rule(NamedTuple):
    """`told` says what is wrong with a cell's settings, or nothing.

    A rule that `forbids` is told for the first cell that breaks it. The others find what has no effect, which is a
    mistake only when it has none in any cell.
    """

    fields: tuple[str, ...]  # the first is where the mistake is
    told: Callable[[Values], str | None]
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


RULES = (
    Rule(("data.crop_size", "data.image_size"), _crop),
    Rule(("data.crop_size", "data.image_size", "data.augment"), _random_crop, forbids=False),
    Rule(("data.evaluation", "data.crop_size", "data.image_size"), _ten_crop, forbids=False),
    Rule(("train.nesterov", "train.momentum", "train.optimizer"), _momentum),
    Rule(("train.nesterov", "train.optimizer"), _nesterov, forbids=False),
    Rule(("train.stop_after", "train.schedule"), _stop_after, forbids=False),
    Rule(("train.warmup_epochs", "train.schedule"), _warmup, forbids=False),
    Rule(("train.warmup_epochs", "train.epochs"), _warmup_length),
    Rule(("train.min_lr", "train.lr"), _min_lr),
)


def check_agreement(source: Source, axes: Sequence[Axis]) -> None:
    """Add the rules that cells of the space break; a rule about a setting that is wrong by itself is left out."""
    cells = list(_cells(source, axes))
    wrong = " ".join(mistake.path for mistake in source.mistakes)
    for rule in RULES:
        if any(field.partition(".")[2] in wrong for field in rule.fields):
            continue
        told = [(cell, rule.told(_Settings(source, cell))) for cell in cells]
        broken = [(cell, message) for cell, message in told if message]
        if broken and (rule.forbids or len(broken) == len(cells)):
            cell, message = broken[0]
            source.add(_place(source, rule.fields[0]), f"{message}{_of(cell, rule.fields)}")


def _cells(source: Source, axes: Sequence[Axis]) -> Iterator[Cell]:
    """The cells over the axes, where a range has its two ends: what holds at both holds between them."""
    choices = tuple(axis.with_ends() for axis in axes)
    include, exclude = (tuple(_mappings(source.at(("search", key)))) for key in ("include", "exclude"))
    yield from itertools.islice(Space(choices, include, exclude).cells(), MAX_CELLS)


def _mappings(given: Any) -> Iterator[Cell]:
    yield from (dict(part) for part in (given if isinstance(given, list) else ()) if isinstance(part, Mapping))


class _Settings(dict[str, Any]):
    """A cell's settings by dotted path, from the cell, the file or the defaults."""

    def __init__(self, source: Source, cell: Cell) -> None:
        super().__init__({".".join(setting_steps(name)): value for name, value in cell.items()})
        self.source = source

    def __missing__(self, path: str) -> Any:
        section, _, name = path.partition(".")
        given = self.source.at((section, name))
        sections: dict[str, Any] = {"train": Train, "data": Data}
        fields = sections[section].__dataclass_fields__
        default = fields[name].default
        return default if given is None and default is not MISSING else given


def _place(source: Source, field: str) -> Path:
    section, name = field.split(".")
    if source.at((section, name)) is None:
        for axis in (name, field):
            if (path := ("search", "space", axis)) in source.places:
                return path
    return (section, name)


def _of(cell: Cell, fields: Sequence[str]) -> str:
    """Which values of axes clash."""
    ours = [f"{name}: {shown(value)}" for name, value in cell.items() if ".".join(setting_steps(name)) in fields]
    return f" (in the cell {{{', '.join(ours)}}})" if ours else ""
