"""What a trial leaves behind besides its numbers: per-class tables, confusion, predictions, the best model.

Legend: N images, K classes.
"""

import csv
import io
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor

from sweeper.data import Dataset
from sweeper.experiment import Settings, to_plain
from sweeper.store import Folder
from sweeper.store.left import checksum
from sweeper.store.per_class import COLUMNS
from sweeper.training import checkpoint
from sweeper.training.metrics import Evaluation
from sweeper.training.normalisation import Normalisation
from sweeper.training.weights import Weights, on_cpu

Evaluations = Mapping[str, tuple[Tensor, Evaluation]]
"""By split ("val", "test"): the images' indices in the data set, and what the best epoch's weights made of them."""


def write(folder: Folder, dataset: Dataset, evaluations: Evaluations) -> dict[str, str]:
    """Write `per_class.csv`, `predictions.parquet` and `confusion.csv` (of the test images, else of validation).

    Returns the SHA-256 of each by its name.
    """
    if not evaluations:
        return {}
    last = list(evaluations.values())[-1][1]
    tables = {
        "per_class.csv": _csv(per_class_rows(dataset, evaluations)),
        "confusion.csv": _csv(confusion_rows(dataset, last)),
        "predictions.parquet": _parquet(predictions(dataset, evaluations)),
    }
    folder.write_all(tables)
    return {name: checksum(content) for name, content in tables.items()}


def per_class_rows(dataset: Dataset, evaluations: Evaluations) -> list[list[object]]:
    """A header, then one row a split and class; top1 is empty for a class without images."""
    rows: list[list[object]] = [[*COLUMNS]]
    for part, (_, evaluation) in evaluations.items():
        counts_K, hits_K = evaluation.confusion_KK.sum(1).tolist(), evaluation.confusion_KK.diagonal().tolist()
        for index, (name, images, correct) in enumerate(zip(dataset.classes, counts_K, hits_K, strict=True)):
            rows.append([part, index, name.name, name.id, images, correct, correct / images if images else ""])
    return rows


def confusion_rows(dataset: Dataset, evaluation: Evaluation) -> list[list[object]]:
    """A header of predicted classes, then one row of counts a true class."""
    names = [name.name for name in dataset.classes]
    counts = zip(names, evaluation.confusion_KK.tolist(), strict=True)
    return [["true\\predicted", *names], *([name, *row] for name, row in counts)]


def predictions(dataset: Dataset, evaluations: Evaluations) -> pa.Table:
    """One row an image: split, sample, label, prediction, confidence."""
    tables = []
    for part, (indices_N, evaluation) in evaluations.items():
        at = indices_N.tolist()
        columns = {
            "split": [part] * len(at),
            "sample": [str(dataset.samples[index]) for index in at],
            "label": dataset.labels_N[indices_N.numpy()],
            "prediction": evaluation.predictions_N.numpy(),
            "confidence": evaluation.confidences_N.float().numpy(),
        }
        tables.append(pa.table(columns))
    return pa.concat_tables(tables)


def write_model(
    folder: Folder,
    settings: Settings,
    dataset: Dataset,
    normalisation: Normalisation,
    weights: Weights,
) -> None:
    """Write `model.pt`: the best epoch's weights with all that is needed to rebuild the network and feed it images."""
    content = {
        "weights": on_cpu(weights),
        "model": to_plain(settings.model),
        "classes": [name.name for name in dataset.classes],
        "image_size": settings.data.image_size,
        "crop_size": settings.data.crop_size,
        "mean": list(normalisation.mean),
        "deviation": list(normalisation.deviation),
    }
    checkpoint.save(folder, "model.pt", content)


def _csv(rows: list[list[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()
