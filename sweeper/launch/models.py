"""The models of a sweep, tried once before anything runs: what cannot take an image would fail in every one of its trials."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from sweeper.apart import Call, directly
from sweeper.data import prepare_at
from sweeper.experiment import CHOOSING_IMAGES, Settings, to_plain
from sweeper.launch.sweeping import Sweeping
from sweeper.models import build
from sweeper.space import Space, setting_steps
from sweeper.trial import canonical_json

MAX_BUILT = 12


class UnbuildableError(ValueError):
    """A model that cannot be built, or takes no image of the size there is."""


def check_models(sweeping: Sweeping, call: Call = directly) -> None:
    """Build each distinct model of the trials left, or of those that a sampler may draw, the first twelve.

    Raises UnbuildableError with the model's own words.
    """
    distinct: dict[tuple[str, int], Settings] = {}
    # A grid of 10,000 cells takes seconds to walk; where no axis changes the model or its images, one cell tells of all.
    is_one = not any(map(_changes_model, Space.of(sweeping.experiment.search).names))
    for settings in islice(sweeping.shapes(_changes_model), 1 if is_one else None):
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


def _changes_model(axis: str) -> bool:
    """Whether an axis changes the model, or how many classes and pixels it is built for."""
    steps = setting_steps(axis)
    return steps[0] == "model" or steps in (*CHOOSING_IMAGES, ("data", "image_size"), ("data", "crop_size"))


def build_all(models: Sequence[tuple[str, Mapping[str, Any], int, int]]) -> None:
    """Build models, each with its arguments for so many classes and images of that size, and show them blank ones."""
    import torch

    for name, arguments, classes, size in models:
        failing = "cannot be built"
        try:
            network = build(name, arguments, classes, size).eval()
            failing = f"takes no images of {size} px"
            with torch.no_grad():
                network(torch.zeros(2, 3, size, size))
        except Exception as error:  # whatever a model raises: here it is the user's to see, and nothing has begun
            told = canonical_json({"name": name, **arguments})
            raise UnbuildableError(f"model {told} {failing}: {type(error).__name__}: {error}") from error
