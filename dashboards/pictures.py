"""The pictures that trials left, as the page holds them: PNG files in base64, within a budget."""

import base64
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from sweeper.dashboards.ranking import best
from sweeper.dashboards.views import SweepTables, by_rank, trial_labels

BUDGET = 3_000_000
"""Bytes of PNG files in one page; base64 makes four of three."""
PNG = b"\x89PNG\r\n\x1a\n"


class Kind(NamedTuple):
    """What a picture of some name shows: a heading, a caption, and what to say to who cannot see it."""

    heading: str
    caption: str
    alt: str


KINDS = {
    "predictions": Kind(
        "Sample predictions",
        "The class of each image, and below it what the model took it for and how sure it was: green when right, red when wrong.",
        "Photographs with their class and the predicted class",
    ),
    "mistakes": Kind(
        "Most confident mistakes",
        "Images that the model got wrong, the surest first: their class, and in red what it took them for.",
        "Photographs that were classified wrongly",
    ),
    "saliency": Kind(
        "Saliency",
        "Beside each image, what the prediction rested on: the brighter, the more.",
        "Photographs beside maps of the pixels that the prediction rested on",
    ),
    "kernels": Kind("First-layer kernels", "The filters of the first convolution.", "Filters of the first convolution"),
    "kernels_deep": Kind("Deeper kernels", "Filters of a deeper convolution.", "Filters of a deeper convolution"),
    "calibration": Kind(
        "Calibration",
        "Accuracy of the images at each level of confidence; on the diagonal, confidence is the share of right answers.",
        "Accuracy against confidence",
    ),
    "confusion": Kind("Confusion", "Rows are the classes, columns what they were taken for.", "Confusion matrix"),
    "histograms": Kind("Weights", "How the weights of each layer are distributed.", "Histograms of weights by layer"),
}


class Picture(NamedTuple):
    """A PNG file for an `img` element; `width` and `height` in pixels."""

    heading: str
    caption: str
    alt: str
    width: int
    height: int
    png: str


class Album(NamedTuple):
    """The pictures of one trial, by its position in the ranking."""

    trial: int
    pictures: tuple[Picture, ...]


class Albums(NamedTuple):
    """The best trial's pictures first, then those of the others asked for; `left_out` has a sentence for each omission."""

    shown: tuple[Album, ...]
    left_out: tuple[str, ...]


def albums(tables: SweepTables, budget: int = BUDGET) -> Albums:
    """The pictures of a sweep whose PNG files have at most `budget` bytes together; the best trial's come first."""
    trials = by_rank(tables)
    winner = best(trials, tables.metric, tables.mode)
    positions = {key: position for position, key in enumerate(trials["key"]) if tables.pictures.get(key)}
    shown, left_out = [], list[str]()
    for key, position in sorted(positions.items(), key=lambda item: (item[1] != winner, item[1])):
        kept, too_much = [], []
        for name, content in _in_order(tables.pictures[key]):
            picture = _picture(name, content)
            if picture is None:
                left_out.append(f"{name} of trial {trials['number'][position]} is not a PNG file.")
            elif len(content) > budget:
                too_much.append(picture.heading.lower())
            else:
                budget -= len(content)
                kept.append(picture)
        shown += [Album(position, tuple(kept))] if kept else []
        left_out += [_too_much(int(trials["number"][position]), too_much)] if too_much else []
    return Albums(tuple(shown), tuple(left_out))


def _too_much(number: int, headings: Sequence[str]) -> str:
    return (
        f"{', '.join(headings).capitalize()} of trial {number}: left out to keep the page small; ask for fewer trials."
    )


def _in_order(pictures: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Those that are known in the order of `KINDS`, then the others by name."""
    names = sorted(pictures, key=lambda name: (list(KINDS).index(name) if name in KINDS else len(KINDS), name))
    return ((name, pictures[name]) for name in names)


def _picture(name: str, content: bytes) -> Picture | None:
    """None when the file is no PNG; its size is in the first chunk (PNG specification, 11.2.1)."""
    if not content.startswith(PNG) or len(content) < 24:
        return None
    heading = name.replace("_", " ")
    kind = KINDS.get(name, Kind(heading.capitalize(), "", heading))
    width, height = struct.unpack(">II", content[16:24])
    return Picture(*kind, width, height, base64.b64encode(content).decode())


def picture_data(found: Albums) -> list[dict[str, object]]:
    """What the script draws from."""
    return [
        {"trial": album.trial, "pictures": [picture._asdict() for picture in album.pictures]} for album in found.shown
    ]


def picture_labels(tables: SweepTables, found: Albums) -> list[str]:
    """What the picker calls each trial."""
    trials, labels = by_rank(tables), trial_labels(tables)
    winner = best(trials, tables.metric, tables.mode)
    return [
        f"{'best, ' if album.trial == winner else ''}trial {trials['number'][album.trial]}: {labels[album.trial]}"
        for album in found.shown
    ]
