"""Whole trials of networks that users may write: what they keep, how they begin, what they draw, in what form they compute."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from sweeper.models import build
from test_fit import assert_same_end, weights
from torch import nn
from trials import begin, experiment

from sweeper.experiment import Objective
from sweeper.training import checkpoint
from sweeper.training.classifier import load_classifier

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
