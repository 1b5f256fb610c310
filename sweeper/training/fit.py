"""`fit`: train one trial from wherever its folder says it is to wherever it ends."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sweeper.data import DataError, Dataset, prepare_at
from sweeper.data.split import check_judged, split
from sweeper.experiment import Experiment, Objective, to_plain
from sweeper.models import ModelError
from sweeper.models.code import code_of
from sweeper.store import Result, Row, Sweep, TrialFolder, time_after
from sweeper.store.trial_folder import CHECKPOINT, CHECKPOINT_BEFORE
from sweeper.training import artifacts, checkpoint, histograms, pictures, weights
from sweeper.training.loop import Trainer
from sweeper.training.memory import peak_memory_mib
from sweeper.training.metrics import Evaluation
from sweeper.training.schedules import has_stopped
from sweeper.trial import CODE, Answer, Trial, TrialState

Report = Callable[[tuple[Row, ...], int], Answer]
"""Takes the rows since the last report (the first time all of them) and the epoch of the checkpoint (0: none)."""


@dataclass
class Progress:
    """How far a trial is: what a checkpoint holds besides the network and its optimiser."""

    history: tuple[Row, ...] = ()
    best_epoch: int | None = None
    best_weights: weights.Weights = field(default_factory=dict)
    saved_epoch: int = 0
    saved_at: float = field(default_factory=time.monotonic)

    @property
    def epoch(self) -> int:
        return len(self.history)

    @property
    def best_row(self) -> Row:
        return self.history[self.best_epoch - 1] if self.best_epoch else {}


def fit(trial: Trial, sweep: Sweep, experiment: Experiment, report: Report) -> Result | None:
    """Train a trial to its end from its checkpoint, if it has one, and write its `result.json`.

    Returns its result (the one it has, when it has ended before), or None when the driver said HALT.
    Raises DataError when the data set is not the one the trial was planned on, ModelError when a network of the user's own
    has other code than then, StoreError for a damaged checkpoint.
    """
    folder, machine = sweep.trial(trial.key), sweep.machine()
    if folder.exists("result.json"):
        return folder.read_result()
    if machine is None:
        raise ValueError(f"{sweep.folder.url} has no machine.json; start the sweep with `sweeper run`")
    dataset = _dataset(trial, experiment)
    _check_code(trial)
    indices = split(dataset, trial.settings.data.split)
    check_judged(indices, experiment.objective.metric)
    trainer = Trainer(trial.settings, dataset, indices, machine)
    folder.remove_torn()
    progress = _resume(trainer, folder)
    state = _train(trainer, progress, folder, experiment, report)
    if state is None:
        return None
    return _finish(state, trainer, progress, folder, experiment, dataset)


def _train(
    trainer: Trainer, progress: Progress, folder: TrialFolder, experiment: Experiment, report: Report
) -> TrialState | None:
    """Epochs until the trial ends; None when it is to stop for now."""
    answer = report(progress.history, progress.saved_epoch) if progress.history else Answer.GO_ON
    while answer is Answer.GO_ON and not _is_over(trainer, progress):
        row = _epoch(trainer, progress)
        progress.history += (row,)
        if not _is_finite(row) or not (len(trainer.feed.val_N) or trainer.is_finite()):
            return TrialState.DIVERGED
        _note_best(trainer, progress, experiment.objective)
        _measure_layers(trainer, progress, folder, experiment)
        if (
            not _is_over(trainer, progress)
            and time.monotonic() - progress.saved_at >= experiment.checkpoint.every_seconds
        ):
            _save(trainer, progress, folder)
        folder.write_history(progress.history)
        answer = report((row,), progress.saved_epoch)
    if _is_over(trainer, progress):
        return TrialState.COMPLETE
    if progress.saved_epoch < progress.epoch:
        _save(trainer, progress, folder)
    return TrialState.PRUNED if answer is Answer.PRUNE else None


def _is_over(trainer: Trainer, progress: Progress) -> bool:
    train = trainer.settings.train
    return progress.epoch == train.epochs or has_stopped(train, progress.history)


def _epoch(trainer: Trainer, progress: Progress) -> Row:
    start, epoch = time.perf_counter(), progress.epoch + 1
    row = {"epoch": float(epoch), **trainer.train_epoch(epoch, progress.history)}
    if len(trainer.feed.val_N):
        row |= _named("val", trainer.evaluate(trainer.feed.val_N))
    seconds = time.perf_counter() - start
    row |= {"epoch_seconds": seconds, "peak_memory_mib": peak_memory_mib(trainer.device)}
    return {**row, "time": time_after(progress.history)}


def _named(part: str, evaluation: Evaluation) -> Row:
    metrics = {name: getattr(evaluation, name) for name in ("loss", "top1", "top5", "ece")}
    return {f"{part}/{name}": value for name, value in metrics.items()}


def _is_finite(row: Row) -> bool:
    return all(math.isfinite(row.get(name, 0.0)) for name in ("train/loss", "val/loss"))


def _note_best(trainer: Trainer, progress: Progress, objective: Objective) -> None:
    """Keep the weights of the best epoch on validation; the earlier of two that are equal."""
    value, best = progress.history[-1][objective.metric], progress.best_row.get(objective.metric)
    if best is None or objective.score(value) > objective.score(best):
        progress.best_epoch, progress.best_weights = progress.epoch, weights.copy_of(trainer.judged)


def _measure_layers(trainer: Trainer, progress: Progress, folder: TrialFolder, experiment: Experiment) -> None:
    every = experiment.artifacts.histograms
    if every and progress.epoch % every == 0:
        histograms.add(folder.artifacts, progress.epoch, trainer.judged, trainer.example())


def _save(trainer: Trainer, progress: Progress, folder: TrialFolder) -> None:
    is_best = progress.best_epoch == progress.epoch
    best = {"epoch": progress.best_epoch, "weights": None if is_best else progress.best_weights}
    state = {**trainer.state(), "best": best, "history": list(progress.history)}
    folder.keep_as(CHECKPOINT, CHECKPOINT_BEFORE)
    checkpoint.save(folder, CHECKPOINT, state)
    progress.saved_epoch, progress.saved_at = progress.epoch, time.monotonic()


def _resume(trainer: Trainer, folder: TrialFolder) -> Progress:
    """Where the checkpoint stands; the start, without what an earlier try measured, when there is none."""
    saved = folder.checkpoint()
    if saved is None:
        folder.artifacts.remove(histograms.FILE)
        return Progress()
    state = checkpoint.load(folder, saved)
    trainer.load_state(state)
    history = tuple(state["history"])
    best_weights = state["best"]["weights"] or weights.copy_of(trainer.judged)
    return Progress(history, state["best"]["epoch"], best_weights, saved_epoch=len(history))


def _finish(
    state: TrialState,
    trainer: Trainer,
    progress: Progress,
    folder: TrialFolder,
    experiment: Experiment,
    dataset: Dataset,
) -> Result:
    """Evaluate the best epoch's weights, on the test images only when the trial is complete, and write how it ended."""
    summary = {name: value for name, value in progress.best_row.items() if name.startswith(("train/", "val/", "lr"))}
    checksums: dict[str, str] = {}
    if state is not TrialState.DIVERGED:
        weights.load(trainer.judged, progress.best_weights)
        evaluations = _evaluations(trainer, state)
        summary |= _named("test", evaluations["test"][1]) if "test" in evaluations else {}
        checksums = artifacts.write(folder.artifacts, dataset, evaluations)
        if state is TrialState.COMPLETE:
            pictures.write(folder.pictures, dataset, evaluations)
        if state is TrialState.COMPLETE and experiment.artifacts.models != "none":
            artifacts.write_model(
                folder.artifacts, trainer.settings, dataset, trainer.feed.normalisation, progress.best_weights
            )
    checksums |= histograms.checksums(folder.artifacts)
    result = Result(
        state=state,
        summary=summary,
        history=progress.history,
        best_epoch=progress.best_epoch,
        pruning=to_plain(experiment.pruning) if state is TrialState.PRUNED else None,
        saved_epoch=progress.saved_epoch if state is TrialState.PRUNED else 0,
        ended=time_after(progress.history),
        artifacts=checksums,
    )
    folder.write_result(result)
    return result


def _evaluations(trainer: Trainer, state: TrialState) -> artifacts.Evaluations:
    """Of validation as after each epoch; of the test images, when the trial is complete, as `data.evaluation` says."""
    feed, found = trainer.feed, {}
    if len(feed.val_N):
        found["val"] = (feed.val_N, trainer.evaluate(feed.val_N))
    if state is TrialState.COMPLETE and len(feed.test_N):
        ten_crop = feed.data.evaluation == "ten_crop"
        found["test"] = (feed.test_N, trainer.evaluate(feed.test_N, ten_crop))
    return found


def _check_code(trial: Trial) -> None:
    planned = trial.config.get(CODE)
    if planned is not None and planned != code_of(trial.settings.model.name):
        raise ModelError(
            f"the code of {trial.settings.model.name} has changed since this trial was planned; run the sweep again, which "
            "plans its trials anew, or undo the change"
        )


def _dataset(trial: Trial, experiment: Experiment) -> Dataset:
    dataset = prepare_at(experiment.data, trial.settings.data)
    if dataset.fingerprint != trial.fingerprint:
        raise DataError("the data set has changed since this trial was planned; run the sweep under another name")
    return dataset
