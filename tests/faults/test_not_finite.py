"""Losses that are infinite or not a number: told as `diverged`, never the best, and never what others are judged by."""

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from folders import synthetic_trial
from rich.console import Console
from trials import begin, experiment

from sweeper.best import best_record
from sweeper.experiment import Experiment, Objective, Split, Train, named_of
from sweeper.launch.driver import Driver
from sweeper.models import LOSSES
from sweeper.progress import View, standing
from sweeper.search import Search
from sweeper.search.study import make_pruner
from sweeper.store import Result, Row
from sweeper.trial import TrialState

EPOCHS, BATCHES = 3, 5
LAST = EPOCHS * BATCHES


def sick(epochs: int = EPOCHS, **when: int | str) -> Experiment:
    """Five batches an epoch, one evaluation batch."""
    data = {"classes": 2, "split": Split(0.5, 0.25, 0.25)}
    return experiment(data, {"name": "sick:network", **when}, epochs=epochs, batch_size=37)


@pytest.mark.parametrize(
    ("when", "epochs_run", "best_epoch"),
    [
        ({"train": 1}, 1, None),
        ({"train": LAST}, EPOCHS, EPOCHS - 1),
        ({"eval": 1}, 1, None),
        ({"eval": EPOCHS}, EPOCHS, EPOCHS - 1),
        ({"gradient": 2}, 1, None),
        ({"gradient": LAST}, EPOCHS, EPOCHS - 1),
    ],
    ids=lambda value: "-".join(f"{name} {at}" for name, at in value.items()) if isinstance(value, dict) else None,
)
def test_a_loss_that_is_not_finite_ends_a_trial_as_diverged(
    tmp_path: Path, when: dict[str, int], epochs_run: int, best_epoch: int | None
) -> None:
    """In training or in validation, at the first or the last batch of all, in the logits or in the gradients alone."""
    result = begin(tmp_path, sick(**when)).ended()
    assert (result.state, len(result.history), result.best_epoch) == (TrialState.DIVERGED, epochs_run, best_epoch)
    last = result.history[-1]
    assert not math.isfinite(last["train/loss"]) or not math.isfinite(last["val/loss"])
    assert all(map(math.isfinite, result.summary.values()))
    assert not [name for name in result.summary if name.startswith("test/")]


@pytest.mark.parametrize("value", ["inf", "nan"])
@pytest.mark.parametrize("loss", [*LOSSES, named_of({"name": "multi_margin", "violations": "largest"})], ids=str)
def test_a_network_that_makes_no_numbers_diverges_under_every_loss(tmp_path: Path, loss: Any, value: str) -> None:
    of = sick(train=2, value=value)
    of = replace(of, train=replace(of.train, loss=loss), objective=Objective("val/loss", "min"))
    result = begin(tmp_path, of).ended()
    assert (result.state, result.best_epoch) == (TrialState.DIVERGED, None)


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_loss_that_is_not_finite_on_the_test_images_alone_is_told_as_it_is(tmp_path: Path, value: float) -> None:
    """The trial is complete and ranked by validation: test images decide nothing, not even this."""
    result = begin(tmp_path, sick(eval=EPOCHS + 2, value=str(value))).ended()
    assert result.state is TrialState.COMPLETE
    assert math.isfinite(result.summary["val/loss"])
    assert not math.isfinite(result.summary["test/loss"])


def test_weights_that_are_not_finite_are_noticed_without_validation_images(tmp_path: Path) -> None:
    of = sick(gradient=LAST * 2)
    data = replace(of.data, split=Split(1.0, 0.0, 0.0))
    of = replace(of, data=data, objective=Objective("train/top1"), train=replace(of.train, batch_size=36))
    result = begin(tmp_path, of).ended()
    assert (result.state, len(result.history)) == (TrialState.DIVERGED, EPOCHS)
    assert all(math.isfinite(row["train/loss"]) for row in result.history)


def diverged(value: float, number: int = 1, metric: str = "val/top1") -> tuple[Any, Result]:
    """A trial that was the best of all, until its third epoch."""
    rows = tuple({"epoch": float(epoch), "time": 1.0, metric: 0.99} for epoch in (1, 2))
    last = {"epoch": 3.0, "time": 1.0, "train/loss": value, metric: value}
    result = Result(TrialState.DIVERGED, {metric: 0.99}, (*rows, last), best_epoch=1, ended=1.0)
    return synthetic_trial(number, {"lr": 0.1 * (number + 1)}), result


def complete(number: int, score: float, metric: str = "val/top1") -> tuple[Any, Result]:
    rows = tuple({"epoch": float(epoch), "time": 1.0, metric: score} for epoch in (1, 2, 3))
    result = Result(TrialState.COMPLETE, {metric: score}, rows, best_epoch=1, ended=1.0)
    return synthetic_trial(number, {"lr": 0.1 * (number + 1)}), result


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_trial_that_diverged_is_never_the_best(tmp_path: Path, value: float) -> None:
    of = replace(experiment(), objective=Objective("val/top1"))
    begun, view = begin(tmp_path, of), View(Console(quiet=True), of, 3, {})
    begun.sweep.folder.write("experiment.yaml", b"name: trials\n")
    begun.folder.fs.rm(begun.folder.path, recursive=True)
    good = complete(0, 0.6)
    for trial, result in (good, diverged(value)):
        folder = begun.sweep.trial(trial.key)
        folder.write_trial(trial)
        view.started(trial)
        for epochs in range(1, 4):
            view.reported(trial, result.history[:epochs], 0)
        folder.write_result(result)
        view.ended(trial, result)
    records, key = begun.sweep.records(), good[0].key
    assert view.best is not None
    assert view.best == (0.6, good[0].name)
    assert standing(begun.sweep, of)["best"]["value"] == 0.6
    found = best_record(records, of.objective)
    assert found is not None
    assert found.trial.key == key
    driver = Driver(begun.sweep, of, Search(of, lambda data: "print"), [])
    driver.remember(records)
    assert driver.best is not None
    assert driver.best[1] == key


PRUNERS: dict[str, dict[str, Any]] = {
    "median": {"n_startup_trials": 2},
    "percentile": {"percentile": 60, "n_startup_trials": 2},
    "hyperband": {"min_resource": 1, "reduction_factor": 2},
    "successive_halving": {"min_resource": 1, "reduction_factor": 2, "min_early_stopping_rate": 0},
    "threshold": {"lower": 0.2},
    "patient": {"wrapped_pruner": None, "patience": 1},
    "wilcoxon": {"p_threshold": 0.4, "n_startup_steps": 1},
    "nop": {},
}
LENGTH = 6
PEERS = (
    (0.50, 0.60, 0.70, 0.71, 0.72, 0.73),
    (0.30, 0.45, 0.50, 0.55, 0.56, 0.57),
    (0.40, 0.50, 0.61, 0.62, 0.63, 0.64),
)
SUBJECTS = ((0.20, 0.30, 0.40, 0.41, 0.42, 0.43), (0.55, 0.65, 0.64, 0.63, 0.62, 0.61), (0.1, 0.5, 0.9, 0.1, 0.9, 0.1))
RECKLESS = (0.95, 0.96)  # what the trial had reached that then diverges


def judged(name: str, mode: str, subject: tuple[float, ...], value: float) -> list[bool]:
    """What our search says to each epoch of a trial that comes after three complete ones and one that diverged."""
    epochs = Train(epochs=LENGTH, lr=0.1)
    of = replace(experiment(), train=epochs, pruning=named_of({"name": name, **PRUNERS[name]}))
    of = replace(of, objective=Objective("val/top1", mode), search=replace(of.search, seeds=tuple(range(5))))
    search = Search(replace(of, model=named_of({"name": "one_hidden"})), lambda data: "print", window=1)
    for scores in (*PEERS, (*RECKLESS, value)):
        trial = search.ask()
        assert trial
        rows: list[Row] = [{"epoch": float(at), "val/top1": score} for at, score in enumerate(scores, 1)]
        is_whole = len(scores) == LENGTH
        for at in range(1, len(rows) + is_whole):
            search.report(trial, rows[:at])
            search.should_prune(trial)
        state = TrialState.COMPLETE if is_whole else TrialState.DIVERGED
        search.tell(trial, Result(state, {"val/top1": max(scores[:2])}, tuple(rows), best_epoch=1))
    trial, answers = search.ask(), []
    assert trial
    for at in range(1, LENGTH + 1):
        search.report(trial, [{"epoch": float(epoch), "val/top1": subject[epoch - 1]} for epoch in range(1, at + 1)])
        answers.append(search.should_prune(trial))
    return answers


def reference(name: str, mode: str, subject: tuple[float, ...]) -> list[bool]:
    """What Optuna says when the trial that diverges was stopped by hand before it did."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner = make_pruner(named_of({"name": name, **PRUNERS[name]}), LENGTH)
    study = optuna.create_study(direction=f"{mode}imize", pruner=pruner, study_name="trials")
    for scores in (*PEERS, RECKLESS):
        trial = study.ask()
        for epoch, score in enumerate(scores, 1):
            trial.report(score, epoch)
            trial.should_prune()
        is_whole = len(scores) == LENGTH
        study.tell(trial, max(scores[:2]) if is_whole else None, None if is_whole else optuna.trial.TrialState.PRUNED)
    trial, answers = study.ask(), []
    for epoch, score in enumerate(subject, 1):
        trial.report(score, epoch)
        answers.append(trial.should_prune())
    return answers


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("name", PRUNERS)
def test_a_pruner_judges_as_if_a_trial_had_ended_before_it_diverged(name: str, mode: str) -> None:
    for subject, value in itertools.product(SUBJECTS, (math.inf, -math.inf, math.nan)):
        assert judged(name, mode, subject, value) == reference(name, mode, subject), (subject, value)


def test_some_of_these_subjects_are_pruned_and_some_are_not() -> None:
    answers = {any(reference(name, "max", subject)) for name in PRUNERS for subject in SUBJECTS}
    assert answers == {True, False}
