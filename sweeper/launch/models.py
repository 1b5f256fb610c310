"""The models of a sweep, tried once before anything runs: what cannot take an image would fail in every one of its trials."""

from collections.abc import Mapping, Sequence
from typing import Any

from sweeper.causes import raised
from sweeper.data import prepare_at
from sweeper.launch.sweeping import Sweeping
from sweeper.models import build
from sweeper.system.apart import Call, directly
from sweeper.trial import canonical_json


class UnbuildableError(ValueError):
    """A model that cannot be built, or takes no image of the size there is."""


def check_models(sweeping: Sweeping, call: Call = directly) -> None:
    """Build each distinct model of a sweep. Raises UnbuildableError with the model's own words."""
    access = sweeping.experiment.data
    models = [
        (one.model.name, one.model.arguments, len(prepare_at(access, one.data).classes), one.data.input_size)
        for one in sweeping.models()
    ]
    call(build_all, models)


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
        except (Exception, SystemExit) as error:  # whatever a model raises is the user's to see, and nothing has begun
            told = canonical_json({"name": name, **arguments})
            raise UnbuildableError(f"model {told} {failing}: {raised(error)}") from error
