"""Class weights as numbers, one a class of a data set. Legend: K classes."""

from collections.abc import Mapping, Sequence

from sweeper.data import Dataset, UnfitSettingsError

Weights = Sequence[float] | Mapping[str, float | str]
NAMED_CLASSES = 10


def weights_of(weights: Weights, dataset: Dataset) -> list[float]:
    """One weight a class; a class that a mapping leaves out weighs 1.

    Raises UnfitSettingsError when they are not of this data set's classes.
    """
    return _by_name(weights, dataset) if isinstance(weights, Mapping) else _listed(weights, dataset)


def _by_name(weights: Mapping[str, float | str], dataset: Dataset) -> list[float]:
    """A class is found by its name or its id."""
    known = {text: index for index, one in enumerate(dataset.classes) for text in (one.id, one.name)}
    strange = [name for name in weights if name not in known]
    if strange:
        names = ", ".join(one.name for one in dataset.classes[:NAMED_CLASSES])
        raise UnfitSettingsError(
            f"train.class_weights names {', '.join(map(repr, strange[:5]))}, which is no class of these images; "
            f"they are {names}{', …' if len(dataset.classes) > NAMED_CLASSES else ''}"
        )
    found = {known[name]: float(weight) for name, weight in weights.items()}
    return [found.get(index, 1.0) for index in range(len(dataset.classes))]


def _listed(weights: Sequence[float], dataset: Dataset) -> list[float]:
    if len(weights) != len(dataset.classes):
        raise UnfitSettingsError(
            f"train.class_weights lists {len(weights)} weights, but these images have {len(dataset.classes)} classes; "
            "give one a class, in the order of the classes' names"
        )
    return [float(weight) for weight in weights]
