"""The pictures of a trial's predictions: what they show, against pixels and numbers; and what happens when one fails."""

import io
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageColor
from trials import Told, begin, experiment

from sweeper.data import ClassName, Dataset
from sweeper.experiment import Split
from sweeper.store import Folder
from sweeper.training import pictures
from sweeper.training.confusion import CONFUSED, CORRECT
from sweeper.training.drawing import (
    CELL,
    COLUMNS,
    FONT,
    GAP,
    LINE,
    RIGHT,
    WRONG,
    Line,
    Tile,
    cut,
    font,
    readable,
    sheet,
)
from sweeper.training.examples import confident_mistakes, spread
from sweeper.training.metrics import Evaluation, calibration_error, evaluate_logits, reliability
from sweeper.trial import Answer

NAMES = ["predictions.png", "mistakes.png", "confusion.png", "calibration.png"]
ODD = ["<script>alert(1)</script>", "x" * 300, "🐟", "דג זהב", "naïve\nÜnder", "=HYPERLINK(1)", "", "\udc80", "a", "b"]


def made(classes: int, pixels: int = 8, names: list[str] | None = None, each: int = 4) -> pictures.Predictions:
    """Predictions, two in three right, of noise."""
    draw = np.random.default_rng(0)
    labels_N = np.arange(classes * each) % classes
    logits_NK = torch.from_numpy(draw.normal(size=(len(labels_N), classes))).float()
    logits_NK[range(len(labels_N)), labels_N] += torch.from_numpy(draw.choice([0, 4, 4], len(labels_N))).float()
    named = tuple(ClassName((names or [f"class {i}" for i in range(classes)])[i], f"n{i:08d}") for i in range(classes))
    images_NCHW = draw.integers(0, 256, (len(labels_N), 3, pixels, pixels), np.uint8)
    samples = [str(at) for at in range(len(labels_N))]
    dataset = Dataset(images_NCHW, labels_N, samples, named, len(labels_N), "f", Path())
    evaluation = evaluate_logits(logits_NK, torch.from_numpy(labels_N), torch.tensor(1.0))
    return pictures.Predictions("test", dataset, np.arange(len(labels_N)), evaluation)


def opened(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


def has(pixels_HW3: np.ndarray, colour: str) -> bool:
    return bool((pixels_HW3 == ImageColor.getrgb(colour)).all(-1).any())


# Which images


def test_images_are_of_every_class_in_turn() -> None:
    labels_N = np.array([2, 0, 0, 0, 1, 2, 0])
    assert spread(labels_N, 5).tolist() == [1, 2, 4, 0, 5]
    assert spread(labels_N, 100).tolist() == [1, 2, 3, 6, 4, 0, 5]


def test_of_many_classes_the_shown_are_far_apart() -> None:
    labels_N = np.repeat(np.arange(9), 3)
    assert labels_N[spread(labels_N, 3)].tolist() == [0, 4, 8]


def test_mistakes_are_the_most_confident_first() -> None:
    evaluation = Evaluation(
        0, 0, 0, 0, torch.zeros(2, 2), torch.tensor([0, 1, 1, 0, 1]), torch.tensor([0.9, 0.6, 0.8, 0.99, 0.6])
    )
    assert confident_mistakes(evaluation, np.array([1, 0, 0, 0, 0]), 3).tolist() == [0, 2, 1]


# What is drawn


@pytest.mark.parametrize(("truth", "colour", "other"), [(1, RIGHT, WRONG), (0, WRONG, RIGHT)])
def test_a_caption_is_green_when_right_and_red_when_wrong(truth: int, colour: str, other: str) -> None:
    one = made(2, each=1)
    evaluation = replace(one.evaluation, predictions_N=torch.tensor([1]), confidences_N=torch.tensor([0.75]))
    dataset = replace(one.dataset, labels_N=np.array([truth]))
    drawn = opened(pictures.predictions(replace(one, dataset=dataset, at_N=np.array([0]), evaluation=evaluation)))
    assert has(drawn, colour)
    assert not has(drawn, other)


def test_photographs_are_in_their_places_nearly_as_they_are() -> None:
    colours = [np.full((8, 8, 3), colour, np.uint8) for colour in [(200, 30, 30), (30, 160, 60), (40, 60, 220)]]
    drawn = opened(sheet("", [Tile(pixels_HW3, (Line("a"), Line("b"))) for pixels_HW3 in colours * 3]))
    step = CELL + GAP // 2 + 2 * LINE + GAP
    for at, pixels_HW3 in enumerate(colours * 3):
        left, top = GAP + at % COLUMNS * (CELL + GAP), 2 * GAP + LINE + at // COLUMNS * step
        cell = drawn[top : top + CELL, left : left + CELL].astype(int)
        assert np.abs(cell - pixels_HW3[0, 0]).max() <= 12


def test_a_cell_of_the_confusion_is_as_dark_as_the_root_of_its_share() -> None:
    one = made(2)
    evaluation = replace(one.evaluation, confusion_KK=torch.tensor([[3, 1], [0, 0]]))
    drawn = opened(pictures.confusion(replace(one, evaluation=evaluation)))
    for colour, share in ((CORRECT, 0.75), (CONFUSED, 0.25)):
        expected = [round(255 + share**0.5 * (part - 255)) for part in ImageColor.getrgb(colour)]
        assert (drawn == expected).all(-1).sum() > 500


def test_reliability_is_numpys_histogram_and_sums_to_the_calibration_error() -> None:
    draw = np.random.default_rng(1)
    confidences_N = draw.uniform(0.05, 1, 400).astype(np.float32)
    is_right_N = draw.random(400) < confidences_N**2
    bins = reliability(torch.from_numpy(confidences_N), torch.from_numpy(is_right_N))
    edges = np.linspace(0, 1, 16)
    at = np.digitize(confidences_N, edges, right=True) - 1
    count_B = np.bincount(at, minlength=15)
    assert bins.count_B.tolist() == count_B.tolist()
    filled = count_B > 0
    for ours_B, values_N in ((bins.confidence_B, confidences_N), (bins.accuracy_B, is_right_N)):
        theirs = [values_N[at == one].mean() for one in np.flatnonzero(filled)]
        np.testing.assert_allclose(ours_B.numpy()[filled], theirs, rtol=1e-6)
        assert np.isnan(ours_B.numpy()[~filled]).all()
    gap_B = np.abs(bins.accuracy_B.numpy() - bins.confidence_B.numpy())[filled]
    error = calibration_error(torch.from_numpy(confidences_N), torch.from_numpy(is_right_N))
    assert error == pytest.approx((count_B[filled] / 400 * gap_B).sum())


@pytest.mark.parametrize(("classes", "pixels"), [(1, 8), (10, 64), (10, 224), (200, 32)])
def test_every_picture_is_small(classes: int, pixels: int) -> None:
    for name, draw in pictures.PICTURES.items():
        content = draw(made(classes, pixels))
        assert len(content) < 150_000, name
        assert opened(content).std() > 0


def test_all_pictures_of_ten_classes_take_less_than_half_a_second() -> None:
    one = made(10, 64, each=50)
    start = time.process_time()
    for draw in pictures.PICTURES.values():
        draw(one)
    assert time.process_time() - start < 1  # 0.2 s on an idle core, with the noise that compresses worst 0.5 s


def test_the_same_predictions_make_the_same_bytes() -> None:
    for draw in pictures.PICTURES.values():
        assert draw(made(3)) == draw(made(3))


# Odd names


@pytest.mark.parametrize("draw", pictures.PICTURES.values(), ids=NAMES)
def test_odd_class_names_break_nothing(draw: object) -> None:
    assert callable(draw)
    assert opened(draw(made(10, names=ODD))).size


@pytest.mark.parametrize(
    ("text", "drawn"),
    [("goldfish 🐟", "goldfish"), ("naïve\n Ünder", "naive Under"), ("דג", ""), ("<b>&", "<b>&"), ("\udc80a", "a")],
)
def test_what_the_font_lacks_is_left_out(text: str, drawn: str) -> None:
    assert readable(text) == drawn


def test_a_class_that_cannot_be_written_has_its_id_or_its_number() -> None:
    assert pictures.drawn_name(ClassName("דג", "n01443537"), 3) == "n01443537"
    assert pictures.drawn_name(ClassName("דג", "דג"), 3) == "class 3"


@pytest.mark.parametrize("text", ["x" * 300, "W i d e " * 9, "short"])
def test_cut_text_fits_its_place(text: str) -> None:
    kept = cut(text, 80)
    assert font(FONT).getlength(kept) <= 81
    assert kept == text if text == "short" else kept.endswith("…")


# In a trial


def test_a_complete_trial_has_its_pictures_and_a_pruned_one_none(tmp_path: Path) -> None:
    begun = begin(tmp_path / "complete", experiment(epochs=1))
    begun.ended()
    assert begun.folder.pictures.names() == sorted(NAMES)
    pruned = begin(tmp_path / "pruned", experiment(epochs=2))
    pruned.ended(Told({1: Answer.PRUNE}))
    assert pruned.folder.pictures.names() == []


def test_without_test_images_the_pictures_are_of_validation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setitem(pictures.PICTURES, "mistakes.png", lambda of: (seen.append(of.part), b"")[1])
    begin(tmp_path, experiment({"split": Split(0.5, 0.5, 0.0)}, epochs=1)).ended()
    assert seen == ["validation"]


def test_what_cannot_be_drawn_is_noted_and_the_others_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(of: pictures.Predictions) -> bytes:
        raise ArithmeticError("no such colour")

    whole, begun = begin(tmp_path / "whole", experiment(epochs=1)), begin(tmp_path / "begun", experiment(epochs=1))
    with monkeypatch.context() as patch:
        patch.setitem(pictures.PICTURES, "confusion.png", broken)
        result = begun.ended()
    assert begun.folder.pictures.names() == sorted({*NAMES, "errors.txt"} - {"confusion.png"})
    told = begun.folder.pictures.read("errors.txt").decode()
    assert told.startswith("confusion.png:\n")
    assert "no such colour" in told
    assert result.summary == whole.ended().summary
    pictures.note_errors(Folder(begun.folder.pictures.url), {})
    assert not begun.folder.pictures.exists("errors.txt")


@pytest.mark.parametrize("name", ["plain", "a [1] *"])
def test_files_are_found_below_a_folder_whatever_its_name(tmp_path: Path, name: str) -> None:
    folder = Folder(str(tmp_path / name))
    folder.sub("one", "pictures").write("errors.txt", b"")
    folder.sub("two").write("errors.txt", b"")
    assert folder.glob("*/pictures/errors.txt") == [folder.sub("one", "pictures").at("errors.txt")]
