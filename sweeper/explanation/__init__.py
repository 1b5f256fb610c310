"""What a trial's network says of images, which pixels that rests on, and what its weights look like.

Legend: N images, S pixels a side, K classes.
"""

import difflib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor, nn

from sweeper.best import best_record
from sweeper.data import Dataset, prepare_at
from sweeper.data.pictures import decode, reason
from sweeper.data.split import split
from sweeper.experiment import Objective
from sweeper.launch.shipping import user_models
from sweeper.models.classifier import Classifier
from sweeper.reading import read_stored
from sweeper.store import Folder, Record, Sweep
from sweeper.store.per_class import rows_of
from sweeper.training.classifier import load_classifier
from sweeper.training.drawing import INK, MUTED, RIGHT, WRONG, Line, readable
from sweeper.training.examples import Rows, spread
from sweeper.training.heat import saliency_sheet
from sweeper.training.kernels import deeper, kernels, weight_histograms
from sweeper.training.saliency import STEPS, Convolution, convolutions, saliencies

TOP, FEW, FEW_STEPS = 5, 4, 16


class ExplanationError(ValueError):
    """Why a trial's network cannot be explained, for the person who asked."""


@dataclass(frozen=True)
class Example:
    """An image of the data set's size, uint8 (3, S, S), where it is from, and its class where that is known."""

    source: str
    image_3SS: Tensor
    truth: str | None = None


@dataclass(frozen=True)
class Explained:
    """An example and the likeliest classes with their probabilities, the likeliest first."""

    example: Example
    likeliest: tuple[tuple[str, float], ...]
    target: int

    @property
    def is_right(self) -> bool | None:
        truth = self.example.truth
        return None if truth is None else self.likeliest[0][0] == truth


def draw_explanation(sweep: Sweep, key: str) -> None:
    """Draw saliency, kernels and histograms of a trial into its `artifacts/pictures`, unless they are there.

    Raises ExplanationError when its model was not kept, DataError when its images are not here.
    """
    folder = sweep.trial(key)
    if {"saliency.png", "histograms.png"}.issubset(folder.pictures.names()):
        return
    record = folder.record()
    if record is None:
        return
    classifier, artifacts = open_classifier(sweep, key), folder.left(record.result)
    examples = handful(sweep, record, FEW)
    found = convolutions(classifier, examples[0].image_3SS[None])
    draw_weights(classifier, found, artifacts, folder.pictures)
    folder.pictures.write("saliency.png", draw_saliency(classifier, explained(classifier, examples), FEW_STEPS))


def open_classifier(sweep: Sweep, key: str) -> Classifier:
    """A trial's network with its preprocessing. Raises ExplanationError when it was not kept, or cannot be rebuilt."""
    folder, experiment = sweep.trial(key), read_stored(sweep.experiment(), sweep.name)
    artifacts = folder.artifacts
    if not artifacts.exists("model.pt"):
        best = _explainable(sweep, experiment.objective)
        instead = f"Explain the best trial, {best}, or remove" if best else "Remove"
        raise ExplanationError(
            f"trial {key} has no model.pt: a complete trial keeps its model when artifacts.models is `all`, the best of all "
            f"that were run when it is `best`. {instead} {folder.url} and run the file again "
            "with `--set artifacts.models=all`, which trains this trial anew"
        )
    model, users_own = folder.read_trial().settings.model, user_models(experiment)
    try:
        return load_classifier(artifacts, model, users_own)
    except (ImportError, RuntimeError, TypeError) as error:  # what a user's module or callable raises
        raise ExplanationError(
            f"the network of trial {key} cannot be rebuilt ({type(error).__name__}: {error}); its code must be what it was "
            "when the trial ran, and found from here"
        ) from error


def _explainable(sweep: Sweep, objective: Objective) -> str | None:
    """The key of the best trial, when its model was kept."""
    best = best_record(sweep.records(), objective)
    return best.trial.key if best and sweep.trial(best.trial.key).artifacts.exists("model.pt") else None


def handful(sweep: Sweep, record: Record, count: int) -> list[Example]:
    """Images of the test set, else validation, else training: half told right, half the most confident mistakes."""
    trial, access = record.trial, read_stored(sweep.experiment(), sweep.name).data
    dataset = prepare_at(access, trial.settings.data)
    indices = split(dataset, trial.settings.data.split)
    part, at_N = next(
        (part, at_N)
        for part, at_N in (("test", indices.test_N), ("val", indices.val_N), ("train", indices.train_N))
        if len(at_N)
    )
    left, labels_N = sweep.trial(trial.key).left(record.result), np.asarray(dataset.labels_N[at_N])
    rows = _right_and_wrong(left, part, labels_N, count)
    return [_example_of(dataset, int(at)) for at in at_N[rows]]


def _right_and_wrong(artifacts: Folder, part: str, labels_N: Rows, count: int) -> Rows:
    """Rows of a part; without the trial's own predictions of it, images of every class."""
    if not artifacts.exists("predictions.parquet"):
        return spread(labels_N, count)
    table = pq.read_table(io.BytesIO(artifacts.read("predictions.parquet"))).to_pandas()
    table = table[table["split"] == part]
    if len(table) != len(labels_N):
        return spread(labels_N, count)
    is_right_N = (table["prediction"] == table["label"]).to_numpy()
    wrong, right = np.flatnonzero(~is_right_N), np.flatnonzero(is_right_N)
    by_confidence = wrong[np.argsort(-table["confidence"].to_numpy()[wrong], kind="stable")]
    half = max(count // 2, count - len(right))
    worst = by_confidence[:half]
    if not len(right):
        return worst
    return np.concatenate([right[spread(labels_N[right], count - len(worst))], worst])


def _example_of(dataset: Dataset, at: int) -> Example:
    image_3SS = torch.from_numpy(np.array(dataset.images_NCHW[at]))
    return Example(str(dataset.samples[at]), image_3SS, dataset.classes[int(dataset.labels_N[at])].name)


def folder_classes(classifier: Classifier, artifacts: Folder) -> dict[str, str]:
    """The class that a folder's name stands for: the class's own name, or its id (`n01443537`) in `per_class.csv`."""
    known = {name: name for name in classifier.classes}
    if not artifacts.exists("per_class.csv"):
        return known
    return {row["id"]: row["class"] for row in rows_of(artifacts.read("per_class.csv"))} | known


def read_examples(files: Sequence[Path], size: int, classes: Mapping[str, str]) -> list[Example]:
    """Image files, `size` pixels a side as the data set's were made; of the class in `classes` that a folder above names.

    Raises ExplanationError that names each file which is no image, or a decompression bomb.
    """
    examples, wrong = [], []
    for file in files:
        try:
            image_3SS = decode(file.read_bytes(), size)
        except Exception as error:
            wrong.append(f"{file} ({getattr(error, 'strerror', None) or reason(error)})")
        else:
            truth = next((classes[name] for name in file.absolute().parts[-2:0:-1] if name in classes), None)
            examples.append(Example(str(file), torch.from_numpy(np.array(image_3SS)), truth))
    if wrong:
        raise ExplanationError(
            f"cannot be read as images: {'; '.join(wrong)}. Give files that Pillow reads, as JPEG or PNG"
        )
    return examples


@torch.no_grad()
def explained(classifier: Classifier, examples: Sequence[Example]) -> list[Explained]:
    """The five likeliest classes of each example, by softmax."""
    probabilities_NK = classifier(torch.stack([example.image_3SS for example in examples])).softmax(1)
    likely_NT, classes_NT = probabilities_NK.topk(min(TOP, probabilities_NK.shape[1]))
    return [
        Explained(
            example,
            tuple((classifier.classes[at], likely) for at, likely in zip(classes, likelies, strict=True)),
            classes[0],
        )
        for example, classes, likelies in zip(examples, classes_NT.tolist(), likely_NT.tolist(), strict=True)
    ]


def draw_saliency(classifier: Classifier, answers: Sequence[Explained], steps: int = STEPS) -> bytes:
    """A PNG of a row an image: maps of what speaks for the likeliest class. Raises SaliencyError."""
    images_N3SS = torch.stack([answer.example.image_3SS for answer in answers])
    maps = saliencies(classifier, images_N3SS, torch.tensor([answer.target for answer in answers]), steps)
    return saliency_sheet(images_N3SS.permute(0, 2, 3, 1).numpy(), maps, [_lines(answer) for answer in answers])


def _lines(answer: Explained) -> list[Line]:
    """The class, and the likeliest ones: the first green when right and red when wrong."""
    truth = answer.example.truth
    first = {None: INK, True: RIGHT, False: WRONG}[answer.is_right]
    lines = [] if truth is None else [Line(readable(truth) or "?")]
    for at, (name, likely) in enumerate(answer.likeliest):
        lines.append(Line(readable(name) or "?", MUTED if at else first, f" {100 * likely:.0f} %"))
    return lines


def draw_weights(
    classifier: Classifier, found: Sequence[Convolution], artifacts: Folder, to: Folder, layer: str | None = None
) -> list[str]:
    """Write kernels of the first convolution and of a deeper one, or of `layer`, and histograms; returns their names."""
    network: nn.Module = classifier.network
    second = choose_layer(found, layer) if layer else deeper(list(found))
    pictures = {"kernels.png": found[0] if found else None, "kernels_deep.png": second}
    names = []
    for name, convolution in pictures.items():
        if convolution:
            to.write(name, kernels(convolution))
            names.append(name)
    to.write("histograms.png", weight_histograms(network, artifacts))
    return [*names, "histograms.png"]


def choose_layer(found: Sequence[Convolution], name: str) -> Convolution:
    """The convolution of that name. Raises ExplanationError that lists those there are."""
    known = {convolution.name: convolution for convolution in found}
    if name in known:
        return known[name]
    if not known:
        raise ExplanationError(f"no convolution {name!r}: this network has none")
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ExplanationError(f"no convolution {name!r}; {hint}They are: {', '.join(known)}")
