"""What a model costs is measured once a day on a machine."""

import errno
import json
import os
import time
from pathlib import Path

import pytest

from sweeper import costs, versions
from sweeper.costs import Cost, keep, recall
from sweeper.planning import side_by_side
from sweeper.store.folder import Folder
from sweeper.store.seals import sealed_json
from tests.command import here, sweeper

COST = Cost(parameters=7850, gflop_per_image=0.5, training_mib=12.25, images_per_second=1234.5)
ASKED = {"model": {"name": "alexnet"}, "train": {"batch_size": 64}, "threads": 1}
FILE = """
name: cheap
data: {name: digits, image_size: 8, augment: []}
model: {name: logistic_regression}
train: {epochs: 2, batch_size: 64}
search: {space: {lr: [0.1, 0.2]}}
resources: {gpus_per_trial: 0}
"""


def test_a_cost_is_recalled_for_the_same_question_alone(tmp_path: Path) -> None:
    assert recall(tmp_path, ASKED) is None
    kept = keep(tmp_path, ASKED, COST)
    assert recall(tmp_path, dict(reversed(ASKED.items()))) == kept
    assert recall(tmp_path, {**ASKED, "threads": 2}) is None


def test_another_machine_or_other_software_measures_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(tmp_path, ASKED, COST)
    with monkeypatch.context() as other:
        other.setattr(costs, "cores_here", lambda: 1000)
        assert recall(tmp_path, ASKED) is None
    monkeypatch.setattr(versions, "version", lambda package: "99.0")
    assert recall(tmp_path, ASKED) is None


@pytest.mark.parametrize("days", [-1.5, 1.5])
def test_a_cost_of_another_day_is_not_taken_and_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: float
) -> None:
    then = time.time() + days * 86_400
    monkeypatch.setattr(costs.time, "time", lambda: then)
    keep(tmp_path, ASKED, COST)
    (old,) = (tmp_path / "costs").iterdir()
    os.utime(old, (then, then))
    monkeypatch.undo()
    assert recall(tmp_path, ASKED) is None
    keep(tmp_path, {**ASKED, "threads": 2}, COST)
    assert not old.exists()


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 40, b"{}", sealed_json({"at": 1}), sealed_json({"cost": {"a": 1}, "at": 1})]
)
def test_what_is_damaged_is_measured_anew(tmp_path: Path, content: bytes) -> None:
    keep(tmp_path, ASKED, COST)
    (file,) = (tmp_path / "costs").iterdir()
    file.write_bytes(content)
    assert recall(tmp_path, ASKED) is None


def test_a_disk_that_is_full_costs_a_measurement_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Folder, "write", full)
    assert keep(tmp_path, ASKED, COST).cost == COST
    assert recall(tmp_path, ASKED) is None


def test_a_second_plan_takes_what_the_first_measured_and_imports_no_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cheap.yaml").write_text(FILE)
    plan = ("plan", tmp_path / "cheap.yaml", "--storage", tmp_path, "--json")

    def cost(*words: str) -> tuple[str, float]:
        (model,) = json.loads(here(*plan, *words).stdout)["models"]
        return model["measured"], model["cost"]["images_per_second"]

    first = cost("--measure")
    assert cost() == first
    assert cost("--set", "search.space.lr=[0.7]", "--set", "train.epochs=9") == first
    assert cost("--set", "train.batch_size=32")[1] != first[1]
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    imported = {line.rpartition("|")[2].strip() for line in sweeper(*plan).stderr.splitlines()}
    assert "sweeper.planning" in imported
    assert "torch" not in imported
    monkeypatch.undo()
    assert cost("--measure")[1] != first[1]


def test_a_plan_of_a_sampler_is_of_what_it_draws(tmp_path: Path) -> None:
    (tmp_path / "cheap.yaml").write_text(FILE)
    space = "{epochs: {int: [50, 60]}, batch_size: [64, 128], lr: {uniform: [0.1, 0.2]}}"
    drawn = f"search={{method: random, trials: 8, space: {space}}}"
    alone = ["--set", drawn, "--set", "resources.max_concurrent=1"]
    told = json.loads(here("plan", tmp_path / "cheap.yaml", *alone, "--storage", tmp_path, "--json").stdout)
    assert [(model["batch_size"], model["trials_left"]) for model in told["models"]] == [(64, 4), (128, 4)]
    images = 10 * 55 * round(0.8 * 1797 / 10)  # of a trial, in the mean
    seconds = sum(4 * images / model["cost"]["images_per_second"] for model in told["models"])
    assert told["seconds"] == pytest.approx(seconds, rel=0.01)


@pytest.mark.parametrize(
    ("trials", "places", "seconds"),
    [([], 64, 0), ([4], 64, 4), ([1] * 64, 64, 1), ([1] * 65, 64, 2), ([2, 1, 1], 2, 2), ([1, 1, 2], 2, 3)],
)
def test_trials_side_by_side_take_at_least_as_long_as_the_longest(
    trials: list[float], places: int, seconds: float
) -> None:
    assert side_by_side(trials, places) == seconds
