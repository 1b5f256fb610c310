"""The terminal's tables fit, rank and take any text."""

import io
import math
import re
from itertools import pairwise
from typing import Any

import pandas as pd
import pytest
from folders import SPACE, synthetic_trial, write_sweep
from rich.console import Console

from sweeper import results
from sweeper.best import best_record
from sweeper.dashboards.ranking import best
from sweeper.dashboards.terminal import print_results
from sweeper.reading import read_experiment
from sweeper.store import Record, Result, Sweep
from sweeper.text.terminal import Terminal
from sweeper.trial import TrialState

AXES = tuple(SPACE)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    endings = ("complete", "pruned", "complete", "diverged", "failed", "running", "waiting", "complete")
    return write_sweep(str(tmp_path_factory.mktemp("sweeps")), endings=endings)


@pytest.fixture(scope="module")
def trials(sweep: Sweep) -> pd.DataFrame:
    return results.trials_table(sweep.records(), AXES)


def record(cell: dict[str, Any], number: int = 0, state: str = "complete", **summary: float) -> Record:
    result = Result(TrialState(state), {name.replace("_", "/"): value for name, value in summary.items()})
    return Record(synthetic_trial(number, cell), TrialState(state), (), result)


@pytest.fixture(scope="module")
def history(sweep: Sweep) -> pd.DataFrame:
    return results.history_table(sweep.records())


def output(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def printed(
    trials: pd.DataFrame, width: int, top: int | None = None, history: pd.DataFrame | None = None, **options: Any
) -> list[str]:
    console = Terminal(width=width, file=io.StringIO(), **options)
    rows = results.history_table([]) if history is None else history
    print_results(trials, rows, AXES, "val/top1", "max", top, console)
    return output(console)


def test_the_terminal_table_ranks_and_fits(trials: pd.DataFrame) -> None:
    wide, narrow = printed(trials, 140), printed(trials, 80)
    assert all(len(line) <= 80 for line in narrow)
    assert [line.split()[0] for line in wide].count("*") == 1
    complete = trials[trials["state"] == "complete"].sort_values("val/top1", ascending=False)
    assert [line.split()[:2] for line in narrow if line.startswith("*")] == [["*", str(complete["number"].iloc[0])]]
    order = [int(line.removeprefix("*").split()[0]) for line in wide[1 : 1 + len(complete)]]
    assert order == complete["number"].tolist()
    for part in ("momentum", "loss", "state", "top1", "smooth_cr"):
        assert any(part in line for line in narrow)


def test_the_terminal_table_takes_any_sweep() -> None:
    hostile = results.trials_table(
        [
            record({"lr": 0.1, "momentum": 1, "loss": "[red]\x1b[2J" + "x" * 300}, val_top1=math.nan),
            record({"lr": 0.2, "momentum": 1, "loss": "b"}, 1),
        ],
        AXES,
    )
    assert any("[red] [2J" in line for line in printed(hostile, 80))
    assert not any("\x1b" in line or line.startswith("*") for line in printed(hostile, 80))
    assert printed(results.trials_table([], AXES), 80) == ["No trials yet."]
    assert any("Too narrow for" in line for line in printed(hostile, 25))
    assert len(printed(hostile, 100, top=1)) == 3


def test_a_measure_that_is_not_zero_is_not_shown_as_zero() -> None:
    shown = {1.07e-05: "1.07e-05", -4.9e-05: "-4.9e-05", 6e-05: "0.0001", 0.0: "0.0000", 0.5: "0.5000", 1e4: "1e+04"}
    cell = {"lr": 0.1, "momentum": 1, "loss": "b"}
    trials = results.trials_table([record(cell, number, val_top1=value) for number, value in enumerate(shown)], AXES)
    rows = {int(line.strip("* ").split()[0]): line.split() for line in printed(trials, 140)[1 : 1 + len(shown)]}
    assert [text in rows[number] for number, text in enumerate(shown.values())] == [True] * len(shown)


def test_values_that_differ_are_cut_where_they_do() -> None:
    stems = [{"name": "resnet18", "stem": stem} for stem in ("small", "imagenet")]
    cells = [{"lr": 10.0**-power, "momentum": power / 10, "loss": stem} for stem in stems for power in range(5)]
    trials = results.trials_table([record(cell, number) for number, cell in enumerate(cells)], AXES)
    assert any("resnet18(stem=imagenet)" in line for line in printed(trials, 140))
    lines = printed(trials, 60)
    assert [sum(f" resnet18(stem={letter}… " in line for line in lines) for letter in "si"] == [5, 5]


def test_what_is_left_of_the_width_goes_to_values_cut_short() -> None:
    cells = [{"lr": 0.1, "momentum": 0.9, "loss": loss} for loss in ("cross_entropy", "one_vs_all_hinge")]
    trials = results.trials_table([record(cell, number, val_top1=0.5) for number, cell in enumerate(cells)], AXES)
    tables = {width: "\n".join(printed(trials, width)) for width in range(35, 100)}
    first_whole = min(width for width, table in tables.items() if "one_vs_all_hinge" in table)
    assert "one_vs_al…" in tables[first_whole - 1]
    assert max(map(len, tables[first_whole].splitlines()[:4])) == first_whole


def test_values_that_begin_alike_are_not_cut_alike_where_there_is_room() -> None:
    names = [f"torchvision.mobilenet_v3_{size}" for size in ("small", "large")]
    trials = results.trials_table(
        [record({"lr": 1, "momentum": 1, "loss": name}, n) for n, name in enumerate(names)], AXES
    )
    for width in (80, 140):
        assert {f"{name[:25]}{name[25]}…" for name in names} == {
            word for line in printed(trials, width) for word in line.split() if word.startswith("torch")
        }


def test_a_star_is_spoken_of_where_there_is_one(trials: pd.DataFrame) -> None:
    assert "; * is best." in printed(trials, 140)[-1]
    diverged = trials.assign(state="diverged", **{"val/top1": math.nan})
    assert printed(diverged, 140)[-1].endswith("All by val/top1 (max).")


@pytest.mark.parametrize(("metric", "mode", "winner"), [("val/top1", "max", 3), ("val/loss", "min", 1)])
def test_a_trial_without_a_finite_objective_is_never_best(metric: str, mode: str, winner: int) -> None:
    values = (math.nan, 0.1, math.inf, 0.3, -math.inf)
    records = [record({"lr": 0.1 + number}, number, **{metric: value}) for number, value in enumerate(values)]
    text = f"name: d\ndata: {{name: digits}}\nmodel: {{name: alexnet}}\nobjective: {{metric: {metric}, mode: {mode}}}"
    experiment = read_experiment(text, "d.yaml")
    found, none = best_record(records, experiment.objective), best_record(records[:1], experiment.objective)
    row = best(results.trials_table(records, ["lr"]), metric, mode)
    assert (found and found.trial.number, row, none) == (winner, winner, None)


def test_curves_follow_the_metric_and_are_dropped_first(trials: pd.DataFrame, history: pd.DataFrame) -> None:
    wide = printed(trials, 140, history=history)
    column = wide[0].index("curve")
    bars = {line[1:8].strip(): line[column:].strip() for line in wide[1 : 1 + len(trials)]}
    for number, key in zip(trials["number"], trials["key"], strict=True):
        values = history.loc[history["key"] == key, "val/top1"]
        assert len(bars[str(number)]) == len(values)
        assert all(
            one <= other for (_, one), (_, other) in pairwise(sorted(zip(values, bars[str(number)], strict=True)))
        )
    assert "".join(bars.values()).count("█") >= 1
    low, high = (f"{value:.4g}" for value in (history["val/top1"].min(), history["val/top1"].max()))
    assert f"Curves: val/top1 by epoch, from {low} (▁) to {high} (█)." in wide
    for width in range(40, 140, 9):
        without = printed(trials, width)[: len(trials)]
        for line, plain in zip(printed(trials, width, history=history), without, strict=False):
            assert line.startswith(plain.rstrip())
    assert not any("curve" in line for line in printed(trials, 60, history=history))


def test_a_diverged_curve_does_not_flatten_the_others(trials: pd.DataFrame, history: pd.DataFrame) -> None:
    diverged = trials.loc[trials["state"] == "diverged", "key"].iloc[0]
    wild = history.assign(**{"val/top1": history["val/top1"].where(history["key"] != diverged, 1e30)})
    others = [[line for line in printed(trials, 140, history=rows) if "complete " in line] for rows in (history, wild)]
    assert others[0] == others[1]


def test_a_pipe_and_no_color_get_plain_text_and_a_terminal_gets_colour(
    trials: pd.DataFrame, history: pd.DataFrame
) -> None:
    plain = printed(trials, 140, history=history)
    assert "\x1b" not in "".join(plain)
    assert printed(trials, 140, history=history, force_terminal=True, color_system=None) == plain
    coloured = printed(trials, 140, history=history, force_terminal=True, color_system="standard")
    assert [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in coloured] == plain
    best = next(line for line in coloured if "*" in line and "complete" in line)
    assert re.fullmatch(r"\x1b\[1;32m[^\x1b]*\x1b\[0m", best)
    assert any("\x1b[33mpruned" in line or "33mpruned" in line for line in coloured)
