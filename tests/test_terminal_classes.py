"""Classes in the terminal, against counts worked out here and scipy's intervals."""

import io
from typing import Any

import pytest
from folders import SPACE, write_sweep
from hostile import CLASSES
from rich.cells import cell_len
from scipy.stats import binomtest

from sweeper import results
from sweeper.dashboards.terminal_classes import fitting, print_classes, wilson
from sweeper.store import Sweep
from sweeper.text.terminal import Terminal

AXES = tuple(SPACE)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    return write_sweep(str(tmp_path_factory.mktemp("sweeps")), seeds=(0, 1))


def printed(sweep: Sweep, width: int, top: int | None = None, **options: Any) -> list[str]:
    console = Terminal(width=width, file=io.StringIO(), **options)
    records = sweep.records()
    trials, per_class = results.trials_table(records, AXES), results.per_class_table(sweep, records)
    print_classes(trials, per_class, "val/top1", "max", top, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_classes_are_listed_hardest_first_with_the_best_trials_across(sweep: Sweep) -> None:
    lines = printed(sweep, 140)
    records = sweep.records()
    rows = results.per_class_table(sweep, records)
    rows = rows[rows["split"] == "test"]
    trials = results.trials_table(records, AXES)
    best = trials[trials["state"] == "complete"].sort_values("val/top1", ascending=False)["number"].tolist()[:5]
    assert lines[0].split() == [
        "class",
        "images",
        f"#{best[0]}",
        "*",
        "95",
        "%",
        "interval",
        *(f"#{n}" for n in best[1:]),
    ]
    order = rows.groupby("class")["top1"].mean().sort_values(kind="stable").index.tolist()
    assert [line[:16].strip() for line in lines[1:11]] == order
    wide = rows.pivot(index="class", columns="number", values="top1")
    for line, name in zip(lines[1:11], order, strict=True):
        figures = [word for word in line.removeprefix(name).split() if word != "to"]
        assert [figures[1], *figures[4:]] == [f"{wide.loc[name, number]:.3f}" for number in best]
    own = rows[rows["number"] == best[0]]
    assert lines[11].split()[:3] == [
        "all",
        str(own["images"].sum()),
        f"{own['correct'].sum() / own['images'].sum():.3f}",
    ]


@pytest.mark.parametrize(("correct", "images"), [(0, 50), (50, 50), (7, 50), (1, 1), (812, 1000)])
def test_the_interval_is_wilsons(correct: int, images: int) -> None:
    reference = binomtest(correct, images).proportion_ci(0.95, method="wilson")
    assert wilson(correct, images) == pytest.approx((reference.low, reference.high), abs=1e-12)


@pytest.mark.parametrize("width", [30, 42, 60, 80, 140])
def test_any_names_fit_and_move_nothing(tmp_path_factory: pytest.TempPathFactory, width: int) -> None:
    sweep = write_sweep(str(tmp_path_factory.mktemp("sweeps")), space={"lr": [0.1, 0.01]}, classes=CLASSES)
    lines = printed(sweep, width)
    assert all(cell_len(line) <= width for line in lines)
    assert not any(ord(character) < 32 or character == "\u202e" for line in lines for character in line)
    assert any("סלמנדרה\u200e" in line for line in lines)
    rows = lines[1 : 1 + len(CLASSES)]
    assert sum(line.lstrip().startswith(("<scri", "=HYPE", "xxxxx", "[red]", "*b* `")) for line in rows) == 5
    assert all(" 50 " in line for line in rows)


def test_top_says_how_many_trials_and_none_is_fine(sweep: Sweep, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert printed(sweep, 200, top=2)[0].count("#") == 2
    assert printed(sweep, 200, top=9)[0].count("#") == 9
    assert printed(sweep, 200, top=1)[-2].endswith(" trials, best first; * is best.")
    empty = write_sweep(str(tmp_path_factory.mktemp("sweeps")), endings=("running", "diverged"))
    assert printed(empty, 80) == ["No trial has left its accuracy by class yet."]


def test_the_interval_goes_before_the_first_trial_does() -> None:
    layouts = [fitting(width, 8, ["#1 *", "#20", "#300"]) for width in range(20, 120)]
    assert (layouts[0].trials, layouts[0].has_interval) == (1, False)
    assert (layouts[-1].trials, layouts[-1].has_interval) == (3, True)
    assert all(layout.name_width >= 1 for layout in layouts)
