"""What every entry of the tables promises, AlexNet, models of one's own, and the network with its preprocessing."""

import importlib
import inspect
import io
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pytest
import torch
import torchvision
from networks import (
    EVERY,
    SMALL,
    Options,
    assert_every_parameter_has_a_slope,
    assert_it_learns,
    descend,
    images,
    parameters,
    rate_to_lower,
)
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import nn
from trials import begin, experiment

from sweeper.models import LIMITS, LOSSES, MODELS, Entry, ModelError, build, user_callable
from sweeper.models.classifier import Classifier
from sweeper.training.feed import Batch
from sweeper.training.loop import loss_of

Array = NDArray[np.float64]


# What every entry promises


@pytest.mark.parametrize("name", [*MODELS, *LOSSES])
def test_an_entry_declares_the_arguments_of_what_it_names(name: str) -> None:
    entry = MODELS.get(name) or LOSSES[name]
    signature = inspect.signature(entry.load())
    given = {"classes", "image_size"} if name in MODELS else set(list(signature.parameters)[:2])
    arguments = {key: parameter for key, parameter in signature.parameters.items() if key not in given}
    assert entry.arguments == {key: parameter.annotation for key, parameter in arguments.items()}
    assert all(parameter.default is not inspect.Parameter.empty for parameter in arguments.values())
    for parameter in arguments.values():
        if get_origin(parameter.annotation) is Literal:
            assert parameter.default in get_args(parameter.annotation)
        else:
            assert type(parameter.default) is parameter.annotation


def test_defaults_are_within_the_limits_of_arguments() -> None:
    used = set()
    for entry in MODELS.values():
        for name, parameter in inspect.signature(entry.load()).parameters.items():
            if name in LIMITS:
                low, high = LIMITS[name]
                assert low <= parameter.default <= (parameter.default if high is None else high)
                used.add(name)
    assert used == set(LIMITS)


def seeded(name: str, options: Options) -> nn.Module:
    torch.manual_seed(5)
    return build(name, options, 7, 32)


def saved_and_loaded(state: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded


@pytest.mark.parametrize(("name", "options"), EVERY)
def test_every_parameter_of_a_model_learns_from_its_seed_and_its_weights_are_its_evaluation(
    name: str, options: Options
) -> None:
    one, other = (seeded(name, options) for _ in range(2))
    start, same = one.state_dict(), other.state_dict()
    assert all(torch.equal(start[key], same[key]) for key in start)
    logits_NK = one(images())
    assert logits_NK.shape == (4, 7)
    descend(one, nn.functional.cross_entropy(logits_NK, torch.arange(4)))
    assert_every_parameter_has_a_slope(one)
    other.load_state_dict(saved_and_loaded(one.state_dict()))
    one.eval()
    other.eval()
    with torch.no_grad():
        logits_NK = one(images())
        assert torch.equal(logits_NK, other(images()))
        torch.testing.assert_close(logits_NK[:1], one(images()[:1]), rtol=1e-3, atol=1e-4)  # no image sees another


def test_every_model_is_tried_here() -> None:
    assert set(SMALL) == set(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_a_trainers_step_lowers_every_loss_of_every_model(tmp_path: Path, name: str) -> None:
    of = experiment({"classes": 5, "image_size": 32}, {"name": name, **SMALL[name][0]}, momentum=0.0)
    trainer, batch = begin(tmp_path, of).trainer(), Batch(images(), torch.tensor([0, 1, 2, 4]))
    for loss_name in LOSSES:
        trainer.loss = loss_of(replace(of.train, loss=loss_name))
        summed, _ = trainer.step(batch, 0.0).tolist()
        trainer.step(batch, rate_to_lower(trainer.network, summed / 4, share=0.02))
        with torch.no_grad():
            after = trainer.loss(trainer.network(batch.images_NCHW), batch.labels_N).mean()
        assert after.item() < summed / 4, loss_name


# AlexNet


def test_the_full_alexnet_is_torchvision_s() -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.alexnet(num_classes=10).eval()
    with torch.device("meta"):
        ours = build("alexnet", {}, 10, 224).eval()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert parameters(ours) == parameters(theirs)
    ours.load_state_dict(theirs.state_dict(), assign=True)
    with torch.no_grad():
        for size in (63, 224):
            assert torch.equal(ours(images(2, size)), theirs(images(2, size)))


def test_the_full_alexnet_learns_with_batch_normalisation() -> None:
    assert_it_learns(build("alexnet", {"batch_norm": True, "dropout": 0.1}, 5, 64), classes=5, size=64)


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
    assert torch.equal(network(images()), network(images())) == (dropout == 0)


def test_the_compact_alexnet_s_signal_does_not_fade_at_the_start() -> None:
    torch.manual_seed(0)
    logits_NK = build("alexnet", {"compact": True}, 10, 64).eval()(images(32, 64))
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
        (f"{__name__}:Array.x", "write"), (":Net", "write"), ("sweeper:", "write"),
        ("sweeper.models:__all__", "not something to call"),
    ],
)  # fmt: skip
def test_a_model_that_is_not_there_is_told_in_a_sentence(path: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        user_callable(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "import math\nmath.no_such_thing\n",
            r"cannot be imported: AttributeError: .*no_such_thing.*broken_net.py, line 2",
        ),
        ("import math\ndef net(:\n", r"cannot be imported: .*broken_net.py\", line 2(.|\n)*SyntaxError"),
        ("import sys\nsys.exit(0)\n", r"cannot be imported: SystemExit: 0 .*broken_net.py, line 2"),
        ("import no_such_package.of_theirs\n", "broken_net imports 'no_such_package', which is not installed"),
    ],
)
def test_an_error_inside_a_module_of_one_s_own_is_told_with_its_place(
    text: str, words: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_net.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    with pytest.raises(ModelError, match=words):
        user_callable("broken_net:Net")


def test_an_entry_loads_what_it_names() -> None:
    entry = Entry(f"{__name__}:blind", width=int)
    assert entry.load() is blind
    assert entry.arguments == {"width": int}


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


@pytest.mark.parametrize(("height", "width"), [(12, 20), (30, 18), (8, 14)])
def test_a_classifier_scales_an_image_as_it_is_scaled_when_a_data_set_is_prepared(height: int, width: int) -> None:
    raw_HWC = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    classifier = Classifier(nn.Identity(), 8, mean=[0.0] * 3, deviation=[1.0] * 3, classes=[])
    seen_CHW = classifier(torch.from_numpy(raw_HWC.transpose(2, 0, 1))[None])[0] * 255
    fitted = ImageOps.fit(Image.fromarray(raw_HWC), (8, 8), Image.Resampling.BILINEAR)
    inner = np.s_[:, 1:-1, 1:-1]  # at the edge Pillow sees a bit beyond
    np.testing.assert_allclose(
        seen_CHW[inner], np.asarray(fitted).transpose(2, 0, 1)[inner], atol=1.01
    )  # it rounds twice
