"""The values of an axis as a few named levels, for colours and legends."""

import json
from collections import Counter
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

MOST = 8
BINS = 6


class Levels(NamedTuple):
    """Names of the levels and each trial's level; `ordered` when they are numbers from low to high."""

    labels: tuple[str, ...]
    of_trial: tuple[int, ...]
    ordered: bool


def label(value: Any) -> str:
    """A setting's value for people: numbers short, lists with commas, `focal(gamma=2)`, missing as "not set"."""
    if isinstance(value, list | tuple | np.ndarray):
        return ", ".join(label(item) for item in value) or "none"
    if value is None or value is pd.NA or value != value:
        return "not set"
    if isinstance(value, dict) and isinstance(value.get("name"), str):
        arguments = [f"{name}={_argument(value[name])}" for name in sorted(value) if name != "name"]
        return f"{value['name']}({', '.join(arguments)})" if arguments else value["name"]
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _argument(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict | None) else label(value)


def varies(values: pd.Series) -> bool:
    distinct = values if values.dtype == object else values.unique()  # objects may be lists, which have no hash
    return len({label(value) for value in distinct.tolist()}) > 1


def holds_numbers(values: pd.Series) -> bool:
    """Whether a column's values are numbers, missing ones aside; true and false are none."""
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def axis_levels(values: pd.Series) -> Levels:
    """At most eight levels: the values themselves, else ranges of numbers with about as many trials in each, or the
    most frequent texts and "other"."""
    if holds_numbers(values) and values.notna().any():
        return _numbers(values.astype(float))
    names = [label(value) for value in values]
    common = [name for name, _ in Counter(names).most_common()]
    kept = sorted(common if len(common) <= MOST else common[: MOST - 1])
    labels = kept if len(common) <= MOST else [*kept, "other"]
    return Levels(tuple(labels), tuple(labels.index(name) if name in kept else len(kept) for name in names), False)


def seed_levels(seeds: pd.Series) -> Levels:
    """Each seed, however many there are: seeds are labels, though they are numbers."""
    distinct, codes = np.unique(seeds, return_inverse=True)
    return Levels(tuple(label(seed) for seed in distinct.tolist()), tuple(codes.tolist()), False)


def _numbers(values: pd.Series) -> Levels:
    distinct = np.sort(values.dropna().unique())
    if len(distinct) <= MOST:
        labels, codes = [label(value) for value in distinct.tolist()], np.searchsorted(distinct, values)
    else:
        edges = np.unique(np.quantile(values.dropna(), np.linspace(0, 1, BINS + 1)))
        codes = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
        labels = [f"{low:.3g} – {high:.3g}" for low, high in pairwise(edges)]
    if values.isna().any():
        codes, labels = np.where(values.isna(), len(labels), codes), [*labels, "not set"]
    return Levels(tuple(labels), tuple(codes.tolist()), True)
