"""Why trials in a sweep's folder are not of its file as it now is."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sweeper.experiment import Experiment, to_plain
from sweeper.launch.shipping import user_models
from sweeper.launch.sweeping import Fingerprints, Sweeping
from sweeper.models.code import code_of
from sweeper.reading.mistakes import shown
from sweeper.search import Search
from sweeper.space import Space
from sweeper.space.setting import setting_steps
from sweeper.store import Record
from sweeper.trial import BY_TOP1, CODE, OBJECTIVE, config_for, flat, settings_for

MOST = 4
NO_SUCH_CELL = "their cells or seeds are no longer asked for"


def told_others(sweeping: Sweeping, search: Search) -> str | None:
    """Which trials of the folder are left out, and why; None when there are none."""
    others = sweeping.others(search)
    if not others:
        return None
    why = reasons(others, sweeping.experiment, sweeping.fingerprints)
    return (
        f"{len(others)} trials in {sweeping.sweep.folder.url} are not of this file as it now is: {why}. "
        "They are kept, and left out of every table"
    )


def reasons(records: Sequence[Record], experiment: Experiment, fingerprints: Fingerprints) -> str:
    """What differs, and in how many of these trials when not in all: "train.epochs was 2, is 3"."""
    axes = {".".join(setting_steps(name)) for name in Space.of(experiment.search).names}
    now, own_models = _flat_config(_config(experiment, fingerprints)), user_models(experiment)
    counts = Counter(reason for record in records for reason in _of(record, now, axes, fingerprints, own_models))
    told = [reason + (f" ({count} of them)" if count < len(records) else "") for reason, count in counts.most_common()]
    return "; ".join(told[:MOST] + ([f"and {len(told) - MOST} more differences"] if len(told) > MOST else []))


def _config(experiment: Experiment, fingerprints: Fingerprints) -> Mapping[str, Any]:
    settings = settings_for(experiment, {}, experiment.search.seeds[0])
    return config_for(settings, fingerprints.known.get(settings.data, ""), None, experiment.objective)


def _of(
    record: Record, now: Mapping[str, Any], axes: set[str], fingerprints: Fingerprints, own_models: Sequence[str]
) -> list[str]:
    """What differs of one trial, apart from what the axes decide."""
    trial = record.trial
    own = axes | {".".join(setting_steps(name)) for name in trial.cell} | {"seed", "data.fingerprint", CODE}
    was = _flat_config(trial.config)
    found = [
        f"{path} was {shown(was.get(path))}, is {shown(now.get(path))}"
        for path in sorted({*was, *now})
        if was.get(path) != now.get(path) and not _is_within(path, own)
    ]
    fingerprint = fingerprints.known.get(trial.settings.data.taken_as(fingerprints.access))
    if fingerprint not in (None, was["data.fingerprint"]):
        found.append(f"the images of {was['data.name']} have changed")
    model = was["model.name"]
    if model in own_models and was.get(CODE) != code_of(model):
        found.append(f"the code of {model} has changed")
    return found or [NO_SUCH_CELL]


def _flat_config(config: Mapping[str, Any]) -> dict[str, Any]:
    return dict(flat({OBJECTIVE: to_plain(BY_TOP1), **config}))


def _is_within(path: str, own: set[str]) -> bool:
    return any(path == one or path.startswith(f"{one}.") for one in own)
