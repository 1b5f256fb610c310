"""Whole trials of networks that users may write: what they keep, how they begin, what they draw, in what form they compute."""

import hashlib
import random
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from test_fit import assert_same_end, weights
from torch import Tensor, nn
from trials import begin, experiment

from sweeper.data.split import split
from sweeper.experiment import Objective
from sweeper.models import build
from sweeper.training import checkpoint
from sweeper.training.classifier import load_classifier

# Networks that are hard to go on with


class LayerDrop(nn.Module):
    """Leaves a layer out by Python's and by numpy's random numbers."""

    def __init__(self, classes: int, image_size: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3 * image_size**2, 32), nn.Linear(32, 32)
        self.last = nn.Linear(32, classes)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        hidden_NF = self.first(images_NCHW.flatten(1)).relu()
        if not self.training or (random.random() < 0.5 and np.random.random() < 0.5):
            hidden_NF = self.second(hidden_NF)
        logits_NK: Tensor = self.last(hidden_NF)
        return logits_NK


class Centred(nn.Module):
    """Takes out a running mean, a buffer that it assigns anew."""

    mean_F: Tensor

    def __init__(self, classes: int, image_size: int) -> None:
        super().__init__()
        self.last = nn.Linear(3 * image_size**2, classes)
        self.register_buffer("mean_F", torch.zeros(3 * image_size**2))

    def forward(self, images_NCHW: Tensor) -> Tensor:
        pixels_NF = images_NCHW.flatten(1)
        if self.training:
            self.mean_F = 0.9 * self.mean_F + 0.1 * pixels_NF.mean(0)
        logits_NK: Tensor = self.last(pixels_NF - self.mean_F)
        return logits_NK


class Volume(nn.Module):
    """Takes the channels for a third dimension."""

    def __init__(self, classes: int, image_size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.Flatten(), nn.Linear(12 * image_size**2, classes))

    def forward(self, images_NCHW: Tensor) -> Tensor:
        logits_NK: Tensor = self.layers(images_NCHW[:, None])
        return logits_NK


def weight_normalised(classes: int, image_size: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.utils.weight_norm(nn.Linear(3 * image_size**2, classes)))


def lazy(classes: int) -> nn.Module:
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.Dropout(), nn.LazyLinear(classes))


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning", "ignore:Lazy modules:UserWarning")
@pytest.mark.parametrize("name", ["LayerDrop", "Centred", "Volume", "weight_normalised", "lazy"])
@pytest.mark.parametrize("ema", [None, 0.9], ids=["plain", "averaged"])
def test_networks_of_one_s_own_go_on_as_if_never_stopped_and_are_rebuilt(
    tmp_path: Path, name: str, ema: float | None
) -> None:
    of = experiment(model={"name": f"{__name__}:{name}"}, ema=ema)
    whole, stopped = begin(tmp_path / "whole", of), begin(tmp_path / "stopped", of)
    result = whole.ended()
    stopped.halted_at(1).ended()
    assert_same_end(whole, stopped)
    dataset = whole.dataset()
    val_N = split(dataset, of.data.split).val_N
    network = load_classifier(whole.folder.artifacts, of.model, {of.model.name})
    with torch.no_grad():
        logits_NK = network(torch.from_numpy(dataset.images_NCHW[val_N]))
    loss = torch.nn.functional.cross_entropy(logits_NK, torch.from_numpy(dataset.labels_N[val_N]))
    assert loss.item() == pytest.approx(result.summary["val/loss"], rel=1e-4)


class Drawing(nn.Linear):
    """Notes what it draws in training."""

    drawn: ClassVar[list[float]] = []

    def forward(self, pixels_NF: Tensor) -> Tensor:
        if self.training:
            Drawing.drawn.append(torch.rand(1).item())
        return super().forward(pixels_NF)


def drawing(classes: int, image_size: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), Drawing(3 * image_size**2, classes))


def test_what_a_network_draws_is_that_of_the_trials_seed_and_of_the_epoch(tmp_path: Path) -> None:
    of, expected = experiment(model={"name": f"{__name__}:drawing"}, epochs=2, batch_size=500), []
    Drawing.drawn.clear()
    for seed in (4, 5):
        begin(tmp_path / str(seed), of, seed).ended()
        for epoch in (1, 2):
            digest = hashlib.sha256(f"{seed}/{epoch}".encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest[:8]))
            expected += torch.rand(2, generator=generator).tolist()  # an epoch has two steps
    assert Drawing.drawn == expected


# What a module says of its state


class Versioned(nn.Linear):
    """Loads nothing of another version than its own."""

    _version = 2

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: Any, *rest: Any) -> None:
        assert local_metadata.get("version") == 2
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)


class Wordy(nn.Linear):
    """Keeps a word beside its weights."""

    word = "given"

    def get_extra_state(self) -> dict[str, str]:
        return {"word": self.word}

    def set_extra_state(self, state: dict[str, str]) -> None:
        self.word = f"{state['word']} back"


def versioned(classes: int, image_size: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), Versioned(3 * image_size**2, classes))


def wordy(classes: int, image_size: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), Wordy(3 * image_size**2, classes))


@pytest.mark.parametrize(
    ("model", "pixels"), [(f"{__name__}:versioned", 8), ("torchvision.mnasnet0_5", 32)], ids=["own", "mnasnet"]
)
def test_networks_that_look_at_their_version_end_and_go_on_and_are_rebuilt(
    tmp_path: Path, model: str, pixels: int
) -> None:
    of = experiment({"classes": 2, "image_size": pixels}, {"name": model}, epochs=3, lr=1e-3, ema=0.9)
    of = replace(of, objective=Objective("train/loss", "max"))  # so the checkpoint holds the best epoch beside the last
    whole, stopped = begin(tmp_path / "whole", of), begin(tmp_path / "stopped", of)
    assert whole.ended().best_epoch == 1
    stopped.halted_at(2).ended()
    assert_same_end(whole, stopped)
    content = checkpoint.load(whole.folder.artifacts, "model.pt")
    build(model, {}, 2, pixels).load_state_dict(content["weights"])  # as anyone would
    unversioned = {**content, "weights": dict(content["weights"])}  # as it was written before versions were kept
    checkpoint.save(whole.folder.artifacts, "model.pt", unversioned)
    rebuilt = load_classifier(whole.folder.artifacts, of.model, {model}).network.state_dict()
    assert all(torch.equal(rebuilt[name], value) for name, value in weights(whole).items())


def test_what_a_module_keeps_beside_its_weights_is_in_its_model(tmp_path: Path) -> None:
    model = f"{__name__}:wordy"
    begun = begin(tmp_path, experiment(model={"name": model}, epochs=1))
    begun.ended()
    network = load_classifier(begun.folder.artifacts, begun.experiment.model, {model}).network
    assert network.get_submodule("1").word == "given back"
