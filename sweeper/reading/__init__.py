"""An experiment file as text -> `Experiment`, or every mistake in it at once."""

import json
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from sweeper.experiment import Experiment, Train, to_plain
from sweeper.reading.agreement import check_agreement
from sweeper.reading.axes import check_search
from sweeper.reading.checks import check, check_tracking
from sweeper.reading.complaints import adapter, experiment_schema, explain
from sweeper.reading.mistakes import ExperimentError, Path, Source
from sweeper.reading.source import read_source, set_value, write_source
from sweeper.space import Space
from sweeper.space.setting import setting_steps


def read_experiment(text: str, file: str, settings: Iterable[str] = ()) -> Experiment:
    """Parse an experiment file after applying `--set` settings.

    Raises ExperimentError with every mistake: line, dotted path, what was given, what is allowed, the nearest name.
    """
    return _read(text, file, settings, is_new=True)


def read_stored(text: str, file: str) -> Experiment:
    """The experiment that a sweep's folder keeps: rules on which settings agree, and on where metrics are sent,
    may have come since it began.

    Raises ExperimentError as `read_experiment`.
    """
    return _read(text, file, (), is_new=False)


def _read(text: str, file: str, settings: Iterable[str], is_new: bool) -> Experiment:
    source = read_source(text, file)
    if source.mistakes and not source.values:
        raise ExperimentError(source.mistakes)
    _spell_out(source)
    changed = [_set(source, setting) for setting in settings]
    experiment = _validated(source)
    check(source)
    axes = check_search(source)
    if is_new:
        check_tracking(source)
        check_agreement(source, axes)
    if experiment and not source.mistakes:
        _check_changed(source, filter(None, changed), experiment)
    if source.mistakes or experiment is None:
        raise ExperimentError(sorted(source.mistakes, key=lambda mistake: _order(mistake.place)))
    return experiment


def write_experiment(experiment: Experiment) -> str:
    """The resolved experiment as a file that reads back as the same."""
    return write_source(to_plain(experiment))


def schema() -> dict[str, Any]:
    """The JSON Schema of an experiment file, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **experiment_schema()}


def _set(source: Source, setting: str) -> Path | None:
    path = set_value(source, setting, Train.__dataclass_fields__)
    _spell_out(source)
    return path


def _spell_out(source: Source) -> None:
    """A bare word in the place of a name and arguments: `model: alexnet` means `model: {name: alexnet}`."""
    for section in ("model", "pruning"):
        if isinstance(word := source.values.get(section), str):
            source.values[section] = {"name": word}


def _check_changed(source: Source, changed: Iterable[Path], experiment: Experiment) -> None:
    """What `--set` changed must not be an axis, whose values are what is run."""
    axes: dict[Path, str] = {
        setting_steps(name): name for axis in Space.of(experiment.search).axes for name in axis.names
    }
    for path in changed:
        for depth in range(1, len(path) + 1):
            if name := axes.get(path[:depth]):
                what = "an axis" if depth == len(path) else f"part of `{name}`, an axis"
                place = f"space.{name}" if name in experiment.search.space else "linked"
                source.add(path, f"is {what} of the search; write --set 'search.{place}=[...]'")


def _validated(source: Source) -> Experiment | None:
    try:
        return adapter().validate_json(json.dumps(source.values))
    except ValidationError as error:
        for path, message in explain(error.errors(include_url=False), source.values):
            source.add(path, message)
        return None


def _order(place: str) -> tuple[str, int]:
    file, _, line = place.rpartition(":")
    return (file, int(line)) if line.isdigit() else (place, 0)
