"""Cells: means and standard deviations over the seeds, of complete trials only."""

import io
import math
import statistics

import pandas as pd
import pytest
from folders import write_sweep
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from sweeper.dashboards import spending
from sweeper.dashboards.cells import cells_table
from sweeper.dashboards.ranking import STATES
from sweeper.dashboards.terminal_cells import print_cells
from sweeper.results import trials_table


def trials(*rows: tuple[object, int, str, float, float]) -> pd.DataFrame:
    """Rows of axis value, seed, state, val/top1 and test/top1."""
    table = pd.DataFrame(rows, columns=["lr", "seed", "state", "val/top1", "test/top1"])
    table.insert(0, "key", [f"k{number}" for number in range(len(rows))])
    table.insert(1, "number", range(len(rows)))
    return table.assign(name="", epochs_run=1, best_epoch=1)


def test_a_cell_has_the_mean_and_deviation_of_its_complete_trials() -> None:
    table = cells_table(
        trials(
            (0.1, 0, "complete", 0.5, 0.4),
            (0.1, 1, "complete", 0.7, 0.6),
            (0.1, 2, "pruned", 0.9, math.nan),
            (0.2, 0, "complete", 0.8, 0.7),
            (0.3, 0, "diverged", 0.99, math.nan),
            (0.3, 1, "pruned", 0.2, math.nan),
        ),
        ["lr"],
        "val/top1",
        "max",
    )
    assert list(table.columns) == [
        *("lr", "seeds", "complete", "states", "best_key", "best_number"),
        *("val/top1_mean", "val/top1_std", "test/top1_mean", "test/top1_std"),
    ]
    assert table["lr"].tolist() == [0.2, 0.1, 0.3]
    assert table["seeds"].tolist() == [1, 3, 2]
    assert table["complete"].tolist() == [1, 2, 0]
    assert table["states"].tolist() == ["1 complete", "2 complete, 1 pruned", "1 pruned, 1 diverged"]
    assert table["best_key"].tolist() == ["k3", "k1", "k5"]
    assert table["best_number"].tolist() == [3, 1, 5]
    assert table["val/top1_mean"].tolist() == pytest.approx([0.8, 0.6, math.nan], nan_ok=True)
    assert table["val/top1_std"].tolist() == pytest.approx([math.nan, 0.02**0.5, math.nan], nan_ok=True)
    assert table["test/top1_mean"].tolist() == pytest.approx([0.7, 0.5, math.nan], nan_ok=True)


def test_the_lowest_mean_is_first_when_low_is_good_and_infinite_means_come_last() -> None:
    rows = ((0.1, 0, "complete", math.inf, 0.0), (0.2, 0, "complete", 2.0, 0.0), (0.3, 0, "complete", 1.0, 0.0))
    table = cells_table(trials(*rows), ["lr"], "val/top1", "min")
    assert table["lr"].tolist() == [0.3, 0.2, 0.1]
    assert table["val/top1_mean"].tolist() == [1.0, 2.0, math.inf]


@pytest.mark.parametrize(
    ("values", "cells"),
    [
        ([["flip"], ["flip"], [], ["flip", "crop"]], 3),
        ([None, math.nan, "none"], 2),
        ([1, True, "1"], 3),
        ([{"name": "a"}, {"name": "b"}, {"name": "a"}], 2),
        ([0.1, 0.1 + 1e-9], 2),
    ],
)
def test_any_value_of_an_axis_names_a_cell(values: list[object], cells: int) -> None:
    rows = trials(*((0, seed, "complete", 0.5, 0.5) for seed, _ in enumerate(values)))
    rows["lr"] = pd.Series(values, dtype=object)
    table = cells_table(rows, ["lr"], "val/top1", "max")
    assert len(table) == cells
    assert table["seeds"].sum() == len(values)


def test_a_metric_that_one_seed_lacks_has_no_mean() -> None:
    rows = trials((0.1, 0, "complete", 0.5, 0.4), (0.1, 1, "complete", 0.7, math.nan))
    table = cells_table(rows, ["lr"], "val/top1", "max")
    assert table["val/top1_mean"].tolist() == pytest.approx([0.6])
    assert math.isnan(table["test/top1_mean"][0])


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ({"time": [100.0, 110.0, 95.0], "epoch_seconds": [10.0, 10.0, 30.0]}, (45.0, 4 * 10.0 + 2 * 30.0)),
        ({"time": [100.0, 110.0, 95.0]}, (15.0, 0.0)),
        ({}, (0.0, 0.0)),
    ],
)
def test_what_a_sweep_took_and_what_pruning_saved(
    history: dict[str, list[float]], expected: tuple[float, float]
) -> None:
    rows = trials((0.1, 0, "complete", 0.5, 0.4), (0.1, 1, "pruned", 0.2, math.nan), (0.2, 0, "pruned", 0.2, math.nan))
    rows["epochs_run"] = [10, 6, 8]
    saved = spending.epochs_saved(rows, ["lr"])
    assert saved is not None
    assert saved.to_dict() == {"k1": 4, "k2": 2}
    epochs = pd.DataFrame({"key": ["k1", "k1", "k2"], **history})
    seconds = spending.epoch_seconds(epochs)
    assert spending.wall_seconds(epochs) == expected[0]
    assert spending.seconds_saved(saved, seconds) == pytest.approx(expected[1])


@pytest.mark.parametrize("axes", [["lr"], []])
def test_no_trials_make_no_cells(axes: list[str]) -> None:
    assert len(cells_table(trials().iloc[:0], axes, "val/top1", "max")) == 0
    assert len(cells_table(trials((0.1, 0, "complete", 0.5, 0.4)), axes, "val/top1", "max")) == 1


@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from(STATES), st.floats()), max_size=12),
    st.sampled_from(["max", "min"]),
)
def test_the_best_of_a_cell_is_the_best_of_its_trials(rows: list[tuple[int, str, float]], mode: str) -> None:
    given_trials = trials(*((lr, seed, state, value, 0.0) for seed, (lr, state, value) in enumerate(rows)))
    for row in cells_table(given_trials, ["lr"], "val/top1", mode).to_dict("records"):
        own = [(state, value, number) for number, (lr, state, value) in enumerate(rows) if lr == row["lr"]]
        winner = best_number(own, mode)
        assert row["best_key"] == f"k{winner}" if winner is not None else pd.isna(row["best_key"])


def best_number(rows: list[tuple[str, float, int]], mode: str) -> int | None:
    """The definition, written out: of complete trials, or else of pruned ones, the best finite value, the first number."""
    counting = "complete" if any(state == "complete" for state, _, _ in rows) else "pruned"
    finite = [(value, number) for state, value, number in rows if state == counting and math.isfinite(value)]
    best = (max if mode == "max" else min)((value for value, _ in finite), default=None)
    return next((number for value, number in finite if value == best), None)


def test_the_cells_of_a_folder_are_those_of_its_records(tmp_path_factory: pytest.TempPathFactory) -> None:
    sweep = write_sweep(str(tmp_path_factory.mktemp("s")), seeds=(0, 1, 2), endings=("complete", "complete", "pruned"))
    axes = ["lr", "momentum", "loss"]
    table = cells_table(trials_table(sweep.records(), axes), axes, "val/top1", "max")
    assert len(table) == 12
    for row in table.to_dict("records"):
        own = [r for r in sweep.records() if all(r.trial.cell[axis] == row[axis] for axis in axes)]
        values = [r.result.summary["test/loss"] for r in own if r.state == "complete" and r.result]
        assert (row["seeds"], row["complete"]) == (3, 2)
        assert row["test/loss_mean"] == pytest.approx(statistics.mean(values))
        assert row["test/loss_std"] == pytest.approx(statistics.stdev(values))


def printed(table: pd.DataFrame, width: int, top: int | None = None) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    cells = cells_table(table, ["lr"], "val/top1", "max")
    print_cells(cells, ["lr"], "val/top1", "max", top, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_the_terminal_shows_what_each_cell_reached_over_its_seeds() -> None:
    table = trials(
        (0.1, 0, "complete", 0.5, 0.4),
        (0.1, 1, "complete", 0.7, 0.6),
        (0.2, 0, "complete", 0.8, 0.7),
        (0.3, 0, "diverged", 0.99, math.nan),
    )
    heading, *rows, told, _ = printed(table, 100)
    assert heading.split() == ["lr", "complete", "val/top1", "test/top1", "best"]
    assert [row.split() for row in rows] == [
        ["*", "0.2", "1", "of", "1", "0.8000", "0.7000", "#2"],
        ["0.1", "2", "of", "2", "0.6000", "±", "0.1414", "0.5000", "±", "0.1414", "#1"],
        ["0.3", "0", "of", "1", "-", "-", "-"],
    ]
    assert told == "3 cells of 4 trials. All by mean val/top1 (max); * is best."
    assert "The first 1" in printed(table, 100, top=1)[2]


def test_no_cell_is_best_where_none_has_a_mean() -> None:
    assert not any("*" in line for line in printed(trials((0.1, 0, "failed", math.nan, math.nan)), 100))


@given(width=st.integers(20, 120))
def test_cells_fit_any_terminal_with_their_means_whole(width: int) -> None:
    lines = printed(trials((0.125, 0, "complete", 0.5, 0.4), (0.125, 1, "complete", 0.7, 0.6)), width)
    assert all(len(line) <= width for line in lines)
    assert any("0.6000 ± 0.1414" in line for line in lines)
