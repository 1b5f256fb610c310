"""The benchmark of faults sees what is broken, and what is not."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from benchmarks.breaking.checks import Reference, finished, tracked
from benchmarks.breaking.images import write_images
from benchmarks.breaking.surroundings import empty_database
from benchmarks.breaking.tables import Record, as_markdown, as_text, verdict
from benchmarks.breaking.tools import TOOLS
from benchmarks.faults import Given, one_try

CELLS = [(0.1, 0.9), (0.1, 0.5)]


def outcome(flaws: dict[str, int] | None, tool: str = "sweeper", fault: str = "SIGINT") -> dict[str, object]:
    return {"tool": tool, "fault": fault, "flaws": flaws}


def test_mlflow_is_asked_for_runs_that_are_too_many_running_or_hold_a_row_twice(tmp_path: Path) -> None:
    uri = f"sqlite:///{empty_database(tmp_path / 'mlflow.db')}"
    client = MlflowClient(uri)
    experiment = client.create_experiment("grid")
    runs = [client.create_run(experiment).info.run_id for _ in range(4)]
    for run, momentum in zip(runs, ("0.9", "0.9", "0.5"), strict=False):  # the fourth died before its parameters
        client.log_param(run, "train.lr", "0.1")
        client.log_param(run, "train.momentum", momentum)
    for step, time in ((1, 1), (2, 2), (2, 3)):
        client.log_metric(runs[0], "val_loss", 0.5, timestamp=time, step=step)
    client.set_terminated(runs[0])
    held = tracked(tmp_path / "mlflow.db", CELLS, epochs=3)
    assert held.runs == {(0.1, 0.9): 2, (0.1, 0.5): 1}
    assert (held.stray, held.running, held.doubled, held.missing) == (1, 3, 1, 1 + 3)


def test_a_grid_point_counts_as_finished_by_its_complete_trials_alone() -> None:
    rows = [
        {"lr": 0.1, "momentum": 0.9, "value": 0.25, "state": "complete"},
        {"lr": 0.1, "momentum": 0.9, "value": 0.5, "state": "complete"},
        {"lr": 0.1, "momentum": 0.5, "value": None, "state": "failed"},
        {"lr": None, "momentum": None, "value": 0.1, "state": "complete"},
    ]
    assert finished(rows, CELLS) == {(0.1, 0.9): [0.25, 0.5], (0.1, 0.5): []}


@pytest.mark.parametrize(
    ("tries", "told"),
    [
        ([{}, {}], "2 of 2"),
        ([{}, {"hung": 1}], "1 of 2: hung 1 (in 1)"),
        ([{"runs RUNNING for ever": 2}, {"runs RUNNING for ever": 4}], "0 of 2: runs RUNNING for ever 2-4"),
        ([None], "does not apply"),
        ([], ""),
    ],
)
def test_a_verdict_says_how_many_tries_kept_the_promise_and_what_broke(
    tries: list[dict[str, int] | None], told: str
) -> None:
    assert verdict([outcome(flaws) for flaws in tries]) == told


def test_a_record_is_told_of_by_fault_and_tool_also_by_a_later_call(tmp_path: Path) -> None:
    Record(tmp_path / "record").add("reference", {"tool": "sweeper"})
    for tool, flaws in (("sweeper", {}), ("optuna", {"hung": 1})):
        Record(tmp_path / "record").add("outcome", outcome(flaws, tool))
    outcomes = list(Record(tmp_path / "record").read("outcome"))
    assert as_markdown(outcomes).splitlines()[0] == "| fault | injected by | sweeper | optuna |"
    assert as_markdown(outcomes).splitlines()[2].endswith("| 1 of 1 | 0 of 1: hung 1 |")
    assert "  optuna            0 of 1: hung 1" in as_text(outcomes)


def test_a_damaged_image_is_injected_and_judged(tmp_path: Path) -> None:
    given = Given(tmp_path / "images", empty_database(tmp_path / "mlflow.db"))
    write_images(given.images)
    done = one_try(TOOLS["sweeper_inline"], "image damaged", Reference(dict.fromkeys(CELLS, 0.0), 1, 1), given, "0")
    assert done["exits"] == [2]
    assert done["flaws"] == {}
    assert "cannot be decoded" in done["said"] or "do not decode" in done["said"]
