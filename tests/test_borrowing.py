"""Class weights from another sweep: what they are, that they stay, and what is told when there are none."""

import csv
import io
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command import sweeper
from rich.console import Console
from trials import Begun, begin, experiment

from sweeper import launch
from sweeper.borrowing import BorrowError, borrowed, keep, with_numbers
from sweeper.data import DataError
from sweeper.experiment import Experiment, Search
from sweeper.launch import store_experiment
from sweeper.reading import read_experiment
from sweeper.running import run_sweep
from sweeper.store import Sweep
from sweeper.system.stopping import Stopped, Stopping


@pytest.fixture(scope="module")
def weak(tmp_path_factory: pytest.TempPathFactory) -> Begun:
    """The best trial of the sweep `trials`, which has a worse one too."""
    storage = tmp_path_factory.mktemp("sweeps")
    begun, worse = (begin(storage, experiment(epochs=1, lr=lr)) for lr in (0.05, 1e-30))
    assert begun.ended().summary["val/top1"] > worse.ended().summary["val/top1"]
    assert expected(begun) != expected(worse)
    store_experiment(begun.sweep, begun.experiment)
    return begun


def borrower(weights: Any = None, space: dict[str, Any] | None = None, **data: Any) -> Experiment:
    of = experiment(data, class_weights=weights)
    return replace(of, name="next", search=Search(space=space or {}))


def resolved(experiment: Experiment, sweep: Sweep) -> Experiment:
    return with_numbers(experiment, borrowed(experiment, sweep))


def expected(weak: Begun) -> dict[str, float]:
    table = csv.DictReader(io.StringIO(weak.folder.artifacts.read("per_class.csv").decode()))
    weights = {row["class"]: 2 - float(row["top1"]) for row in table if row["split"] == "val"}
    mean = sum(weights.values()) / len(weights)
    return {name: round(weight / mean, 6) for name, weight in weights.items()}


def test_a_class_weighs_more_the_weaker_it_was_on_validation(weak: Begun) -> None:
    sweep = Sweep(weak.sweep.storage.url, "next")
    found = resolved(borrower({"from_sweep": "trials"}), sweep).train.class_weights
    assert found == pytest.approx(expected(weak))
    assert not sweep.folder.exists("class_weights.json")


def test_on_an_axis_too_the_cell_holds_the_numbers(weak: Begun) -> None:
    space = {"class_weights": [None, {"from_sweep": "trials"}]}
    found = resolved(borrower(space=space), Sweep(weak.sweep.storage.url, "next"))
    assert found.search.space["class_weights"] == [None, pytest.approx(expected(weak))]


def test_weights_once_kept_stay_when_the_other_sweep_is_gone(weak: Begun, tmp_path: Path) -> None:
    of = borrower({"from_sweep": "trials"})
    sweep = Sweep(weak.sweep.storage.url, "kept")
    first = resolved(of, sweep)
    keep(borrowed(of, sweep), sweep)
    content = sweep.folder.read("class_weights.json")
    alone = Sweep(str(tmp_path), "kept")
    alone.folder.write("class_weights.json", content)
    assert resolved(of, alone) == first
    assert resolved(first, alone) == first


def test_weights_of_a_sweep_that_is_stopped_before_its_first_trial_are_kept(
    weak: Begun, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, stopping = Sweep(weak.sweep.storage.url, "stopped"), Stopping()
    of = replace(borrower({"from_sweep": "trials"}), name="stopped")

    def stop(*arguments: object) -> None:
        stopping.received.append(signal.SIGINT)
        raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr(launch, "machine_for", stop)
        ended = run_sweep(sweep, of, Console(file=io.StringIO()), executor="inline", stopping=stopping)
    assert ended.code == 130
    kept = read_experiment(sweep.experiment(), "kept").train.class_weights
    assert kept == sweep.folder.read_json("class_weights.json")["trials"]


@pytest.mark.parametrize(
    ("name", "words"), [("trails", "unknown sweep `trails`; did you mean `trials`"), ("empty", "no trial")]
)
def test_a_sweep_that_is_not_there_or_not_done_is_told(weak: Begun, name: str, words: str) -> None:
    store_experiment(Sweep(weak.sweep.storage.url, "empty"), replace(weak.experiment, name="empty"))
    with pytest.raises(BorrowError, match=words):
        borrowed(borrower({"from_sweep": name}), Sweep(weak.sweep.storage.url, "next"))


def test_weights_of_other_classes_are_told_before_anything_runs(weak: Begun) -> None:
    sweep = Sweep(weak.sweep.storage.url, "next")
    with pytest.raises(DataError, match=r"'3', '4'.*no class of these images"):
        resolved(borrower({"from_sweep": "trials"}, classes=3), sweep)
    with pytest.raises(DataError, match="lists 2 weights"):
        resolved(borrower(space={"class_weights": [[1.0, 2.0], "balanced"]}), sweep)
    assert not sweep.folder.exists("class_weights.json")


def test_the_command_says_which_sweep_is_missing(tmp_path: Path) -> None:
    file = tmp_path / "next.yaml"
    file.write_text(
        "name: next\ndata: {name: digits}\nmodel: {name: alexnet}\ntrain: {class_weights: {from_sweep: first}}\n"
    )
    done = sweeper("run", file, "--storage", tmp_path / "sweeps", expect=2)
    assert "from_sweep: first}: there are no sweeps" in done.stderr
