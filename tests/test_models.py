"""Models and losses: what every entry promises, AlexNet as torchvision builds it, losses as their formulas say."""

import inspect
import json
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from numpy.typing import NDArray
from torch import nn

from models import LOSSES, MODELS, Entry, ModelError, build, user_callable
from models.classifier import Classifier

Array = NDArray[np.float64]
CONSTRUCTIONS: dict[str, tuple[dict[str, Any], ...]] = {  # each model with options that keep it small
    "alexnet": ({"compact": True}, {"compact": True, "batch_norm": True}, {"compact": True, "dropout": 0.0}),
}
EVERY = [
    pytest.param(name, options, id=f"{name} {json.dumps(options)}")
    for name in MODELS
    for options in CONSTRUCTIONS[name]
]


def images(count: int = 4, size: int = 64, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def assert_it_learns(network: nn.Module, classes: int) -> None:
    logits_NK = network(images())
    assert logits_NK.shape == (4, classes)
    loss: torch.Tensor = nn.functional.cross_entropy(logits_NK, torch.tensor([0, 1, 2, 3]))
    torch.autograd.backward(loss)
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


# What every entry promises


@pytest.mark.parametrize("name", [*MODELS, *LOSSES])
def test_an_entry_declares_the_arguments_of_what_it_names(name: str) -> None:
    entry = MODELS.get(name) or LOSSES[name]
    signature = inspect.signature(entry.load())
    given = {"classes", "image_size"} if name in MODELS else set(list(signature.parameters)[:2])
    arguments = {key: parameter for key, parameter in signature.parameters.items() if key not in given}
    assert entry.arguments == {key: parameter.annotation for key, parameter in arguments.items()}
    assert all(parameter.default is not inspect.Parameter.empty for parameter in arguments.values())
    assert all(type(parameter.default) is parameter.annotation for parameter in arguments.values())


@pytest.mark.parametrize(("name", "options"), EVERY)
class TestEveryModel:
    def test_it_maps_images_to_logits_and_every_parameter_learns(self, name: str, options: dict[str, Any]) -> None:
        network = build(name, options, classes=7, image_size=64)
        assert_it_learns(network, classes=7)

    def test_its_evaluation_depends_on_its_weights_alone(self, name: str, options: dict[str, Any]) -> None:
        torch.manual_seed(1)
        one, other = (build(name, options, 3, 64).eval() for _ in range(2))
        other.load_state_dict(one.state_dict())
        with torch.no_grad():
            assert torch.equal(one(images()), other(images()))
            assert torch.equal(one(images()), one(images()))
            torch.testing.assert_close(one(images())[:1], one(images()[:1]))  # no image sees another

    def test_the_same_seed_gives_the_same_weights(self, name: str, options: dict[str, Any]) -> None:
        states = []
        for _ in range(2):
            torch.manual_seed(5)
            states.append(build(name, options, 3, 64).state_dict())
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_every_model_is_tried_here() -> None:
    assert set(CONSTRUCTIONS) == set(MODELS)


# AlexNet


def test_the_full_alexnet_is_torchvision_s() -> None:
    torch.manual_seed(0)
    ours, theirs = build("alexnet", {}, 10, 224).eval(), torchvision.models.alexnet(num_classes=10).eval()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert parameters(ours) == parameters(theirs)
    ours.load_state_dict(theirs.state_dict())
    with torch.no_grad():
        for size in (64, 224):
            assert torch.equal(ours(images(2, size)), theirs(images(2, size)))


def test_the_full_alexnet_learns_with_batch_normalisation() -> None:
    assert_it_learns(build("alexnet", {"batch_norm": True, "dropout": 0.1}, 5, 64), classes=5)


@pytest.mark.parametrize("size", [16, 32, 64])
def test_the_compact_alexnet_has_about_2_6_million_parameters_at_any_size(size: int) -> None:
    network = build("alexnet", {"compact": True}, 10, size)
    assert 2.55e6 < parameters(network) < 2.65e6
    assert network(images(2, size)).shape == (2, 10)


@pytest.mark.parametrize("compact", [True, False])
def test_batch_normalisation_follows_every_convolution_and_takes_the_place_of_its_bias(compact: bool) -> None:
    with torch.device("meta"):
        plain = list(build("alexnet", {"compact": compact}, 10, 64).modules())
        normalised = list(build("alexnet", {"compact": compact, "batch_norm": True}, 10, 64).modules())
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in plain)
    places = [place for place, layer in enumerate(normalised) if isinstance(layer, nn.Conv2d)]
    assert len(places) == 5
    for place in places:
        convolution, normalisation = normalised[place], normalised[place + 1]
        assert isinstance(convolution, nn.Conv2d)
        assert isinstance(normalisation, nn.BatchNorm2d)
        assert convolution.bias is None
        assert convolution.out_channels == normalisation.num_features


@pytest.mark.parametrize("dropout", [0.0, 0.5, 0.9])
def test_dropout_is_as_strong_as_asked_for_and_only_in_training(dropout: float) -> None:
    network = build("alexnet", {"compact": True, "dropout": dropout}, 3, 32)
    assert [layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)] == [dropout, dropout]
    network.train()
    assert torch.equal(network(images(size=32)), network(images(size=32))) == (dropout == 0)


def test_the_compact_alexnet_s_signal_does_not_fade_at_the_start() -> None:
    torch.manual_seed(0)
    logits_NK = build("alexnet", {"compact": True}, 10, 64).eval()(images(32))
    assert 0.1 < logits_NK.std().item() < 10


# Models of one's own


class Tiny(nn.Module):
    def __init__(self, classes: int, image_size: int, width: int = 2) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(3 * image_size**2, width), nn.Linear(width, classes))

    def forward(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        logits_NK: torch.Tensor = self.layers(images_NCHW)
        return logits_NK


def blind(classes: int) -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, classes))


def test_a_model_of_one_s_own_is_given_the_classes_its_arguments_and_the_image_size_if_it_takes_that() -> None:
    assert parameters(build(f"{__name__}:Tiny", {"width": 5}, 3, 8)) == 3 * 64 * 5 + 5 + 5 * 3 + 3
    assert build(f"{__name__}:blind", {}, 3, 8)(images(2, 8)).shape == (2, 3)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("no.such.module:Net", "no module 'no'"), (f"{__name__}:Nothing", "has no 'Nothing'"), ("nothing", "write"),
        (f"{__name__}:Array.x", "write"), (":Net", "write"), ("models:", "write"), ("models:__all__", "not something to call"),
    ],
)  # fmt: skip
def test_a_model_that_is_not_there_is_told_in_a_sentence(path: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        user_callable(path)


def test_an_error_inside_a_module_of_one_s_own_is_not_hidden(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_net.py").write_text("import math\nmath.no_such_thing\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(AttributeError, match="no_such_thing"):
        user_callable("broken_net:Net")


def test_entries_load_what_they_name_when_they_are_called() -> None:
    entry = Entry(f"{__name__}:blind")
    assert entry.load() is blind
    assert entry.arguments == {}
    assert parameters(entry(2)) == 8


# The network with its preprocessing


def test_a_classifier_takes_raw_pixels_of_any_size() -> None:
    network = Tiny(3, 8)
    classifier = Classifier(network, 8, mean=[0.5, 0.4, 0.3], deviation=[0.2, 0.3, 0.4], classes=["a", "b", "c"]).eval()
    raw_NCHW = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    mean, deviation = np.array([0.5, 0.4, 0.3])[:, None, None], np.array([0.2, 0.3, 0.4])[:, None, None]
    normalised_NCHW = torch.tensor((raw_NCHW.numpy() / 255 - mean) / deviation, dtype=torch.float32)
    with torch.no_grad():
        torch.testing.assert_close(classifier(raw_NCHW), network(normalised_NCHW), rtol=1e-4, atol=1e-5)
        other_size_NK = classifier(torch.full((2, 3, 20, 12), 128, dtype=torch.uint8))
        torch.testing.assert_close(other_size_NK, classifier(torch.full((2, 3, 8, 8), 128, dtype=torch.uint8)))
    assert other_size_NK.dtype == torch.float32
    assert classifier.classes == ["a", "b", "c"]
