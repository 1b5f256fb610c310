"""Class weights of the training loss. Legend: N training images, K classes."""

from collections.abc import Mapping

import torch
from torch import Tensor

from sweeper.data import DataError, Dataset


def class_weights(weights: object, dataset: Dataset, labels_N: Tensor) -> Tensor | None:
    """`train.class_weights` as (K,) float32; None where every class weighs the same.

    `balanced` is N / (K n_k) for n_k images of class k; a class that a mapping leaves out weighs 1.
    Raises DataError when they are not of this data set's classes.
    """
    if weights is None:
        return None
    if weights == "balanced":
        counts_K = torch.bincount(labels_N.cpu(), minlength=len(dataset.classes))
        return len(labels_N) / (len(dataset.classes) * counts_K.clamp_min(1)).float()
    if isinstance(weights, Mapping):
        return torch.tensor(_by_name(weights, dataset))
    return torch.tensor(_listed(weights, dataset))


def _by_name(weights: Mapping[str, float], dataset: Dataset) -> list[float]:
    """A class is found by its name or its id."""
    known = {text: index for index, one in enumerate(dataset.classes) for text in (one.id, one.name)}
    strange = [name for name in weights if name not in known]
    if strange:
        names = ", ".join(one.name for one in dataset.classes[:10])
        raise DataError(
            f"train.class_weights names {', '.join(map(repr, strange[:5]))}, which is no class of these images; "
            f"they are {names}{', …' if len(dataset.classes) > 10 else ''}"
        )
    found = {known[name]: float(weight) for name, weight in weights.items()}
    return [found.get(index, 1.0) for index in range(len(dataset.classes))]


def _listed(weights: object, dataset: Dataset) -> list[float]:
    listed = [float(weight) for weight in weights] if isinstance(weights, tuple | list) else []
    if len(listed) != len(dataset.classes):
        raise DataError(
            f"train.class_weights lists {len(listed)} weights, but these images have {len(dataset.classes)} classes; "
            "give one a class, in the order of the classes' names"
        )
    return listed
