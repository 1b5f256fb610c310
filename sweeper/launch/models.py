"""The models of a sweep, built once before anything runs: what cannot be built would fail in every one of its trials."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from sweeper.apart import Call, directly
from sweeper.data import prepare_at
from sweeper.experiment import Settings, to_plain
from sweeper.launch.sweeping import Sweeping
from sweeper.models import build
from sweeper.space import Space, setting_steps
from sweeper.trial import canonical_json

MAX_BUILT = 12


class UnbuildableError(ValueError):
    """A model that cannot be built."""


def check_models(sweeping: Sweeping, call: Call = directly) -> None:
    """Build each distinct model of the trials left, the first twelve. Raises UnbuildableError with the model's own words."""
    distinct: dict[tuple[str, int], Settings] = {}
    sections = {setting_steps(axis)[0] for axis in Space.of(sweeping.experiment.search).names}
    # A grid of 10,000 cells takes seconds to walk; where no axis changes the model or its images, one cell tells of all.
    for settings in islice(sweeping.settings_left(), None if sections & {"model", "data"} else 1):
        key = (canonical_json(to_plain(settings.model)), settings.data.input_size)
        distinct.setdefault(key, settings)
        if len(distinct) == MAX_BUILT:
            break
    access = sweeping.experiment.data
    models = [
        (one.model.name, one.model.arguments, len(prepare_at(access, one.data).classes), one.data.input_size)
        for one in distinct.values()
    ]
    call(build_all, models)


def build_all(models: Sequence[tuple[str, Mapping[str, Any], int, int]]) -> None:
    """Build models, each with its arguments for so many classes and images of that size."""
    for name, arguments, classes, size in models:
        try:
            build(name, arguments, classes, size)
        except Exception as error:  # whatever a model raises: here it is the user's to see, and nothing has begun
            told = canonical_json({"name": name, **arguments})
            raise UnbuildableError(f"model {told} cannot be built: {type(error).__name__}: {error}") from error
