"""Which image each trial took for which class, compact enough for a page to hold the answers of a thousand trials.

Legend: N images, K classes.
"""

import base64
import hashlib
from typing import NamedTuple

import numpy as np
import pandas as pd

from sweeper.dashboards.cells import cell_numbers
from sweeper.dashboards.views import MOST_TRIALS, SweepTables, by_rank

CHARACTERS = 6_000_000
"""Characters of predictions that a page holds at most."""


class Images(NamedTuple):
    """Trials that were tested on the same images: only they can be compared image by image.

    `labels` and each of `predicted` are N classes as base64 of little-endian unsigned integers of `width` bytes;
    `names` and `ids` label the K classes. `trials` are positions by rank, `left_out` those of the trials for whose
    answers there is no room. `pair` are the places in `trials` of the best one and the runner-up of another cell.
    """

    split: str
    names: list[str]
    ids: list[str]
    width: int
    labels: str
    trials: list[int]
    predicted: list[str]
    left_out: list[int]
    pair: tuple[int, int] | None


class _Answers(NamedTuple):
    """One trial's answers on its test images, or on its validation images where it has no others."""

    split: str
    samples: str
    labels_N: np.ndarray
    predicted_N: np.ndarray


def image_sets(tables: SweepTables, budget: int) -> tuple[Images, ...]:
    """The sets of images that trials were tested on, that of the best trial first; at most `budget` characters.

    The best-ranked trials are kept, MOST_TRIALS at most: the others are not even read, and count as left out of the first
    set. Trials are in one set when their images, labels and classes are the same.
    """
    trials = by_rank(tables)
    read, cells = trials["key"].head(MOST_TRIALS), cell_numbers(trials, tables.axes)
    classes = _classes(tables.per_class[tables.per_class["key"].isin(read)])
    sets: dict[tuple[object, ...], Images] = {}
    for position, key in enumerate(read):
        answers = _answers(tables.predictions.get(key))
        if answers is None:
            continue
        names, ids = _padded(classes.get(key, []), answers)
        same = (answers.split, answers.samples, answers.labels_N.tobytes(), tuple(names), tuple(ids))
        images = sets.get(same) or _empty(answers, names, ids)
        text = _packed(answers.predicted_N, images.width)
        budget -= len(text) + (0 if same in sets else len(images.labels))
        sets[same] = _with(images, position, text if budget >= 0 else None)
    if sets:
        first = next(iter(sets))
        unread = range(MOST_TRIALS, len(trials))
        sets[first] = sets[first]._replace(left_out=[*sets[first].left_out, *unread])
    return tuple(images._replace(pair=_pair(cells[images.trials].tolist())) for images in sets.values())


def _answers(frame: pd.DataFrame | None) -> _Answers | None:
    if frame is None or frame.empty:
        return None
    splits = frame["split"].to_numpy()
    split = "test" if (splits == "test").any() else "val"
    at = splits == split
    names = map(str, frame["sample"].to_numpy()[at].tolist())
    samples = hashlib.sha256("\0".join(names).encode(errors="backslashreplace"))
    labels_N, predicted_N = (frame[name].to_numpy("int64")[at] for name in ("label", "prediction"))
    return _Answers(split, samples.hexdigest(), labels_N, predicted_N)


def _classes(per_class: pd.DataFrame) -> dict[str, list[tuple[str, str]]]:
    """Names and ids of each trial's classes, by index; trials of one data set share one list."""
    rows = per_class.drop_duplicates(["key", "class_index"]).sort_values(["key", "class_index"], kind="stable")
    return {
        str(key): list(zip(part["class"], part["id"], strict=True)) for key, part in rows.groupby("key", sort=False)
    }


def _padded(classes: list[tuple[str, str]], answers: _Answers) -> tuple[list[str], list[str]]:
    """Names and ids for every class that occurs: its index where the tables do not name it."""
    highest = max((int(part.max()) for part in (answers.labels_N, answers.predicted_N) if len(part)), default=-1)
    more = [str(index) for index in range(len(classes), highest + 1)]
    return [*(name for name, _ in classes), *more], [*(id for _, id in classes), *more]


def _empty(answers: _Answers, names: list[str], ids: list[str]) -> Images:
    width = 1 if len(names) <= 256 else 2
    return Images(answers.split, names, ids, width, _packed(answers.labels_N, width), [], [], [], None)


def _with(images: Images, position: int, predicted: str | None) -> Images:
    if predicted is None:
        return images._replace(left_out=[*images.left_out, position])
    return images._replace(trials=[*images.trials, position], predicted=[*images.predicted, predicted])


def _packed(classes_N: np.ndarray, width: int) -> str:
    return base64.b64encode(classes_N.astype(f"<u{width}").tobytes()).decode()


def _pair(cells: list[int]) -> tuple[int, int] | None:
    if len(cells) < 2:
        return None
    return 0, next((place for place, cell in enumerate(cells) if cell != cells[0]), 1)
