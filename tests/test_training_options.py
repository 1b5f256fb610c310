"""What the options of training and data do to whole trials: exact resumption, weights, precision, crops, histograms."""

import io
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow.pytorch
import numpy as np
import pandas as pd
import pytest
import torch
from test_fit import assert_same_end, normal_images, weights
from torch import nn
from torch.overrides import TorchFunctionMode
from torchvision.transforms.v2 import functional as reference
from trials import Told, begin, experiment, network, untimed

from sweeper.data import ClassName, DataError
from sweeper.data.split import split
from sweeper.experiment import Artifacts, Objective, Split, named_of
from sweeper.models import ModelError
from sweeper.publishing import logged_model
from sweeper.training import estimate, feed, histograms
from sweeper.training.classifier import load_classifier
from sweeper.training.loop import evaluation_batch
from sweeper.training.weighting import class_weights
from sweeper.trial import Answer, TrialState

HARD = {"dropout": 0.3, "batch_norm": True}
DEEP = {"name": "wide_resnet_bottleneck", "width": 1, "blocks": 1}  # 14 convolutions, 11 normalisations
EVERYTHING = {
    "augment": (
        "random_crop", "horizontal_flip", "brightness", "contrast", "saturation", "hue", "random_erasing", "mixup", "cutmix",
    ),
    "image_size": 10, "crop_size": 8, "normalisation": "dataset", "evaluation": "ten_crop", "split": Split(0.2, 0.1, 0.1),
}  # fmt: skip
RUNS: dict[str, dict[str, Any]] = {
    "plateau": {
        "schedule": "plateau",
        "patience": 0,
        "gamma": 0.5,
        "optimizer": "adam",
        "lr": 0.01,
        "warmup_epochs": 1,
    },
    "one_cycle": {"schedule": "one_cycle", "optimizer": "adamw", "lr": 0.01, "weight_decay": 0.1},
    "cosine": {"schedule": "cosine", "warmup_epochs": 1, "nesterov": True},
    "cyclic": {"schedule": "cyclic", "cycle_epochs": 2, "min_lr": 1e-4},
}


@pytest.mark.parametrize(
    ("run", "precision"),
    [("plateau", "float32"), ("one_cycle", "bfloat16"), ("cosine", "float32"), ("cyclic", "bfloat16")],
)
def test_with_everything_on_a_trial_that_goes_on_ends_as_one_never_stopped(
    tmp_path: Path, run: str, precision: str
) -> None:
    train = {"ema": 0.9, "clip_norm": 1.0, "class_weights": "balanced", **RUNS[run]}
    of = experiment(EVERYTHING, HARD, epochs=6, loss=named_of({"name": "focal", "gamma": 1.0}), **train)
    of = replace(of, artifacts=Artifacts(histograms=2))
    whole, stopped = begin(tmp_path / "whole", of, 0, precision), begin(tmp_path / "stopped", of, 0, precision)
    whole.ended()
    stopped.halted_at(1).halted_at(4).ended()
    assert_same_end(whole, stopped)
    for name in ("histograms.parquet", "predictions.parquet", "per_class.csv"):
        assert whole.folder.artifacts.read(name) == stopped.folder.artifacts.read(name)


def test_the_rate_of_a_row_is_that_of_the_epochs_last_step(tmp_path: Path) -> None:
    of = experiment(schedule="one_cycle", lr=0.4, epochs=2)
    begun = begin(tmp_path, of)
    steps = -(-len(split(begun.dataset(), of.data.split).train_N) // 32)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.4, total_steps=2 * steps, cycle_momentum=False)
    expected = []
    for step in range(2 * steps):
        if step % steps == steps - 1:
            expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step < 2 * steps - 1:
            scheduler.step()
    assert [row["lr"] for row in begun.ended().history] == pytest.approx(expected, rel=1e-9)


def test_a_trial_is_complete_at_the_last_cut_it_was_given(tmp_path: Path) -> None:
    of = experiment(epochs=20, lr=1e-30, schedule="plateau", patience=1, stop_after=2)  # nothing is ever better
    begun, told = begin(tmp_path, of), Told()
    result = begun.ended(told)
    assert result.state is TrialState.COMPLETE
    assert len(result.history) == 5  # the first is the best; cuts after the third and the fifth
    assert [row["lr"] for row in result.history] == pytest.approx([1e-30] * 3 + [1e-31] * 2)
    assert "test/top1" in result.summary
    assert begun.ended() == result
    halted = begin(tmp_path / "halted", of)
    halted.fit(Told({5: Answer.HALT}))
    assert halted.folder.read_result().state is TrialState.COMPLETE


@pytest.mark.parametrize(
    ("model", "epochs", "optimizer", "lr"),
    [(HARD, 6, "sgd", 0.05), (HARD, 6, "adam", 0.01), (HARD, 6, "adamw", 0.01), (DEEP, 4, "sgd", 0.05)],
)
def test_bfloat16_learns_what_float32_learns(
    tmp_path: Path, model: dict[str, Any], epochs: int, optimizer: Any, lr: float
) -> None:
    """Within 0.04 of the accuracy, 18 of 449 images; weights, running statistics and losses stay float32."""
    of = experiment(model=model, epochs=epochs, optimizer=optimizer, lr=lr, schedule="cosine")
    single, half = begin(tmp_path / "single", of), begin(tmp_path / "half", of, precision="bfloat16")
    accuracy = [begun.ended().summary["test/top1"] for begun in (single, half)]
    assert min(accuracy) > 0.85
    assert accuracy[0] == pytest.approx(accuracy[1], abs=0.04)
    kept = {name: value for name, value in weights(half).items() if value.is_floating_point()}
    assert not [name for name, value in kept.items() if torch.equal(value, value.bfloat16().float())]
    losses = torch.tensor(
        [row[name] for row in half.folder.read_result().history for name in ("train/loss", "val/loss")]
    )
    assert not (losses == losses.bfloat16()).any()


# Class weights


def test_a_class_that_weighs_more_is_missed_less(tmp_path: Path) -> None:
    def missed(name: str, weights: Any) -> float:
        begun = begin(tmp_path / name, experiment({"classes": 4}, epochs=1, lr=0.002, class_weights=weights))
        begun.ended()
        table = pd.read_csv(io.BytesIO(begun.folder.artifacts.read("per_class.csv"))).query("split == 'val'")
        return float(1 - table["top1"].iloc[3])

    assert missed("heavy", {"3": 50.0}) < missed("light", (1.0, 1.0, 1.0, 0.02)) - 0.2


def test_weights_that_are_all_the_same_change_nothing(tmp_path: Path) -> None:
    plain = begin(tmp_path / "plain", experiment()).ended()
    same = begin(tmp_path / "same", experiment(class_weights=(2.0,) * 10)).ended()
    assert [row["train/loss"] for row in plain.history] == pytest.approx([row["train/loss"] for row in same.history])


def test_balanced_weights_are_scikit_learns(tmp_path: Path) -> None:
    from sklearn.utils.class_weight import compute_class_weight

    dataset = begin(tmp_path, experiment({"classes": 3})).dataset()
    labels_N = np.array([0] * 5 + [1] * 9 + [2] * 2)
    weights_K = class_weights("balanced", dataset, torch.from_numpy(labels_N))
    assert weights_K is not None
    np.testing.assert_allclose(weights_K, compute_class_weight("balanced", classes=np.arange(3), y=labels_N), rtol=1e-6)


def test_a_trial_is_balanced_by_its_training_images(tmp_path: Path) -> None:
    trainer = begin(tmp_path, experiment({"split": Split(0.05, 0.5, 0.45)}, class_weights="balanced")).trainer()
    counts_K = np.bincount(trainer.feed.labels_N[trainer.feed.train_N])
    assert trainer.weights_K is not None
    np.testing.assert_allclose(trainer.weights_K, counts_K.sum() / (10 * counts_K), rtol=1e-6)
    everywhere_K = np.bincount(trainer.feed.labels_N)
    assert np.abs(everywhere_K.sum() / (10 * everywhere_K) / trainer.weights_K.numpy() - 1).max() > 1e-3


@pytest.mark.parametrize(
    ("weights", "expected"),
    [({"two": 2.5, "n00": 0.5}, [0.5, 1.0, 2.5]), ({"n01": 3.0}, [1.0, 3.0, 1.0]), ((4.0, 0.1, 1.0), [4.0, 0.1, 1.0])],
)
def test_a_class_is_weighed_by_its_name_its_id_or_its_place_and_else_by_1(
    tmp_path: Path, weights: Any, expected: list[float]
) -> None:
    names = tuple(ClassName(name, f"n{place:02}") for place, name in enumerate(("nought", "one", "two")))
    dataset = replace(begin(tmp_path, experiment({"classes": 3})).dataset(), classes=names)
    weights_K = class_weights(weights, dataset, torch.from_numpy(dataset.labels_N))
    assert weights_K is not None
    torch.testing.assert_close(weights_K, torch.tensor(expected))


@pytest.mark.parametrize(
    ("weights", "word"),
    [({"3": 2.0, "twelve": 1.0}, "'twelve'.*no class of these images"), ((1.0, 2.0), "lists 2 weights.*10 classes")],
)
def test_weights_of_other_classes_are_refused(tmp_path: Path, weights: Any, word: str) -> None:
    with pytest.raises(DataError, match=word):
        begin(tmp_path, experiment(class_weights=weights)).fit()


def test_validation_and_test_losses_are_without_weights(tmp_path: Path) -> None:
    still = {"lr": 1e-30, "epochs": 1}
    plain = begin(tmp_path / "plain", experiment(**still)).ended().summary
    weighted = begin(tmp_path / "weighted", experiment(class_weights={"0": 100.0}, **still)).ended().summary
    assert plain["val/loss"] == weighted["val/loss"]
    assert plain["test/loss"] == weighted["test/loss"]
    assert plain["train/loss"] != weighted["train/loss"]


# Crops


def test_test_images_are_judged_by_the_mean_logits_of_torchvisions_ten_crops(tmp_path: Path) -> None:
    data = {"image_size": 12, "crop_size": 8, "evaluation": "ten_crop", "normalisation": "dataset"}
    begun = begin(tmp_path, experiment(data, epochs=1))
    result, dataset = begun.ended(), begun.dataset()
    indices, model = split(dataset, begun.experiment.data.split), begun.experiment.model
    classifier = load_classifier(begun.folder.artifacts, model, {model.name})
    pixels_NHWC = dataset.images_NCHW[indices.train_N].transpose(0, 2, 3, 1) / 255
    mean, deviation = pixels_NHWC.mean((0, 1, 2)).tolist(), pixels_NHWC.std((0, 1, 2)).tolist()
    np.testing.assert_allclose(classifier.mean_3, mean, rtol=1e-5)
    hits = {}
    with torch.no_grad():
        images_NCHW = torch.from_numpy(dataset.images_NCHW[indices.test_N])
        crops = [reference.normalize(crop / 255, mean, deviation) for crop in reference.ten_crop(images_NCHW, [8, 8])]
        logits_NK = torch.stack([classifier.network(crop) for crop in crops]).mean(0)
        hits["test"] = (logits_NK.argmax(1).numpy() == dataset.labels_N[indices.test_N]).mean()
        middles_NCHW = reference.center_crop(torch.from_numpy(dataset.images_NCHW[indices.val_N]), [8, 8])
        val_NK = classifier.network(reference.normalize(middles_NCHW / 255, mean, deviation))
        hits["val"] = (val_NK.argmax(1).numpy() == dataset.labels_N[indices.val_N]).mean()
    loss = torch.nn.functional.cross_entropy(logits_NK, torch.from_numpy(dataset.labels_N[indices.test_N]))
    assert result.summary["test/top1"] == pytest.approx(hits["test"])
    assert result.summary["test/loss"] == pytest.approx(loss.item(), rel=1e-4)
    assert result.summary["val/top1"] == pytest.approx(hits["val"])  # middles, as after every epoch


def test_colour_and_erasing_change_what_is_learned_from_but_not_the_judging(tmp_path: Path) -> None:
    still = {"lr": 1e-30, "epochs": 1}
    plain = begin(tmp_path / "plain", experiment(**still)).ended().history
    for name in ("brightness", "contrast", "random_erasing", "mixup", "cutmix"):
        (row,) = begin(tmp_path / name, experiment({"augment": (name,)}, **still)).ended().history
        assert row["val/loss"] == plain[0]["val/loss"]
        assert abs(row["train/loss"] - plain[0]["train/loss"]) > 1e-4


# What an epoch asks of the device, and what a model must make


class Waiting(TorchFunctionMode):
    """Counts what a GPU would have to be waited for: sums that are listed, and copies over to it that do not say otherwise.

    torch's `meta` device, which has no values, stands in for a GPU: lists are of zeros, any other look at a value raises.
    """

    copies = (torch.Tensor.to, torch.Tensor.copy_, torch.tensor, torch.as_tensor)

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        is_on_device = [one.is_meta for one in args if isinstance(one, torch.Tensor)]
        if func == torch.Tensor.tolist and all(is_on_device):
            self.count += 1
            return torch.zeros(args[0].shape).tolist()
        result = func(*args, **kwargs)
        if func in self.copies and result.is_meta and not kwargs.get("non_blocking"):
            self.count += not (is_on_device and all(is_on_device))
        return result


def test_an_epoch_waits_for_the_device_as_often_whatever_the_number_of_its_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "_fits", lambda dataset, device: True)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # it knows no such device
    counts = []
    for size in (100, 20, 100):
        train = {"ema": 0.9, "clip_norm": 1.0, "class_weights": "balanced"}
        trainer = begin(tmp_path / str(size), experiment(EVERYTHING, HARD, batch_size=size, **train)).trainer("meta")
        trainer.optimizer.param_groups[0]["fused"] = False  # there is no such kernel
        with Waiting() as waiting:
            trainer.train_epoch(1, ())
        counts.append(waiting.count)
    assert counts[1] == counts[2] == 9  # the epoch's sums; its order, corners, flips, four colours and boxes go over


def wide(classes: int, image_size: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * image_size**2, classes + 1))


def test_a_model_that_makes_no_logits_of_the_classes_is_told_at_its_first_step(tmp_path: Path) -> None:
    begun, told = begin(tmp_path, experiment(model={"name": f"{__name__}:wide"})), Told()
    with pytest.raises(ModelError, match=r"a tensor of shape \(32, 11\).*logits, \(32, 10\)"):
        begun.fit(told)
    assert told.reports == []


@pytest.mark.parametrize(("pixels", "images"), [(8, 256), (64, 256), (128, 256), (224, 83), (1024, 4)])
def test_fewer_images_are_evaluated_at_once_where_they_are_large(pixels: int, images: int) -> None:
    assert evaluation_batch(pixels) == images


@pytest.mark.parametrize(
    ("train", "times"),
    [({"momentum": 0.0}, 2), ({}, 3), ({"optimizer": "adam"}, 4), ({"optimizer": "adam", "ema": 0.9}, 5)],
)
def test_the_memory_of_a_plan_is_of_all_that_training_keeps_of_each_weight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train: Any, times: int
) -> None:
    monkeypatch.setattr(estimate, "MEASURED_SECONDS", 0.0)
    begun = begin(tmp_path, experiment(**train))
    machine, dataset = begun.sweep.machine(), begun.dataset()
    assert machine
    cost = estimate.measure(begun.trial.settings, dataset, split(dataset, begun.experiment.data.split), machine)
    assert cost.training_mib * 2**20 == pytest.approx(times * 4 * cost.parameters, rel=1e-3)


def test_the_model_to_log_judges_as_the_trial_did_and_needs_what_it_is_made_of(tmp_path: Path) -> None:
    data = {"classes": 2, "image_size": 24, "crop_size": 20, "normalisation": "dataset", "split": Split(0.2, 0.2, 0.2)}
    begun = begin(tmp_path, experiment(data, {"name": "torchvision.squeezenet1_1"}, epochs=1, lr=0.001))
    (record,), result, dataset = begun.sweep.records(), begun.ended(), begun.dataset()
    logged, test_N = logged_model(begun.sweep, record), split(dataset, begun.experiment.data.split).test_N
    assert logged
    logged.save(str(tmp_path / "saved"), {})
    network = mlflow.pytorch.load_model(str(tmp_path / "saved"))
    with torch.no_grad():
        logits_NK = network(torch.from_numpy(dataset.images_NCHW[test_N]))
    loss = torch.nn.functional.cross_entropy(logits_NK, torch.from_numpy(dataset.labels_N[test_N]))
    assert loss.item() == pytest.approx(result.summary["test/loss"], rel=1e-4)
    needs = (tmp_path / "saved" / "requirements.txt").read_text().split()
    assert {need.partition("==")[0] for need in needs} - {"mlflow"} == {"torch", "numpy", "torchvision"}


# Histograms


class Saying(nn.Module):
    def __init__(self, said: list[str], word: str) -> None:
        super().__init__()
        self.said, self.word = said, word

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        self.said.append(self.word)
        return values + 1


def test_activations_are_counted_as_they_come_and_those_of_a_layer_called_twice_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    one, other = Saying(said, "one"), Saying(said, "other")
    network, counted = nn.Sequential(one, other, one), histograms.binned
    monkeypatch.setattr(histograms, "binned", lambda values: said.append("counted") or counted(values))
    rows = list(histograms.activations(network, torch.zeros(2, 3)))
    assert said == ["one", "counted", "other", "counted", "one", "counted"]
    assert [(row["layer"], row["low"]) for row in rows] == [("0", 0.5), ("1", 1.5), ("0 (2)", 2.5)]


def test_histograms_count_every_weight_and_activation_where_it_is(tmp_path: Path) -> None:
    last = Objective("train/loss", "min")
    of = replace(experiment(model=HARD, epochs=4, ema=0.9), artifacts=Artifacts(histograms=2), objective=last)
    plain, begun = begin(tmp_path / "plain", replace(of, artifacts=Artifacts())), begin(tmp_path / "asked", of)
    assert untimed(plain.ended().history) == untimed(begun.ended().history)
    assert not plain.folder.artifacts.exists("histograms.parquet")
    table = pd.read_parquet(io.BytesIO(begun.folder.artifacts.read("histograms.parquet")))
    assert sorted(set(table["epoch"])) == [2, 4]
    assert begun.folder.read_result().best_epoch == 4
    kept, rows = weights(begun), table[(table["epoch"] == 4) & (table["kind"] == "weight")].set_index("layer")
    for name in rows.index:
        counts, _ = np.histogram(kept[name].numpy().astype(np.float64), 64, (rows["low"][name], rows["high"][name]))
        assert np.abs(counts - rows["counts"][name]).sum() <= 4  # at the edges of bins, floats round either way
    assert set(table[table["kind"] == "weight"]["layer"]) == {
        name for name in kept if name.endswith(("weight", "bias"))
    }
    activations = table[(table["kind"] == "activation") & (table["epoch"] == 4)].set_index("layer")
    assert list(activations.index) == ["0", "1", "2", "3", "4", "5"]
    assert activations["low"]["2"] == 0  # what ReLU leaves
    assert [sum(counts) for counts in activations["counts"]] == [256 * 12 * 16] * 5 + [256 * 10]
    val_N = split(begun.dataset(), of.data.split).val_N[:256]
    model, at = network(10, 8, **HARD).eval(), normal_images(begun.dataset(), val_N).float()
    model.load_state_dict(kept)
    for name, layer in model.named_children():
        at = layer(at).detach()
        low, high = activations["low"][name], activations["high"][name]
        assert (low, high) == pytest.approx((at.min().item(), at.max().item()), rel=1e-3, abs=1e-4)
        counts, _ = np.histogram(at.numpy(), 64, (low, high))
        assert np.abs(counts - activations["counts"][name]).sum() < 0.005 * at.numel()
