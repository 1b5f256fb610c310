"""Architectures: torchvision's to the number where they are its own, else in functional calls and counts by hand; least sizes."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from networks import Options, assert_it_learns, images, parameters
from torch import Tensor, nn
from torch.nn import functional as F

from sweeper.models import ModelError, build, from_torchvision

State = dict[str, Tensor]
VGG = [
    pytest.param(depth, batch_norm, id=f"vgg{depth}{'_bn' * batch_norm}")
    for depth in (11, 13, 16, 19)
    for batch_norm in (False, True)
]


def drawn_weights(network: nn.Module) -> State:
    """Weights, biases, means and variances to compare by; the matrices of large heads have equal rows, to be quick."""
    draw = torch.Generator().manual_seed(0)
    state = {}
    for name, tensor in network.state_dict().items():
        if tensor.dtype == torch.int64:
            state[name] = torch.zeros(tensor.shape, dtype=torch.int64)
        elif tensor.dim() < 2:
            state[name] = torch.rand(tensor.shape, generator=draw) + 0.5
        else:
            rows = 1 if tensor.numel() > 5e6 else tensor.shape[0]
            some = torch.randn(rows, *tensor.shape[1:], generator=draw) * math.sqrt(2 / tensor[0].numel())
            state[name] = some.expand(tensor.shape)
    return state


def on_meta(name: str, options: Options, classes: int, size: int) -> nn.Module:
    with torch.device("meta"):
        return build(name, options, classes, size)


def assert_alike(ours: nn.Module, theirs: nn.Module, *sizes: int) -> None:
    """Both on the meta device: the same names and shapes, and with the same weights the same outputs."""
    shapes = [{name: tensor.shape for name, tensor in one.state_dict().items()} for one in (ours, theirs)]
    assert list(shapes[0].items()) == list(shapes[1].items())
    state = drawn_weights(theirs)
    for network in (ours, theirs):
        network.load_state_dict(state, assign=True)
        network.eval()
    with torch.no_grad():
        for size in sizes:
            logits_NK = theirs(images(1, size))
            assert logits_NK.std() > 0
            torch.testing.assert_close(ours(images(1, size)), logits_NK)


# VGG


@pytest.mark.parametrize(("depth", "batch_norm"), VGG)
def test_a_vgg_is_torchvision_s(depth: int, batch_norm: bool) -> None:
    with torch.device("meta"):
        theirs = torchvision.models.get_model(f"vgg{depth}{'_bn' * batch_norm}", num_classes=10)
    ours = on_meta(f"vgg{depth}", {"batch_norm": batch_norm}, 10, 64)
    assert parameters(ours) == parameters(theirs)
    assert_alike(ours, theirs, 224 if depth == 11 and not batch_norm else 64)


@pytest.mark.parametrize(("depth", "millions"), [(11, 132.86), (13, 133.05), (16, 138.36), (19, 143.67)])
def test_a_vgg_has_as_many_parameters_as_the_paper_says(depth: int, millions: float) -> None:
    assert parameters(on_meta(f"vgg{depth}", {}, 1000, 224)) / 1e6 == pytest.approx(millions, abs=0.005)


def test_a_vgg_starts_from_torchvision_s_distributions() -> None:
    torch.manual_seed(3)
    for layer in build("vgg11", {"hidden": 256}, 100, 32).modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            wanted = math.sqrt(2 / (9 * layer.out_channels)) if isinstance(layer, nn.Conv2d) else 0.01
            assert layer.weight.std().item() == pytest.approx(wanted, rel=0.05)
            assert layer.bias is not None
            assert layer.bias.abs().max() == 0


def test_vgg16_tiny_has_7_by_7_features_at_56_px_and_smaller_heads() -> None:
    network = on_meta("vgg16_tiny", {}, 200, 56)
    features = network.get_submodule("features")
    assert features(torch.empty(2, 3, 56, 56, device="meta")).shape == (2, 512, 7, 7)
    channels = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256)]
    channels += [(256, 512), (512, 512), (512, 512)]
    heads = [(512 * 7 * 7, 4096), (4096, 2048), (2048, 200)]
    expected = sum(9 * a * b + b for a, b in channels) + sum(a * b + b for a, b in heads)
    assert parameters(network) == expected == 119_200_264
    with_norm = on_meta("vgg16_tiny", {"batch_norm": True}, 200, 56)
    assert parameters(with_norm) == expected + 2 * sum(b for _, b in channels)


def test_vgg16_tiny_s_signal_neither_fades_nor_blows_up_at_the_start() -> None:
    torch.manual_seed(0)
    network = build("vgg16_tiny", {"hidden": 1024}, 10, 56).eval()
    with torch.no_grad():
        features_NCHW = network.get_submodule("features")(images(2, 56))
        assert 0.5 < features_NCHW.square().mean() < 20
        assert 0.01 < network(images(8, 56)).std() < 2


@pytest.mark.parametrize("name", ["vgg11", "vgg16_tiny"])
def test_a_vgg_s_head_and_dropout_are_as_asked_for(name: str) -> None:
    network = on_meta(name, {"hidden": 128, "dropout": 0.3}, 7, 32)
    second = 128 if name == "vgg11" else 64
    widths = [(layer.in_features, layer.out_features) for layer in network.modules() if isinstance(layer, nn.Linear)]
    assert widths == [(512 * 49, 128), (128, second), (second, 7)]
    assert [layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)] == [0.3, 0.3]


# Residual networks


@pytest.mark.parametrize(("depth", "millions"), [(18, 11.69), (34, 21.80), (50, 25.56)])
def test_a_resnet_is_torchvision_s(depth: int, millions: float) -> None:
    with torch.device("meta"):
        theirs = torchvision.models.get_model(f"resnet{depth}", num_classes=10)
    assert_alike(on_meta(f"resnet{depth}", {}, 10, 64), theirs, 64)
    assert parameters(on_meta(f"resnet{depth}", {}, 1000, 64)) / 1e6 == pytest.approx(millions, abs=0.005)


def test_a_resnet_starts_as_torchvision_s() -> None:
    torch.manual_seed(3)
    ours = build("resnet18", {}, 10, 64).state_dict()
    torch.manual_seed(3)
    theirs = torchvision.models.resnet18(num_classes=10).state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_the_small_stem_looks_at_every_pixel_and_the_rest_is_torchvision_s(depth: int) -> None:
    with torch.device("meta"):
        theirs = torchvision.models.get_model(f"resnet{depth}", num_classes=10)
        theirs.conv1 = nn.Conv2d(3, 64, 3, stride=1, padding=1, bias=False)
        theirs.maxpool = nn.Identity()
    assert_alike(on_meta(f"resnet{depth}", {"stem": "small"}, 10, 32), theirs, 32)


def wide_resnet_parameters(width: int, blocks: int, basic_stages: int, classes: int) -> int:
    """Counted from the paper's rules: weights of convolutions, two numbers a channel for each normalisation."""
    total, before = 3 * 16 * 9, 16
    for stage in range(4):
        after = width * 16 * 2**stage
        for block in range(blocks):
            narrow = after // 4
            if stage < basic_stages:
                total += 2 * before + 9 * before * after + 2 * after + 9 * after * after
            else:
                total += 2 * before + before * narrow + 2 * narrow + 9 * narrow**2 + 2 * narrow + narrow * after
            if block == 0 and (stage > 0 or before != after):
                total += before * after
            before = after
    return total + 2 * before + before * classes + classes


@pytest.mark.parametrize(
    "options",
    [
        {"width": 4, "blocks": 2, "basic_stages": 2},
        {"width": 1, "blocks": 1, "basic_stages": 4},
        {"width": 2, "blocks": 3, "basic_stages": 0},
    ],
    ids=str,
)
def test_a_wide_resnet_has_the_parameters_of_its_blocks(options: dict[str, int]) -> None:
    network = on_meta("wide_resnet_bottleneck", options, 200, 64)
    assert parameters(network) == wide_resnet_parameters(**options, classes=200)
    assert network(images(2, 64).to("meta")).shape == (2, 200)


def test_a_wide_resnet_has_one_dropout_a_block_as_strong_as_asked_for() -> None:
    network = on_meta("wide_resnet_bottleneck", {"blocks": 3, "dropout": 0.3}, 10, 32)
    assert [layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)] == [0.3] * 12


def test_a_wide_resnet_s_stages_halve_the_size_and_double_the_channels() -> None:
    network = on_meta("wide_resnet_bottleneck", {}, 200, 64)
    shapes, at = [], images(1, 64).to("meta")
    for layer in network.children():
        at = layer(at)
        shapes.append(tuple(at.shape[1:]))
    assert shapes[0] == (16, 64, 64)
    assert shapes[2:9:2] == [(64, 64, 64), (128, 32, 32), (256, 16, 16), (512, 8, 8)]


# What torchvision has not, in functional calls


def activated(inputs_NCHW: Tensor, state: State, name: str) -> Tensor:
    """Normalised by the batches seen, then rectified."""
    parts = [state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
    return F.batch_norm(inputs_NCHW, *parts).relu()


def wide_resnet(images_NCHW: Tensor, state: State, blocks: int, basic_stages: int) -> Tensor:
    """He et al. 2016b, figure 1: activation before weights; a shortcut to another shape takes what is activated."""

    def convolved(inputs_NCHW: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        return F.conv2d(inputs_NCHW, weight, stride=stride, padding=weight.shape[-1] // 2)

    at_NCHW = convolved(images_NCHW, "0")
    for number in range(4 * blocks):
        block, stride = number + 1, 2 if number in (blocks, 2 * blocks, 3 * blocks) else 1
        basic, bottleneck = [("path.0", stride), ("path.4", 1)], [("path.0", 1), ("path.3", stride), ("path.7", 1)]
        past_NCHW = at_NCHW
        if f"{block}.projection.weight" in state:
            past_NCHW = convolved(activated(at_NCHW, state, f"{block}.active.0"), f"{block}.projection", stride)
        norms = ("active.0", "path.1", "path.4")
        for norm, (name, by) in zip(norms, basic if number < basic_stages * blocks else bottleneck, strict=False):
            at_NCHW = convolved(activated(at_NCHW, state, f"{block}.{norm}"), f"{block}.{name}", by)
        at_NCHW = past_NCHW + at_NCHW
    at_NCHW = activated(at_NCHW, state, f"{4 * blocks + 1}")
    return F.linear(at_NCHW.mean((2, 3)), state[f"{4 * blocks + 5}.weight"], state[f"{4 * blocks + 5}.bias"])


def stacked(images_NCHW: Tensor, state: State, stride: int, pools: tuple[int, ...], side: int) -> Tensor:
    """3 x 3 convolutions, the first with a stride, a pool after some; `side` x `side` positions; three linear layers."""
    at = images_NCHW
    for number, name in enumerate(name for name in state if state[name].dim() == 4):
        layer = int(name.split(".")[1])
        at = F.conv2d(at, state[name], state.get(f"features.{layer}.bias"), 1 if number else stride, padding=1)
        is_normalised = f"features.{layer + 1}.running_mean" in state
        at = activated(at, state, f"features.{layer + 1}") if is_normalised else at.relu()
        at = F.max_pool2d(at, 2) if number in pools else at
    at = F.adaptive_avg_pool2d(at, side).flatten(1)
    first, second, last = (name.removesuffix(".weight") for name in state if state[name].dim() == 2)
    for name in (first, second):
        at = F.linear(at, state[f"{name}.weight"], state[f"{name}.bias"]).relu()
    return F.linear(at, state[f"{last}.weight"], state[f"{last}.bias"])


ALEXNET, VGG16_TINY = {"stride": 2, "pools": (0, 1, 4), "side": 2}, {"stride": 1, "pools": (1, 3, 6), "side": 7}


@pytest.mark.parametrize(
    ("name", "options", "reference", "arguments"),
    [
        ("alexnet", {"compact": True}, stacked, ALEXNET),
        ("alexnet", {"compact": True, "batch_norm": True}, stacked, ALEXNET),
        ("vgg16_tiny", {"hidden": 64}, stacked, VGG16_TINY),
        ("vgg16_tiny", {"hidden": 64, "batch_norm": True}, stacked, VGG16_TINY),
        ("wide_resnet_bottleneck", {"width": 1}, wide_resnet, {"blocks": 2, "basic_stages": 2}),
        ("wide_resnet_bottleneck", {"width": 2, "blocks": 1, "basic_stages": 1}, wide_resnet, {"blocks": 1, "basic_stages": 1}),
    ],
)  # fmt: skip
def test_a_network_is_what_functional_calls_make_of_its_weights(
    name: str, options: Options, reference: Callable[..., Tensor], arguments: dict[str, Any]
) -> None:
    network = on_meta(name, options, 10, 40)
    state = drawn_weights(network)
    network.load_state_dict(state, assign=True)
    with torch.no_grad():
        logits_NK = reference(images(2, 40), state, **arguments)
        assert logits_NK.std() > 0
        torch.testing.assert_close(network.eval()(images(2, 40)), logits_NK)


# Baselines


def test_the_baselines_have_the_parameters_of_their_matrices() -> None:
    assert parameters(build("logistic_regression", {}, 200, 64)) == 12288 * 200 + 200
    assert parameters(build("one_hidden", {}, 200, 64)) == 12288 * 1024 + 1024 + 1024 * 200 + 200
    assert parameters(build("one_hidden", {"hidden": 8}, 10, 8)) == 192 * 8 + 8 + 8 * 10 + 10


def test_logistic_regression_is_linear_in_the_pixels_and_one_hidden_layer_is_not() -> None:
    doubled = {}
    for name in ("logistic_regression", "one_hidden"):
        network = build(name, {}, 5, 8)
        at_zero, at_one, at_two = (network(images(4, 8) * scale) for scale in (0, 1, 2))
        doubled[name] = torch.allclose(at_two - at_one, at_one - at_zero, atol=1e-5)
    assert doubled == {"logistic_regression": True, "one_hidden": False}


# Least sizes


@pytest.mark.parametrize(
    ("name", "options", "least"),
    [
        ("alexnet", {}, 63), ("alexnet", {"compact": True}, 15), ("vgg11", {"hidden": 8}, 32), ("vgg13", {"hidden": 8}, 32),
        ("vgg16", {"hidden": 8}, 32), ("vgg19", {"hidden": 8}, 32), ("vgg16_tiny", {"hidden": 8}, 8),
    ],
)  # fmt: skip
def test_the_least_size_is_told_and_is_the_least(name: str, options: Options, least: int) -> None:
    with pytest.raises(ModelError, match=rf"needs images of {least} px or more, given {least - 1} px"):
        build(name, options, 3, least - 1)
    network = on_meta(name, options, 3, least).eval()
    assert network(images(1, least).to("meta")).shape == (1, 3)
    with pytest.raises(RuntimeError):
        network(images(1, least - 1).to("meta"))


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "wide_resnet_bottleneck", "one_hidden"])
def test_no_image_of_8_px_or_more_is_too_small(name: str) -> None:
    assert on_meta(name, {}, 3, 8)(images(2, 8).to("meta")).shape == (2, 3)


# Torchvision's others


def test_its_classifiers_are_known_without_importing_torchvision() -> None:
    assert set(torchvision.models.list_models(module=torchvision.models)) >= from_torchvision.CLASSIFIERS
    if torchvision.__version__.startswith("0.29."):
        assert set(torchvision.models.list_models(module=torchvision.models)) == from_torchvision.CLASSIFIERS


@pytest.mark.parametrize(
    ("name", "options", "size"),
    [
        ("shufflenet_v2_x0_5", {}, 32), ("squeezenet1_1", {"dropout": 0.0}, 17), ("googlenet", {}, 32),
    ],
)  # fmt: skip
def test_a_classifier_of_torchvision_learns(name: str, options: Options, size: int) -> None:
    torch.manual_seed(0)
    network = build(f"torchvision.{name}", options, 5, size)
    assert type(network).__module__.startswith("torchvision.models.")
    assert network.training
    assert_it_learns(network, classes=5, size=size)


@pytest.mark.parametrize(("name", "size"), [("vit_b_32", 64), ("swin_t", 64)])
def test_a_transformer_of_torchvision_takes_the_image_size(name: str, size: int) -> None:
    network = on_meta(f"torchvision.{name}", {}, 5, size)
    assert network(images(1, size).to("meta")).shape == (1, 5)


@pytest.mark.parametrize(
    ("name", "options", "size", "words"),
    [
        ("resnet19", {}, 64, "no classifier `resnet19`; did you mean .*`torchvision.resnet18`"),
        ("fasterrcnn_resnet50_fpn", {}, 64, "no classifier"),
        ("zzz", {}, 64, "no classifier `zzz`; it has alexnet, "),
        ("squeezenet1_1", {}, 16, "needs images of 17 px or more, given 16 px"),
        ("vit_b_16", {}, 40, r"images of 40 px \(made for 224 px or more\): .*indivisible by patch size"),
        ("maxvit_t", {}, 64, r"images of 64 px \(made for 224 px or more\)"),
        ("squeezenet1_1", {"dropout": 2.0}, 64, "dropout probability"),
        ("resnet18", {"depth": 3}, 64, "unexpected keyword argument 'depth'"),
        ("googlenet", {"aux_logits": True}, 64, "leave `aux_logits` out"),
    ],
)  # fmt: skip
def test_what_torchvision_cannot_build_is_told_in_a_sentence(
    name: str, options: Options, size: int, words: str
) -> None:
    with pytest.raises(ModelError, match=words):
        build(f"torchvision.{name}", options, 5, size)
