"""Records become tables that keep what the folder says, and exports that keep what the tables say."""

import csv
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from folders import SPACE, synthetic_trial, write_sweep
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from rich.console import Console

from sweeper import results
from sweeper.store import Record, Result, StoreError, Sweep
from sweeper.trial import TrialState

AXES = tuple(SPACE)
STATES = [state.value for state in TrialState]
cells = st.text(max_size=12) | st.sampled_from(
    ["=1+1", "@x", "+1", "-1", "\tx", "\rx", "a,b", 'a"b', "a\nb", "a\rb", "|", "\\|"]
)
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


def test_a_damaged_per_class_file_is_named(tmp_path: Path) -> None:
    sweep = write_sweep(str(tmp_path), space={"lr": [0.1]})
    artifacts = sweep.trial(sweep.records()[0].trial.key).artifacts
    artifacts.write("per_class.csv", b"split,class\nval,fish\n")
    with pytest.raises(StoreError, match=r"per_class\.csv is damaged"):
        results.per_class_table(sweep, sweep.records())


@given(st.lists(st.tuples(st.sampled_from(STATES), floats), max_size=8), st.sampled_from(["max", "min"]))
def test_the_best_trial_is_complete_else_pruned_and_never_nan(given_trials: list[tuple[str, float]], mode: str) -> None:
    rows = [record({"lr": 0.1}, number, state, val_top1=value) for number, (state, value) in enumerate(given_trials)]
    pool = [t for t in given_trials if t[0] == "complete"] or [t for t in given_trials if t[0] == "pruned"]
    values = [value for _, value in pool if math.isfinite(value)]
    found = results.best(results.trials_table(rows, ["lr"]), "val/top1", mode)
    if not values:
        assert found is None
    else:
        assert given_trials[found] == (pool[0][0], max(values) if mode == "max" else min(values))


@given(st.lists(st.tuples(cells, floats, st.integers(-(2**60), 2**60), st.booleans()), max_size=5))
def test_csv_keeps_numbers_exactly_and_runs_no_formula(rows: list[tuple[Any, ...]]) -> None:
    table = pd.DataFrame(rows, columns=["text", "float", "int", "bool"])
    read = list(csv.reader(io.StringIO(results.to_csv(table), newline="")))
    assert read[0] == ["text", "float", "int", "bool"]
    for (text, number, whole, flag), line in zip(rows, read[1:], strict=True):
        assert line[0] in (text, "'" + text)
        assert not line[0].startswith(("=", "+", "-", "@", "\t", "\r"))
        assert line[1] == "" if math.isnan(number) else float(line[1]) == number
        assert line[2:] == [str(whole), str(flag)]


@given(st.lists(st.tuples(cells, floats, st.integers(0, 9) | st.none()), max_size=5))
def test_json_is_strict_and_exact(rows: list[tuple[Any, ...]]) -> None:
    table = pd.DataFrame(rows, columns=["text", "float", "int"]).astype({"int": "Int64", "float": float})

    def forbidden(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    read = json.loads(results.to_json(table), parse_constant=forbidden)
    exact = [None if math.isnan(number) else str(number) if math.isinf(number) else number for _, number, _ in rows]
    expected = [{"text": t, "float": x, "int": n} for (t, _, n), x in zip(rows, exact, strict=True)]
    assert read == expected


@given(st.lists(st.tuples(cells, floats), max_size=5))
def test_every_markdown_row_has_its_cells(rows: list[tuple[Any, ...]]) -> None:
    lines = results.to_markdown(pd.DataFrame(rows, columns=["te|xt", "float"])).splitlines()
    assert len(lines) == len(rows) + 2
    assert all(len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) == 3 for line in lines)


def test_parquet_keeps_types_and_bits(trials: pd.DataFrame, tmp_path: Path) -> None:
    table = trials.assign(mixed=[None, True, "a", ["b"]] * 3, lists=[["flip"]] * 12)
    results.export(table, "parquet", str(tmp_path / "t.parquet"))
    read = pd.read_parquet(tmp_path / "t.parquet")
    assert_frame_equal(read.drop(columns=["mixed", "lists"]), trials)
    assert [value if pd.isna(value) else json.loads(value) for value in read["mixed"][1:4]] == [True, "a", ["b"]]


def test_an_export_is_written_whole(trials: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for format in ("csv", "json", "markdown"):
        path = tmp_path / "new" / f"table.{format}"
        results.export(trials, format, str(path))
        results.export(trials, format, None)
        assert path.read_text() == capsys.readouterr().out != ""
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["table.csv", "table.json", "table.markdown"]


@pytest.mark.parametrize(
    ("format", "path", "message"),
    [
        ("cvs", None, "did you mean csv"),
        ("parquet", "-", "give it a file"),
        ("csv", "/", "is a folder"),
        ("csv", "/proc/none/t.csv", "cannot write /proc/none/t.csv"),
    ],
)
def test_what_cannot_be_exported_is_explained(
    trials: pd.DataFrame, format: str, path: str | None, message: str
) -> None:
    with pytest.raises(results.ExportError, match=message):
        results.export(trials, format, path)


def printed(
    trials: pd.DataFrame, width: int, top: int | None = None, metric: str = "val/top1", mode: str = "max"
) -> list[str]:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    results.print_results(trials, AXES, metric, mode, top, console)
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
