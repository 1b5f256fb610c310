"""What a trial shows of its predictions, in `artifacts/pictures`. Legend: N images, K classes."""

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from sweeper.data import ClassName, Dataset
from sweeper.store import Folder
from sweeper.text.redaction import redacted
from sweeper.training.artifacts import Evaluations
from sweeper.training.calibration import reliability_diagram
from sweeper.training.confusion import confusion_matrix
from sweeper.training.drawing import RIGHT, WRONG, Line, Tile, fitting_sheet, readable, sheet
from sweeper.training.examples import Rows, confident_mistakes, spread
from sweeper.training.metrics import Evaluation, reliability

ERRORS = "errors.txt"
PARTS = {"test": "test", "val": "validation"}


@dataclass(frozen=True)
class Predictions:
    """What a network made of one part of a data set: the images at `at_N`."""

    part: str
    dataset: Dataset
    at_N: NDArray[np.int64]
    evaluation: Evaluation

    @property
    def labels(self) -> NDArray[np.int64]:
        return np.asarray(self.dataset.labels_N[self.at_N])

    @property
    def pixels(self) -> int:
        return int(self.dataset.images_NCHW.shape[-1])

    @property
    def names(self) -> list[str]:
        return [drawn_name(name, label) for label, name in enumerate(self.dataset.classes)]


def write(folder: Folder, dataset: Dataset, evaluations: Evaluations) -> None:
    """Draw the predictions of the test images, else of validation, into a trial's folder of pictures.

    What cannot be drawn costs its trial nothing: `errors.txt` beside the others says why.
    """
    if not evaluations:
        return
    part, (indices_N, evaluation) = list(evaluations.items())[-1]
    made = Predictions(PARTS[part], dataset, indices_N.numpy(), evaluation)
    drawn, errors = {}, {}
    for name, draw in PICTURES.items():
        try:
            drawn[name] = draw(made)
        except Exception:  # whatever Pillow or a name makes of it: the numbers are right without the picture
            errors[name] = traceback.format_exc()
    folder.write_all(drawn)
    note_errors(folder, errors)


def note_errors(folder: Folder, errors: Mapping[str, str]) -> None:
    """Write the tracebacks of pictures that could not be drawn, by name; or remove what an earlier try left."""
    if errors:
        told = "\n".join(f"{name}:\n{error}" for name, error in errors.items())
        folder.write(ERRORS, redacted(told).encode(errors="replace"))
    else:
        folder.remove(ERRORS)


def drawn_name(name: ClassName, label: int) -> str:
    """A class's name as far as it can be drawn, else its id, else its number."""
    return readable(name.name) or readable(name.id) or f"class {label}"


def predictions(made: Predictions) -> bytes:
    """Some images of every class, the same for every trial: their class, and what was said with which confidence."""

    def draw(count: int) -> bytes:
        rows = spread(made.labels, count)
        title = f"{len(rows)} of the {len(made.at_N):,} {made.part} images: class, prediction and confidence"
        return sheet(f"{title}; green is right, red is wrong", _tiles(made, rows))

    return fitting_sheet(made.pixels, draw)


def mistakes(made: Predictions) -> bytes:
    """The most confident mistakes, the worst first."""
    wrong = int((made.evaluation.predictions_N.numpy() != made.labels).sum())
    if not wrong:
        return sheet(f"no mistakes among {len(made.at_N):,} {made.part} images", [])

    def draw(count: int) -> bytes:
        rows = confident_mistakes(made.evaluation, made.labels, count)
        title = f"the {len(rows)} most confident of {wrong:,} mistakes among {len(made.at_N):,} {made.part} images"
        return sheet(f"{title}: class, prediction and confidence", _tiles(made, rows))

    return fitting_sheet(made.pixels, draw)


def confusion(made: Predictions) -> bytes:
    """What the images of each class were taken for."""
    title = f"confusion of {len(made.at_N):,} {made.part} images; top-1 {100 * made.evaluation.top1:.1f} %"
    return confusion_matrix(title, made.names, made.evaluation.confusion_KK.numpy())


def calibration(made: Predictions) -> bytes:
    """Whether the confidence is the share of right answers."""
    evaluation = made.evaluation
    is_right_N = evaluation.predictions_N.numpy() == made.labels
    bins = reliability(evaluation.confidences_N.float(), torch.from_numpy(is_right_N))
    title = f"{len(made.at_N):,} {made.part} images; expected calibration error {100 * evaluation.ece:.1f} %"
    return reliability_diagram(title, bins)


def _tiles(made: Predictions, rows: Rows) -> list[Tile]:
    names, labels_N, evaluation = made.names, made.labels, made.evaluation
    tiles = []
    for row in rows.tolist():
        truth, said = int(labels_N[row]), int(evaluation.predictions_N[row])
        confidence = f" {100 * float(evaluation.confidences_N[row]):.0f} %"
        lines = (Line(names[truth]), Line(names[said], RIGHT if said == truth else WRONG, confidence))
        tiles.append(Tile(made.dataset.images_NCHW[made.at_N[row]].transpose(1, 2, 0), lines))
    return tiles


PICTURES: dict[str, Callable[[Predictions], bytes]] = {
    "predictions.png": predictions,
    "mistakes.png": mistakes,
    "confusion.png": confusion,
    "calibration.png": calibration,
}
