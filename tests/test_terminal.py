"""The terminal's tables fit, rank and take any text."""

import io
import math
from typing import Any

import pandas as pd
import pytest
from folders import SPACE, synthetic_trial, write_sweep
from rich.console import Console

from dashboards.terminal import print_results
from sweeper import results
from sweeper.store import Record, Result
from sweeper.trial import TrialState

AXES = tuple(SPACE)


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    endings = ("complete", "pruned", "complete", "diverged", "failed", "running", "waiting", "complete")
    return results.trials_table(write_sweep(str(tmp_path_factory.mktemp("sweeps")), endings=endings).records(), AXES)


def record(cell: dict[str, Any], number: int = 0, state: str = "complete", **summary: float) -> Record:
    result = Result(TrialState(state), {name.replace("_", "/"): value for name, value in summary.items()})
    return Record(synthetic_trial(number, cell), TrialState(state), (), result)


def printed(
    trials: pd.DataFrame, width: int, top: int | None = None, metric: str = "val/top1", mode: str = "max"
) -> list[str]:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    print_results(trials, AXES, metric, mode, top, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


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
