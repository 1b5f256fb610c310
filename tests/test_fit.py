"""`fit`: what it reports and leaves behind, how trials end, and that going on is the same as never having stopped."""

import csv
import io
import random
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch
from images import class_files, encoded, tiny_files, write_folder, write_zip
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.metrics import confusion_matrix, log_loss
from test_metrics import calibration_error_by_bins
from trials import Begun, Told, begin, experiment, network, train_until_killed, untimed

from sweeper.data import DataError, Dataset, default_cache, prepare
from sweeper.data.dataset import note_verified
from sweeper.data.split import split
from sweeper.experiment import Artifacts, Checkpoint, Objective, Split
from sweeper.store import StoreError
from sweeper.training import checkpoint
from sweeper.trial import Answer, TrialState

ROW = {
    "epoch", "time", "lr", "epoch_seconds", "images_per_second", "peak_memory_mib",
    "train/loss", "train/top1", "val/loss", "val/top1", "val/top5", "val/ece",
}  # fmt: skip
HARD = {"dropout": 0.3, "batch_norm": True}
AUGMENT = {"augment": ("random_crop", "horizontal_flip")}
ALL_STATE = {"momentum": 0.9, "nesterov": True, "weight_decay": 1e-3, "schedule": "step", "step_size": 2, "gamma": 0.5}


def weights(begun: Begun) -> dict[str, torch.Tensor]:
    content = torch.load(begun.folder.artifacts.at("model.pt"), weights_only=True)
    return cast("dict[str, torch.Tensor]", content["weights"])


def same_weights(one: Begun, other: Begun) -> bool:
    ours, theirs = weights(one), weights(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def assert_same_end(one: Begun, other: Begun) -> None:
    """Bit for bit the same numbers and model."""
    ours, theirs = one.folder.read_result(), other.folder.read_result()
    assert ours.state is theirs.state is TrialState.COMPLETE
    assert untimed(ours.history) == untimed(theirs.history)
    assert ours.summary == theirs.summary
    assert ours.best_epoch == theirs.best_epoch
    assert same_weights(one, other)


def rows_of(begun: Begun, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(begun.folder.artifacts.read(name).decode())))


# What it reports


def test_digits_are_learned_in_a_few_epochs(tmp_path: Path) -> None:
    summary = begin(tmp_path, experiment(epochs=5)).ended().summary
    assert summary["test/top1"] > 0.9
    assert summary["train/loss"] < 0.5


def test_compact_alexnet_learns_three_digits(tmp_path: Path) -> None:
    alexnet = {"name": "alexnet", "compact": True, "batch_norm": True, "dropout": 0.1}
    falling = {"schedule": "step", "step_size": 1, "gamma": 0.3}
    of = experiment({"classes": 3, "image_size": 16}, alexnet, lr=0.01, batch_size=16, **falling)
    assert begin(tmp_path, of, precision="bfloat16").ended().summary["test/top1"] > 0.9


def test_each_epoch_is_reported_once_under_the_names_of_the_contract(tmp_path: Path) -> None:
    begun, told = begin(tmp_path, experiment(schedule="step", step_size=1, gamma=0.5)), Told()
    result = begun.ended(told)
    assert told.epochs == [[1], [2], [3]]
    assert tuple(row for rows, _ in told.reports for row in rows) == result.history
    assert [set(row) for row in result.history] == [ROW] * 3
    assert [row["lr"] for row in result.history] == [0.05, 0.025, 0.0125]
    assert all(0 <= row[name] <= 1 for row in result.history for name in ROW if name.endswith(("top1", "top5", "ece")))
    assert set(result.summary) == {name for name in ROW if "/" in name or name == "lr"} | {
        "test/loss", "test/top1", "test/top5", "test/ece",
    }  # fmt: skip
    assert begun.folder.read_result() == result
    assert not begun.folder.exists("checkpoint.pt")


@pytest.mark.parametrize(
    ("metric", "mode"), [("val/top1", "max"), ("val/loss", "min"), ("train/loss", "max"), ("val/ece", "min")]
)
def test_the_best_epoch_is_that_of_the_objective(tmp_path: Path, metric: Any, mode: Any) -> None:
    result = begin(tmp_path, replace(experiment(epochs=5, lr=0.3), objective=Objective(metric, mode))).ended()
    values = [row[metric] for row in result.history]
    best = 1 + values.index(max(values) if mode == "max" else min(values))
    assert result.best_epoch == best
    assert {name: result.summary[name] for name in ROW & set(result.summary)} == {
        name: result.history[best - 1][name] for name in ROW & set(result.summary)
    }


def test_of_equally_good_epochs_the_earliest_is_best(tmp_path: Path) -> None:
    result = begin(tmp_path, experiment(lr=1e-30)).ended()
    assert len({row["val/top1"] for row in result.history}) == 1
    assert result.best_epoch == 1


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(tmp_path: Path) -> None:
    of = experiment(AUGMENT, HARD)
    one, same, other = (begin(tmp_path / name, of, seed) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    for begun in (one, same, other):
        begun.ended()
    assert_same_end(one, same)
    assert one.folder.read_result().summary["train/loss"] != other.folder.read_result().summary["train/loss"]
    assert not same_weights(one, other)


def test_every_epoch_has_its_own_order_and_augmentation(tmp_path: Path) -> None:
    def spread(*augment: str) -> float:
        begun = begin(tmp_path / "".join(augment), experiment({"augment": augment}, epochs=4, lr=1e-30))
        return float(np.ptp([row["train/loss"] for row in begun.ended().history]))

    assert 0 < spread() < 1e-6  # the sum of the same losses in another order
    assert spread("random_crop") > 1e-3
    assert spread("horizontal_flip") > 1e-3


@pytest.mark.parametrize("nesterov", [True, False])
def test_two_steps_are_sgd_with_momentum_by_the_book(tmp_path: Path, nesterov: bool) -> None:
    whole = {"batch_size": 5000, "epochs": 2, "momentum": 0.9, "nesterov": nesterov, "weight_decay": 0.01}
    steps = {"schedule": "step", "step_size": 1, "gamma": 0.5}
    objective = Objective("train/loss", "min")
    still = begin(tmp_path / "still", replace(experiment(**{**whole, "lr": 1e-30}), objective=objective))
    moved = begin(tmp_path / "moved", replace(experiment(**whole, **steps), objective=objective))
    still.ended()
    assert moved.ended().best_epoch == 2
    expected = {name: value.double() for name, value in weights(still).items()}
    momenta = {name: torch.zeros_like(value) for name, value in expected.items()}
    for rate in (0.05, 0.025):
        for name, gradient in gradients(moved, expected).items():
            slope = gradient + 0.01 * expected[name]
            momenta[name] = 0.9 * momenta[name] + slope
            expected[name] = expected[name] - rate * (slope + 0.9 * momenta[name] if nesterov else momenta[name])
    for name, value in weights(moved).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-3, atol=1e-6)


def gradients(begun: Begun, at: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Of the mean cross-entropy over all training images, in double precision."""
    dataset = begun.dataset()
    train_N = split(dataset, begun.experiment.data.split).train_N
    model = network(len(dataset.classes), 8).double()
    model.load_state_dict(at)
    logits_NK = model(normal_images(dataset, train_N))
    torch.nn.functional.cross_entropy(logits_NK, torch.from_numpy(dataset.labels_N[train_N])).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


def test_dropout_and_batch_statistics_are_those_of_training(tmp_path: Path) -> None:
    hard = begin(tmp_path / "hard", experiment(None, HARD))
    hard.ended()
    batches = -(-len(split(hard.dataset(), hard.experiment.data.split).train_N) // 32)
    assert weights(hard)["1.num_batches_tracked"] == 3 * batches
    still = begin(tmp_path / "still", experiment(None, {"dropout": 0.5}, lr=1e-30)).ended().history
    assert all(row["train/loss"] > 1.01 * row["val/loss"] for row in still)
    assert len({row["val/loss"] for row in still}) == 1


def test_auto_precision_is_that_of_the_machine(tmp_path: Path) -> None:
    auto = begin(tmp_path / "auto", experiment(), precision="bfloat16").ended()
    asked = begin(tmp_path / "asked", experiment(precision="bfloat16"), precision="float32").ended()
    single = begin(tmp_path / "single", experiment(), precision="float32").ended()
    assert untimed(auto.history) == untimed(asked.history)
    assert untimed(auto.history) != untimed(single.history)


# The test images, and what is left behind


def logits_of(begun: Begun, indices_N: NDArray[np.int64]) -> NDArray[np.float64]:
    """The logged model on a data set's images, by hand."""
    dataset = begun.dataset()
    model = network(len(dataset.classes), 8, **begun.experiment.model.arguments)
    model.load_state_dict(weights(begun))
    with torch.no_grad():
        return model.eval().double()(normal_images(dataset, indices_N)).numpy()


def normal_images(dataset: Dataset, indices_N: NDArray[np.int64]) -> torch.Tensor:
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    pixels_NHWC = (dataset.images_NCHW[indices_N].transpose(0, 2, 3, 1) / 255 - mean) / deviation
    return torch.from_numpy(pixels_NHWC.transpose(0, 3, 1, 2))


@pytest.fixture(scope="module")
def worst_first(tmp_path_factory: pytest.TempPathFactory) -> Begun:
    """A complete trial whose best epoch, by an odd objective, is its first."""
    of = replace(experiment(AUGMENT, HARD, epochs=3), objective=Objective("train/loss", "max"))
    begun = begin(tmp_path_factory.mktemp("worst_first"), of)
    assert begun.ended().best_epoch == 1
    return begun


@pytest.mark.parametrize("part", ["val", "test"])
def test_the_summary_is_what_the_best_epochs_weights_do(worst_first: Begun, part: str) -> None:
    dataset, summary = worst_first.dataset(), worst_first.folder.read_result().summary
    indices_N = getattr(split(dataset, worst_first.trial.settings.data.split), f"{part}_N")
    labels_N, logits_NK = dataset.labels_N[indices_N], logits_of(worst_first, indices_N)
    rank_N = (logits_NK > logits_NK[np.arange(len(labels_N)), labels_N][:, None]).sum(1)
    probabilities_NK = softmax(logits_NK, axis=1)
    error = calibration_error_by_bins(probabilities_NK.max(1), logits_NK.argmax(1) == labels_N)
    assert summary[f"{part}/ece"] == pytest.approx(error, rel=1e-4)
    assert summary[f"{part}/loss"] == pytest.approx(log_loss(labels_N, probabilities_NK, labels=range(10)), rel=1e-4)
    assert summary[f"{part}/top1"] == pytest.approx((rank_N < 1).mean(), abs=1e-6)
    assert summary[f"{part}/top5"] == pytest.approx((rank_N < 5).mean(), abs=1e-6)


@pytest.mark.parametrize("part", ["val", "test"])
def test_tables_and_predictions_agree_with_the_summary(worst_first: Begun, part: str) -> None:
    dataset, summary = worst_first.dataset(), worst_first.folder.read_result().summary
    indices_N = getattr(split(dataset, worst_first.trial.settings.data.split), f"{part}_N")
    logits_NK = logits_of(worst_first, indices_N)
    predictions = pd.read_parquet(io.BytesIO(worst_first.folder.artifacts.read("predictions.parquet")))
    ours = predictions[predictions["split"] == part]
    assert ours["sample"].tolist() == [dataset.samples[index] for index in indices_N.tolist()]
    assert ours["label"].tolist() == dataset.labels_N[indices_N].tolist()
    assert ours["prediction"].tolist() == logits_NK.argmax(1).tolist()
    confidences_N = np.exp(logits_NK).max(1) / np.exp(logits_NK).sum(1)
    np.testing.assert_allclose(ours["confidence"], confidences_N, rtol=1e-4)
    per_class = [row for row in rows_of(worst_first, "per_class.csv") if row["split"] == part]
    right = ours[ours["label"] == ours["prediction"]]
    assert [row["class"] for row in per_class] == [one.name for one in dataset.classes]
    assert [int(row["images"]) for row in per_class] == np.bincount(ours["label"], minlength=10).tolist()
    assert [int(row["correct"]) for row in per_class] == np.bincount(right["label"], minlength=10).tolist()
    assert sum(int(row["correct"]) for row in per_class) / len(ours) == pytest.approx(summary[f"{part}/top1"])


def test_the_confusion_matrix_is_that_of_the_test_predictions(worst_first: Begun) -> None:
    predictions = pd.read_parquet(io.BytesIO(worst_first.folder.artifacts.read("predictions.parquet")))
    test = predictions[predictions["split"] == "test"]
    counts = [[int(cell) for cell in list(row.values())[1:]] for row in rows_of(worst_first, "confusion.csv")]
    assert counts == confusion_matrix(test["label"], test["prediction"], labels=range(10)).tolist()


def test_training_and_pruning_never_look_at_the_test_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of = replace(experiment(AUGMENT, HARD), objective=Objective("val/loss", "min"))
    honest, pruned = begin(tmp_path / "honest", of), begin(tmp_path / "pruned", of)
    honest.ended()
    pruned.ended(Told({2: Answer.PRUNE}))
    monkeypatch.setenv("SWEEPER_CACHE", str(tmp_path / "cache"))
    scramble_test_images(of)
    blind, blind_pruned = begin(tmp_path / "blind", of), begin(tmp_path / "blind_pruned", of)
    one, other = honest.folder.read_result(), blind.ended()
    blind_pruned.ended(Told({2: Answer.PRUNE}))
    assert untimed(one.history) == untimed(other.history)
    assert one.best_epoch == other.best_epoch
    assert same_weights(honest, blind)
    differing = {name for name in one.summary if one.summary[name] != other.summary[name]}
    assert {"test/loss", "test/top1"} <= differing <= {"test/loss", "test/top1", "test/top5", "test/ece"}
    for name in ("per_class.csv", "confusion.csv", "predictions.parquet"):
        assert pruned.folder.artifacts.read(name) == blind_pruned.folder.artifacts.read(name)


def scramble_test_images(of: Any) -> None:
    """Overwrite the test images, and only these, in this cache's prepared arrays."""
    dataset = prepare(of.data, default_cache())
    images_NCHW = np.load(dataset.folder / "images.npy", mmap_mode="r+")
    test_N = split(dataset, of.data.split).test_N
    images_NCHW[test_N] = np.random.default_rng(0).integers(0, 256, images_NCHW[test_N].shape, np.uint8)
    images_NCHW.flush()
    note_verified(dataset.folder)  # else their checksum would tell, and they would be made again


def test_no_model_is_left_when_none_is_wanted(tmp_path: Path) -> None:
    begun = begin(tmp_path, replace(experiment(epochs=1), artifacts=Artifacts("none")))
    begun.ended()
    assert begun.folder.artifacts.names() == ["confusion.csv", "per_class.csv", "pictures", "predictions.parquet"]


# Splits and sizes at the edge


@pytest.mark.parametrize(
    ("shares", "parts"),
    [(Split(0.5, 0.0, 0.5), {"train", "test"}), (Split(0.5, 0.5, 0.0), {"train", "val"}), (Split(1, 0, 0), {"train"})],
)
def test_a_split_may_have_no_validation_or_test_images(tmp_path: Path, shares: Split, parts: set[str]) -> None:
    of = replace(experiment({"split": shares}, epochs=2), objective=Objective("train/loss", "min"))
    begun = begin(tmp_path, of)
    result = begun.ended()
    assert {name.partition("/")[0] for name in result.summary if "/" in name} == parts
    assert begun.folder.artifacts.exists("model.pt")
    assert begun.folder.artifacts.exists("per_class.csv") == (parts != {"train"})


def test_an_objective_without_validation_images_is_refused_before_training(tmp_path: Path) -> None:
    begun, told = begin(tmp_path, experiment({"split": Split(0.5, 0.0, 0.5)})), Told()
    with pytest.raises(DataError, match=r"val/top1 is the objective.*no validation images"):
        begun.fit(told)
    assert told.reports == []


@pytest.mark.parametrize(("shares", "test"), [("official", []), (Split(0.6, 0.4, "official"), [*range(25, 35)])])
def test_official_images_validate_or_test(tmp_path: Path, shares: Any, test: list[int]) -> None:
    root = write_zip(tmp_path / "tiny.zip", tiny_files())
    data = {"name": "tiny-imagenet", "root": str(root), "image_size": 16, "split": shares}
    begun = begin(tmp_path / "sweeps", experiment(data, {"name": "trials:pooled"}, epochs=1))
    assert ("test/top1" in begun.ended().summary) == bool(test)
    predictions = pd.read_parquet(io.BytesIO(begun.folder.artifacts.read("predictions.parquet")))
    official = predictions[predictions["sample"].str.startswith("val/")]
    assert set(official["split"]) == ({"test"} if test else {"val"})
    assert len(official) == 10


def test_a_batch_may_be_larger_than_the_training_set(tmp_path: Path) -> None:
    result = begin(tmp_path, experiment(batch_size=5000, lr=1e-30, epochs=2)).ended()
    assert result.history[0]["train/loss"] == pytest.approx(result.history[1]["train/loss"], rel=1e-6)


def test_a_last_batch_of_one_image_is_left_out_of_the_epoch_and_its_metrics(tmp_path: Path) -> None:
    of = experiment(model={"name": "trials:pooled"})
    images = len(split(prepare(of.data, default_cache()), of.data.split).train_N)
    size = next(size for size in range(20, images) if images % size == 1)
    of = replace(of, train=replace(of.train, batch_size=size))
    for row in begin(tmp_path, of).ended().history:
        hits = row["train/top1"] * (images - 1)
        assert hits == pytest.approx(round(hits), abs=1e-6)


def test_every_top5_guess_is_right_among_three_classes(tmp_path: Path) -> None:
    summary = begin(tmp_path, experiment({"classes": 3}, epochs=1)).ended().summary
    assert summary["val/top5"] == summary["test/top5"] == 1.0


# How trials end


def test_an_ended_trial_returns_its_result_without_training(tmp_path: Path) -> None:
    begun, told = begin(tmp_path, experiment(epochs=1)), Told()
    result = begun.ended()
    assert begun.ended(told) == result
    assert told.reports == []


def test_a_pruned_trial_keeps_its_last_epoch_and_says_so(tmp_path: Path) -> None:
    begun = begin(tmp_path, experiment(epochs=4))
    result = begun.ended(Told({2: Answer.PRUNE}))
    assert result.state is TrialState.PRUNED
    assert len(result.history) == result.saved_epoch == 2
    assert not any(name.startswith("test/") for name in result.summary)
    assert {row["split"] for row in rows_of(begun, "per_class.csv")} == {"val"}
    assert not begun.folder.artifacts.exists("model.pt")
    assert begun.folder.exists("checkpoint.pt")


def test_a_trial_that_is_pruned_or_halted_after_its_last_epoch_is_complete(tmp_path: Path) -> None:
    for answer in (Answer.PRUNE, Answer.HALT):
        result = begin(tmp_path / answer.name, experiment(epochs=2)).ended(Told({2: answer}))
        assert result.state is TrialState.COMPLETE


def test_a_diverged_trial_ends_with_the_row_that_says_so(tmp_path: Path) -> None:
    begun, told = begin(tmp_path, experiment(lr=1e30)), Told()
    result = begun.ended(told)
    assert result.state is TrialState.DIVERGED
    assert not np.isfinite(result.history[-1]["train/loss"])
    assert not any(name.startswith("test/") for name in result.summary)
    assert begun.folder.names() == ["result.json", "trial.json"]
    assert str(begun.folder.read_result()) == str(result)  # NaN is not equal to itself


def test_a_trial_that_diverges_late_keeps_its_best_epoch(tmp_path: Path) -> None:
    begun = begin(tmp_path, experiment(epochs=4)).halted_at(2)
    state = checkpoint.load(begun.folder, "checkpoint.pt")
    state["model"]["5.weight"] = torch.full_like(state["model"]["5.weight"], 3e38)
    checkpoint.save(begun.folder, "checkpoint.pt", state)
    result = begun.ended()
    assert result.state is TrialState.DIVERGED
    assert len(result.history) == 3
    assert result.summary["val/top1"] == max(row["val/top1"] for row in result.history[:2])


def test_data_that_have_changed_since_the_plan_are_refused(tmp_path: Path) -> None:
    images = dict(class_files("cat", "dog", each=8))
    folder = write_folder(tmp_path / "images", images)
    data = {"name": "folder", "root": str(folder), "image_size": 16}
    begun = begin(tmp_path / "sweeps", experiment(data, {"name": "trials:pooled"}))
    (folder / "cat" / "0.jpg").write_bytes(encoded(999))
    with pytest.raises(DataError, match="data set has changed"):
        begun.fit()
    assert begun.folder.names() == ["trial.json"]


def test_a_sweep_without_a_machine_is_refused(tmp_path: Path) -> None:
    begun = begin(tmp_path, experiment())
    begun.sweep.folder.remove("machine.json")
    with pytest.raises(ValueError, match=r"no machine\.json"):
        begun.fit()


# Going on


@pytest.mark.parametrize("answer", [Answer.PRUNE, Answer.HALT])
def test_a_trial_that_goes_on_ends_as_one_that_was_never_stopped(tmp_path: Path, answer: Answer) -> None:
    of = experiment(AUGMENT, HARD, epochs=4, **ALL_STATE)
    whole, stopped, told = begin(tmp_path / "whole", of), begin(tmp_path / "stopped", of), Told()
    whole.ended()
    result = stopped.fit(Told({2: answer}))
    assert (result is None) == (answer is Answer.HALT) == (not stopped.folder.exists("result.json"))
    stopped.folder.reopen()
    stopped.ended(told)
    assert told.epochs == [[1, 2], [3], [4]]
    assert told.reports[0][1] == 2
    assert_same_end(whole, stopped)


def test_a_trial_that_goes_on_remembers_its_best_epoch(tmp_path: Path) -> None:
    of = replace(experiment(AUGMENT, HARD, epochs=4), objective=Objective("train/loss", "max"))
    whole, stopped = begin(tmp_path / "whole", of), begin(tmp_path / "stopped", of)
    assert whole.ended().best_epoch == 1
    stopped.halted_at(2).halted_at(3).ended()
    assert_same_end(whole, stopped)


def test_a_trial_that_went_on_may_be_stopped_before_it_trains(tmp_path: Path) -> None:
    begun = begin(tmp_path, experiment(epochs=4)).halted_at(2)
    assert begun.fit(Told({2: Answer.HALT})) is None
    told = Told({2: Answer.PRUNE})
    assert begun.ended(told).saved_epoch == 2
    assert told.epochs == [[1, 2]]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_killed_at_random_it_ends_as_one_that_was_never_touched(tmp_path: Path, precision: str) -> None:
    of = replace(experiment(AUGMENT, HARD, epochs=8, **ALL_STATE), checkpoint=Checkpoint(every_seconds=0))
    whole, killed = begin(tmp_path / "whole", of, 0, precision), begin(tmp_path / "killed", of, 0, precision)
    whole.ended()
    epochs, told = sorted(random.Random(precision).sample(range(1, 7), 2)), Told()
    for epoch in epochs:
        assert train_until_killed(killed, epoch) == -signal.SIGKILL
        assert not killed.folder.exists("result.json")
    killed.ended(told)
    rows, saved_epoch = told.reports[0]
    assert len(rows) == saved_epoch >= epochs[-1]
    assert_same_end(whole, killed)


def test_what_a_killed_process_was_writing_is_cleared_away(tmp_path: Path) -> None:
    begun = begin(tmp_path, experiment(epochs=2)).halted_at(1)
    begun.folder.write("checkpoint.pt.0123abcd.tmp", b"half a checkpoint")
    begun.folder.artifacts.write("model.pt.0123abcd.tmp", b"half a model")
    begun.ended()
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("damage", ["torn", "flipped", "emptied"])
def test_a_damaged_checkpoint_is_named_and_never_trained_over(tmp_path: Path, damage: str) -> None:
    begun, told = begin(tmp_path, experiment(epochs=2)).halted_at(1), Told()
    file = Path(begun.folder.at("checkpoint.pt"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes({"torn": content[: len(content) // 2], "flipped": content, "emptied": b""}[damage])
    damaged = file.read_bytes()
    with pytest.raises(StoreError, match=str(file)):
        begun.fit(told)
    assert told.reports == []
    assert file.read_bytes() == damaged
    assert not begun.folder.exists("result.json")


def test_with_the_latest_checkpoint_gone_a_trial_goes_on_from_the_one_before(tmp_path: Path) -> None:
    of, told = replace(experiment(AUGMENT, epochs=4), checkpoint=Checkpoint(every_seconds=0)), Told()
    whole, begun = begin(tmp_path / "whole", of), begin(tmp_path / "begun", of)
    whole.ended()
    begun.halted_at(3).folder.remove("checkpoint.pt")
    begun.ended(told)
    assert told.epochs == [[1, 2], [3], [4]]
    assert_same_end(whole, begun)


def test_what_a_users_model_raises_leaves_a_trial_that_can_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    monkeypatch.setenv("SWEEPER_TEST_BROKEN", str(broken))
    of = replace(experiment(AUGMENT, {**HARD, "breaks": True}, epochs=4), checkpoint=Checkpoint(every_seconds=0))
    whole, interrupted = begin(tmp_path / "whole", of), begin(tmp_path / "interrupted", of)
    whole.ended()

    def break_after_two(rows: Any, saved_epoch: int) -> Answer:
        if rows[-1]["epoch"] == 2:
            broken.touch()
        return Answer.GO_ON

    with pytest.raises(ArithmeticError, match="on purpose"):
        interrupted.fit(break_after_two)
    assert not interrupted.folder.exists("result.json")
    broken.unlink()
    told = Told()
    interrupted.ended(told)
    assert told.epochs == [[1, 2], [3], [4]]
    assert_same_end(whole, interrupted)
