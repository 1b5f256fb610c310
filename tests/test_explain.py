"""`sweeper explain --augment`: the picture that it draws, and what it says when it cannot."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import sweeper
from PIL import Image

from sweeper.data import ClassName, default_cache, prepare
from sweeper.data.split import split
from sweeper.experiment import Data
from sweeper.training.sheet import CAPTION, CELL, GAP, SheetError, augmented_sheet, write_sheet

DIGITS = (
    "name: demo\ndata: {name: digits, image_size: 16, augment: [horizontal_flip, cutmix]}\nmodel: {name: alexnet}\n"
)


def cell(sheet: Image.Image, row: int, column: int) -> np.ndarray:
    """One image of a sheet, at the size it was drawn from (16 px)."""
    left, top = GAP + column * (CELL + GAP), CAPTION + GAP + row * (CELL + GAP + CAPTION)
    return np.asarray(sheet)[top : top + CELL, left : left + CELL][CELL // 32 :: CELL // 16, CELL // 32 :: CELL // 16]


def test_the_command_draws_a_row_an_image_with_the_original_first(tmp_path: Path) -> None:
    file, picture = tmp_path / "demo.yaml", tmp_path / "made" / "sheet.png"
    file.write_text(DIGITS)
    done = sweeper("explain", file, "--augment", "-o", picture)
    assert done.stdout.strip() == str(picture)
    data = Data("digits", image_size=16)
    dataset = prepare(data, default_cache())
    train_N = split(dataset, data.split).train_N
    with Image.open(picture) as sheet:
        assert sheet.size == (GAP + 9 * (CELL + GAP), GAP + CAPTION + 8 * (CELL + GAP + CAPTION))
        for row, label in enumerate([0, 1, 3, 4, 5, 6, 8, 9]):
            first = train_N[dataset.labels_N[train_N] == label][0]
            assert np.array_equal(cell(sheet, row, 0), dataset.images_NCHW[first].transpose(1, 2, 0))


def test_flips_are_seen_as_flips() -> None:
    data = Data("digits", image_size=16, augment=("horizontal_flip",))
    dataset = prepare(data, default_cache())
    sheet = augmented_sheet(data, dataset, split(dataset, data.split), rows=3, draws=6)
    for row in range(3):
        original = cell(sheet, row, 0)
        kinds = {
            "same"
            if np.array_equal(drawn, original)
            else "flipped"
            if np.array_equal(drawn, original[:, ::-1])
            else "?"
            for drawn in (cell(sheet, row, column) for column in range(1, 7))
        }
        assert kinds <= {"same", "flipped"}


def test_fewer_classes_than_rows_show_several_images_of_each() -> None:
    data = Data("digits", image_size=16, classes=2, augment=())
    dataset = prepare(data, default_cache())
    sheet = augmented_sheet(data, dataset, split(dataset, data.split), rows=6, draws=1)
    assert len({cell(sheet, row, 0).tobytes() for row in range(6)}) == 6


def named_sheet(name: str) -> Image.Image:
    data = Data("digits", image_size=16, classes=2, augment=())
    dataset = prepare(data, default_cache())
    named = replace(dataset, classes=(ClassName(name, "n01"),) * 2)
    return augmented_sheet(data, named, split(dataset, data.split), rows=2, draws=1)


@pytest.mark.parametrize(("name", "drawn"), [("caf\u00e9", "cafe"), ("\u65e5\u672c", "n01")])
def test_a_class_is_written_as_far_as_the_font_can_draw_it_else_by_its_id(name: str, drawn: str) -> None:
    assert named_sheet(name).tobytes() == named_sheet(drawn).tobytes() != named_sheet("other").tobytes()


def test_a_name_that_is_wider_than_the_sheet_is_cut() -> None:
    assert (np.asarray(named_sheet("w" * 60))[:, -GAP:] == 255).all()


def test_what_cannot_be_drawn_is_told(tmp_path: Path) -> None:
    file = tmp_path / "demo.yaml"
    file.write_text(DIGITS)
    assert "--augment" in sweeper("explain", file, expect=2).stderr
    nowhere = sweeper("explain", "demo", "--augment", "--storage", tmp_path / "sweeps", expect=2)
    assert "there are no sweeps" in nowhere.stderr
    with pytest.raises(SheetError, match=r"sheet\.doc, allowed a name that ends in \.png"):
        write_sheet(Image.new("RGB", (1, 1)), tmp_path / "sheet.doc")
