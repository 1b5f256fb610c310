"""Records become tables that keep what the folder says."""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from folders import SPACE, synthetic_trial, write_sweep
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from sweeper import results
from sweeper.dashboards.ranking import best
from sweeper.store import Record, Result, StoreError, Sweep
from sweeper.trial import TrialState

AXES = tuple(SPACE)
STATES = [state.value for state in TrialState]
floats = st.floats(allow_nan=True, allow_infinity=True)


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


def written(row: dict[Any, Any]) -> dict[Any, str]:
    """A row whose NaN equals NaN; whole floats as ints."""
    return {name: repr(int(value) if name == "epoch" else value) for name, value in row.items()}


def test_the_trials_table_has_its_columns_in_a_stable_order(trials: pd.DataFrame) -> None:
    assert list(trials.columns) == [
        "key",
        "number",
        "name",
        "state",
        "seed",
        "epochs_run",
        "best_epoch",
        "lr",
        "momentum",
        "loss",
        "val/loss",
        "val/top1",
        "val/top5",
        "test/loss",
        "test/top1",
        "train/loss",
        "train/top1",
        "metrics.lr",
        "epoch_seconds",
    ]


def test_the_trials_table_says_what_each_record_says(sweep: Sweep, trials: pd.DataFrame) -> None:
    for row, known in zip(trials.to_dict("records"), sweep.records(), strict=True):
        assert (row["key"], row["number"], row["name"]) == (known.trial.key, known.trial.number, known.trial.name)
        assert (row["state"], row["seed"], row["epochs_run"]) == (
            known.state.value,
            known.trial.seed,
            len(known.history),
        )
        assert {axis: row[axis] for axis in AXES} == known.trial.cell
        summary = known.result.summary if known.result else {}
        for name in ("val/loss", "val/top1", "test/top1", "train/loss"):
            assert repr(row[name]) == repr(summary.get(name, math.nan))
        assert pd.isna(row["best_epoch"]) if known.result is None else row["best_epoch"] == known.result.best_epoch


def test_types_are_kept() -> None:
    space = {
        "batch_size": [8, 64],
        "lr": [1, 0.5],
        "nesterov": [True, False],
        "loss": ["a", "b"],
        "data.augment": [["flip"], []],
        "mixed": [True, 3],
        "data.classes": [None, 10],
    }
    rows = [record({axis: values[i] for axis, values in space.items()}, number=i) for i in (0, 1)]
    table = results.trials_table(rows, list(space))
    kinds = {axis: str(table[axis].dtype) for axis in space}
    assert kinds == {
        "batch_size": "int64",
        "lr": "float64",
        "nesterov": "bool",
        "loss": "str",
        "data.augment": "object",
        "mixed": "object",
        "data.classes": "Int64",
    }
    assert table["data.augment"].tolist() == [["flip"], []]
    assert str(table["best_epoch"].dtype) == "Int64"


def test_an_axis_that_a_trial_is_older_than_comes_from_its_settings() -> None:
    rows = [record({"lr": 0.1}), record({"lr": 0.1, "epochs": 5}, number=1)]
    assert results.trials_table(rows, ["lr", "epochs", "model.dropout"]).iloc[:, 7:].to_dict("list") == {
        "lr": [0.1, 0.1],
        "epochs": [10, 5],
        "model.dropout": [None, None],
    }


def test_the_rate_of_the_last_step_is_not_taken_for_the_setting_of_the_same_name() -> None:
    (row,) = results.trials_table([record({"momentum": 0.1}, lr=1e-5)], ["momentum"]).to_dict("records")
    assert row["metrics.lr"] == 1e-5
    assert "lr" not in row


def test_a_name_has_one_form_in_the_table_however_a_trial_s_cell_writes_it() -> None:
    cells = [{"model": {"name": "alexnet"}, "loss": "focal"}, {"model": "alexnet", "loss": {"name": "focal"}}, {}]
    table = results.trials_table([record(cell, number=number) for number, cell in enumerate(cells)], ["model", "loss"])
    assert table["model"].tolist() == ["alexnet", "alexnet", "alexnet"]
    assert table["loss"].tolist()[:2] == ["focal", "focal"]


def test_history_and_per_class_hold_every_row_of_the_folder(sweep: Sweep) -> None:
    records = sweep.records()
    history = results.history_table(records)
    rows = [{"key": r.trial.key, "number": r.trial.number, **row} for r in records for row in r.history]
    assert [written(row) for row in history.to_dict("records")] == [written(row) for row in rows]
    assert list(history.columns[:4]) == ["key", "number", "epoch", "val/loss"]
    parts = []
    for one in records:
        path = Path(sweep.trial(one.trial.key).artifacts.path) / "per_class.csv"
        if path.exists():
            parts.append(pd.read_csv(path).assign(key=one.trial.key, number=one.trial.number))
    expected = pd.concat(parts, ignore_index=True)
    assert_frame_equal(results.per_class_table(sweep, records), expected[results.per_class_table(sweep, []).columns])


@pytest.mark.parametrize(
    "content",
    [b"", b"split,class\nval,fish\n", b"split,class_index,class,id,images,correct,top1\nval,0,fish\n", b"\xff"],
)
def test_a_damaged_per_class_file_is_named(content: bytes, tmp_path: Path) -> None:
    sweep = write_sweep(str(tmp_path), space={"lr": [0.1]})
    artifacts = sweep.trial(sweep.records()[0].trial.key).artifacts
    artifacts.write("per_class.csv", content)
    with pytest.raises(StoreError, match=r"per_class\.csv is damaged"):
        results.per_class_table(sweep, sweep.records())


@given(st.lists(st.tuples(st.sampled_from(STATES), floats), max_size=8), st.sampled_from(["max", "min"]))
def test_the_best_trial_is_complete_else_pruned_and_never_nan(given_trials: list[tuple[str, float]], mode: str) -> None:
    rows = [record({"lr": 0.1}, number, state, val_top1=value) for number, (state, value) in enumerate(given_trials)]
    pool = [t for t in given_trials if t[0] == "complete"] or [t for t in given_trials if t[0] == "pruned"]
    values = [value for _, value in pool if math.isfinite(value)]
    found = best(results.trials_table(rows, ["lr"]), "val/top1", mode)
    if not values:
        assert found is None
    else:
        assert given_trials[found] == (pool[0][0], max(values) if mode == "max" else min(values))
