"""Optimisers against their equations in numpy, clipping and the average of the weights against theirs."""

import copy
import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from test_fit import normal_images, weights
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import AveragedModel
from trials import begin, experiment, network

from sweeper.data.split import split
from sweeper.experiment import Train
from sweeper.training.feed import Batch
from sweeper.training.loop import Trainer
from sweeper.training.optim import Average, make_optimizer

RATE, BETA1, BETA2, EPSILON = 0.1, 0.8, 0.95, 1e-8
SEED = 3


def gradients(steps: int = 5) -> NDArray[np.float64]:
    return np.random.default_rng(0).normal(size=(steps, 6))


def trained(train: Train) -> NDArray[np.float32]:
    """Six weights, from 1, after steps along given gradients."""
    parameter = nn.Parameter(torch.ones(6))
    optimizer = make_optimizer([parameter], train)
    for gradient in gradients():
        parameter.grad = torch.from_numpy(gradient).float()
        optimizer.step()
    return parameter.detach().numpy()


def adam_by_hand(decay: float, is_decoupled: bool) -> NDArray[np.float64]:
    """Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter 2019, algorithm 2."""
    weights, first, second = np.ones(6), np.zeros(6), np.zeros(6)
    for step, gradient in enumerate(gradients(), start=1):
        slope = gradient if is_decoupled else gradient + decay * weights
        first = BETA1 * first + (1 - BETA1) * slope
        second = BETA2 * second + (1 - BETA2) * slope**2
        move = first / (1 - BETA1**step) / (np.sqrt(second / (1 - BETA2**step)) + EPSILON)
        weights = weights - RATE * (move + decay * weights * is_decoupled)
    return weights


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize(("name", "is_decoupled"), [("adam", False), ("adamw", True)])
def test_adam_is_adam_by_the_book(name: Any, is_decoupled: bool, decay: float) -> None:
    train = Train(optimizer=name, lr=RATE, momentum=BETA1, beta2=BETA2, weight_decay=decay)
    np.testing.assert_allclose(trained(train), adam_by_hand(decay, is_decoupled), rtol=1e-5)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_is_sgd_by_the_book(nesterov: bool) -> None:
    weights, velocity = np.ones(6), np.zeros(6)
    for gradient in gradients():
        slope = gradient + 0.1 * weights
        velocity = BETA1 * velocity + slope
        weights = weights - RATE * (slope + BETA1 * velocity if nesterov else velocity)
    train = Train(lr=RATE, momentum=BETA1, weight_decay=0.1, nesterov=nesterov)
    np.testing.assert_allclose(trained(train), weights, rtol=1e-5)


def test_adam_does_not_mind_nesterov() -> None:
    assert np.array_equal(trained(Train(optimizer="adam", nesterov=True)), trained(Train(optimizer="adam")))


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_a_weight_may_have_no_gradient_in_the_first_steps(name: Any) -> None:
    at_once, later = nn.Parameter(torch.ones(6)), nn.Parameter(torch.ones(6))
    train = Train(optimizer=name, lr=RATE, momentum=BETA1, beta2=BETA2, weight_decay=0.1)
    optimizer = make_optimizer([at_once, later], train)
    for gradient in [None, None, *gradients()]:
        at_once.grad = torch.ones(6)
        later.grad = None if gradient is None else torch.from_numpy(gradient).float()
        optimizer.step()
    assert np.array_equal(later.detach().numpy(), trained(train))


UNCOMPILED = """
import sys, torch
from sweeper.experiment import Train
from sweeper.training.optim import make_optimizer
for name in ("sgd", "adam", "adamw"):
    parameter = torch.nn.Parameter(torch.ones(6))
    optimizer = make_optimizer([parameter], Train(optimizer=name))
    optimizer.zero_grad(set_to_none=True)
    (parameter**2).sum().backward()
    optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
print("torch._dynamo" in sys.modules)
"""


def test_an_optimiser_does_not_bring_in_the_compiler() -> None:
    assert subprocess.run([sys.executable, "-c", UNCOMPILED], capture_output=True, text=True).stdout == "False\n"


@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_an_optimiser_is_torch_s_own_bit_for_bit_and_takes_up_its_state(name: Any, kind: Any) -> None:
    train = Train(optimizer=name, lr=RATE, momentum=0.0 if name == "sgd" else BETA1, beta2=BETA2, weight_decay=0.1)
    named = {} if name == "sgd" else {"betas": (BETA1, BETA2)}
    ours, theirs = nn.Parameter(torch.ones(6)), nn.Parameter(torch.ones(6))
    own, other = make_optimizer([ours], train), kind([theirs], lr=RATE, weight_decay=0.1, fused=True, **named)
    for gradient in gradients():
        for parameter, optimizer in ((ours, own), (theirs, other)):
            parameter.grad = torch.from_numpy(gradient).float()
            optimizer.step()
        own.load_state_dict(copy.deepcopy(other.state_dict()))
    assert isinstance(own, kind)
    assert torch.equal(ours, theirs)


# Clipping


def trainer_of(tmp_path: Path, **train: Any) -> tuple[Trainer, Batch]:
    trainer = begin(tmp_path, experiment(**train)).trainer()
    at_N = trainer.feed.train_N[:32]
    return trainer, Batch(trainer.feed.seen(at_N), trainer.feed.labels_N[at_N])


def flat(tensors: Any) -> NDArray[np.float64]:
    return np.concatenate([tensor.detach().double().numpy().ravel() for tensor in tensors])


@pytest.mark.parametrize("limit", [0.01, 1e6])
def test_the_whole_gradient_is_scaled_down_to_the_norm_given_and_never_up(tmp_path: Path, limit: float) -> None:
    moves = []
    for name, train in (("free", {}), ("clipped", {"clip_norm": limit})):
        trainer, batch = trainer_of(tmp_path / name, momentum=0.0, lr=1.0, **train)
        before = flat(trainer.network.parameters())
        trainer.step(batch, 1.0)
        moves.append(before - flat(trainer.network.parameters()))
    free, clipped = moves
    expected = free * min(1, limit / np.linalg.norm(free))
    assert np.linalg.norm(free) > 0.1
    np.testing.assert_allclose(clipped, expected, rtol=1e-3, atol=2e-7)


# The average of the weights


@pytest.mark.parametrize("is_anew", [False, True], ids=["in place", "buffers assigned anew"])
def test_the_average_follows_its_formula_and_leaves_the_network_alone(is_anew: bool) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    average = Average(network, 0.3)
    expected = {name: value.double().numpy() for name, value in network.state_dict().items()}
    for step in range(12):
        for value in network.state_dict().values():
            value.add_(torch.randn(value.shape).to(value.dtype) if value.is_floating_point() else 1)
        if is_anew:
            for name, buffer in network[1].named_buffers():
                setattr(network[1], name, buffer + 1)
        before = {name: value.clone() for name, value in network.state_dict().items()}
        average.update(step)
        decay = min(0.3, (1 + step) / (10 + step))
        for name, value in network.state_dict().items():
            assert torch.equal(value, before[name])
            now = value.double().numpy()
            expected[name] = decay * expected[name] + (1 - decay) * now if value.is_floating_point() else now
    for name, value in average.network.state_dict().items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=1e-6)
    assert not average.network.training
    assert not any(parameter.requires_grad for parameter in average.network.parameters())


def warming_up(average: Tensor, weights: Tensor, updates: Tensor) -> Tensor:
    """0.999 of the average, less in the first steps; counters are copied."""
    decay = min(0.999, float(updates / (updates + 9)))
    return decay * average + (1 - decay) * weights if weights.is_floating_point() else weights


def test_the_average_is_what_is_evaluated_and_kept(tmp_path: Path) -> None:
    of = experiment(model={"batch_norm": True}, epochs=2)
    plain, averaged = (
        begin(tmp_path / "plain", of, SEED).ended(),
        begin(tmp_path, replace(of, train=replace(of.train, ema=0.999)), SEED),
    )
    result, dataset = averaged.ended(), averaged.dataset()
    assert [row["train/loss"] for row in plain.history] == [row["train/loss"] for row in result.history]
    train_N, val_N, _ = split(dataset, of.data.split)
    labels_N = torch.from_numpy(dataset.labels_N)
    torch.manual_seed(seed_of(0))
    model = network(10, 8, batch_norm=True)
    average = AveragedModel(model, avg_fn=warming_up, use_buffers=True)
    average.update_parameters(model)  # the first only copies
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    assert result.best_epoch
    for epoch in range(1, result.best_epoch + 1):
        order_N = train_N[torch.randperm(len(train_N), generator=torch.Generator().manual_seed(seed_of(epoch)))]
        for at_N in np.split(order_N, range(32, len(order_N), 32)):
            optimizer.zero_grad()
            cross_entropy(model(normal_images(dataset, at_N).float()), labels_N[at_N]).backward()
            optimizer.step()
            average.update_parameters(model)
        with torch.no_grad():
            val_NK = average.module.eval()(normal_images(dataset, val_N).float())
        loss = cross_entropy(val_NK, labels_N[val_N]).item()
        assert result.history[epoch - 1]["val/loss"] == pytest.approx(loss, rel=1e-4)
    kept, expected = weights(averaged), average.module.state_dict()
    assert kept.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(kept[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


def seed_of(epoch: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{SEED}/{epoch}".encode()).digest()[:8])
