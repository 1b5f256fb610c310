"""A trial: one cell of the space with one seed, its identity and its state."""

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter

from sweeper.experiment import DATA_ACCESS, SCALARS, Experiment, Objective, Settings, to_plain
from sweeper.space.setting import as_setting, setting_steps, with_setting

KEY_DIGITS = 12
SHORT_NAME_LENGTH = 100
CODE, OBJECTIVE = "code", "objective"
BY_TOP1 = Objective()
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
_WHOLE_FLOATS = (".0,", ".0}", ".0]", "e+")  # how they end; a text that looks alike costs a second look


class UnknownTrialError(ValueError):
    """The beginning of a key that fits no trial, or more than one."""


class TrialState(StrEnum):
    """Where a trial stands; the last four have a `result.json`."""

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETE = "complete"
    PRUNED = "pruned"
    DIVERGED = "diverged"
    FAILED = "failed"

    @property
    def is_finished(self) -> bool:
        return self not in (TrialState.WAITING, TrialState.RUNNING)


class Answer(StrEnum):
    """What the driver says to an epoch's report."""

    GO_ON = "go on"
    PRUNE = "prune"
    HALT = "halt"  # the sweep is being stopped: save and come back later


@dataclass(frozen=True)
class Trial:
    """One cell with one seed.

    `cell` maps each axis, under the name it has in the experiment file, to this trial's value.
    `config` holds what determines the result: `data` (with its fingerprint), `model`, `train` and `seed`; the `code` of a
    network of the user's own; the `objective`, by which the best epoch is chosen, where it is not the default.
    """

    number: int
    cell: Mapping[str, Any]
    seed: int
    config: Mapping[str, Any]
    key: str
    name: str

    @classmethod
    def of(cls, number: int, cell: Mapping[str, Any], config: Mapping[str, Any]) -> "Trial":
        return cls(number, cell, config["seed"], config, trial_key(config), short_name(cell, config["seed"]))

    @property
    def settings(self) -> Settings:
        return settings_of(self.config)

    @property
    def fingerprint(self) -> str:
        """That of its data set's content when the trial was planned; empty where its config has none."""
        return str(self.config["data"].get("fingerprint", ""))

    def value(self, axis: str) -> Any:
        """What the trial has on an axis; from its settings where its cell does not name it, None where they do not either."""
        return as_setting(axis, self.cell[axis]) if axis in self.cell else value_at(self.config, axis)


def value_at(config: Mapping[str, Any], axis: str) -> Any:
    """What a config has on an axis, None where it knows nothing of it."""
    found: Any = config
    for step in setting_steps(axis):
        found = found.get(step) if isinstance(found, Mapping) else None
    return as_setting(axis, found)


def flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings by dotted path; an empty mapping is a leaf."""
    for name, item in value.items():
        if isinstance(item, Mapping) and item:
            yield from flat(item, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", item


_SETTINGS = TypeAdapter(Settings)


def settings_of(config: Mapping[str, Any]) -> Settings:
    """The validated settings in a trial's config."""
    data = {name: value for name, value in config["data"].items() if name != "fingerprint"}
    return _SETTINGS.validate_json(
        json.dumps({**{name: config[name] for name in Settings.__dataclass_fields__}, "data": data})
    )


def settings_for(experiment: Experiment, cell: Mapping[str, Any], seed: int) -> Settings:
    """The experiment's settings with a cell's values in their places."""
    plain = experiment.plain_settings
    for name, value in cell.items():
        plain = with_setting(plain, setting_steps(name), value)
    return _SETTINGS.validate_json(json.dumps({**plain, "seed": seed}))


def config_for(
    settings: Settings, fingerprint: str, code: str | None = None, objective: Objective = BY_TOP1
) -> dict[str, Any]:
    """A trial's config: its settings in canonical form, the data named by fingerprint instead of by place.

    `code` is the digest of the user's own network's, see `sweeper.models.code`.
    """
    plain = to_plain(settings)
    for name in DATA_ACCESS:
        del plain["data"][name]
    plain["data"]["fingerprint"] = fingerprint
    if code is not None:
        plain[CODE] = code
    if objective != BY_TOP1:
        plain[OBJECTIVE] = to_plain(objective)
    config: dict[str, Any] = _canonical(plain)
    return config


def trial_key(config: Mapping[str, Any]) -> str:
    """The first 12 hex digits of SHA-256 over the canonical JSON of a trial's config."""
    return hashlib.sha256(canonical_json(config).encode()).hexdigest()[:KEY_DIGITS]


def find_key(keys: Iterable[str], beginning: str, listing: str) -> str:
    """The one key that begins so, in either case. Raises UnknownTrialError with the nearest key, or with those that fit.

    `listing` is the command that lists the keys.
    """
    known = sorted(set(keys))
    found = [key for key in known if key.startswith(beginning.lower())] if beginning else []
    if len(found) == 1:
        return found[0]
    if found:
        some = ", ".join(found[:5]) + (" and more" if len(found) > 5 else "")
        raise UnknownTrialError(
            f"{len(found)} trials have keys that begin with {beginning!r} ({some}); give more of it"
        )
    near = difflib.get_close_matches(beginning.lower(), known, 1, cutoff=0.3)
    hint = f"did you mean {near[0]}?" if near else f"there are {len(known)}; `{listing}` lists them"
    raise UnknownTrialError(f"no trial has a key that begins with {beginning!r}; {hint}")


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, no spaces, and numbers that are equal written alike (1.0 as 1)."""
    text = _ENCODER.encode(value)
    may_hold = text.endswith(".0") or any(end in text for end in _WHOLE_FLOATS)
    return _ENCODER.encode(_canonical(value)) if may_hold else text


def _canonical(value: Any) -> Any:
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, SCALARS):
        return value
    if isinstance(value, Mapping):
        return {str(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    return value


def short_name(cell: Mapping[str, Any], seed: int) -> str:
    """A readable name of at most 100 characters, such as "lr=0.001 momentum=0.9 seed=0"; not an identity."""
    values = {path.removeprefix("train."): in_words(as_setting(path, value)) for path, value in cell.items()}
    parts = [re.sub(r"\s+", "_", f"{path}={value}") for path, value in values.items()]
    name = " ".join([*parts, f"seed={seed}"])
    return name if len(name) <= SHORT_NAME_LENGTH else name[: SHORT_NAME_LENGTH - 1] + "…"


def in_words(value: Any) -> str:
    """A setting on one line: `focal(gamma=2)` for a name with arguments."""
    if isinstance(value, Mapping) and isinstance(value.get("name"), str):
        arguments = [f"{name}={in_words(value[name])}" for name in sorted(value) if name != "name"]
        return f"{value['name']}({','.join(arguments)})" if arguments else value["name"]
    return value if isinstance(value, str) else f"{value:.6g}" if isinstance(value, float) else canonical_json(value)
