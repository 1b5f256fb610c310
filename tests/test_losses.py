"""Losses as their formulas say, in value and gradient, written here in numpy alone; and their weighted mean.

Legend: N images, K classes; every formula gives losses (N,) and their gradients by the logits (N, K).
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sweeper.models import LOSSES
from sweeper.models.losses import mean_loss

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
SIZES = [(1, 2, 1.0), (7, 10, 3.0), (64, 200, 10.0)]


def one_hot(labels_N: Labels, classes: int) -> Array:
    return np.eye(classes)[labels_N]


def softmax(logits_NK: Array) -> Array:
    shifted = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
    softened: Array = shifted / shifted.sum(axis=1, keepdims=True)
    return softened


def cross_entropy(logits_NK: Array, labels_N: Labels, smoothing: float = 0.0) -> tuple[Array, Array]:
    classes = logits_NK.shape[1]
    targets_NK = (1 - smoothing) * one_hot(labels_N, classes) + smoothing / classes
    probabilities_NK = softmax(logits_NK)
    return -np.sum(targets_NK * np.log(probabilities_NK), axis=1), probabilities_NK - targets_NK


def focal(logits_NK: Array, labels_N: Labels, gamma: float = 2.0) -> tuple[Array, Array]:
    rows = np.arange(len(labels_N))
    probabilities_NK = softmax(logits_NK)
    p_N = probabilities_NK[rows, labels_N]
    losses_N = -((1 - p_N) ** gamma) * np.log(p_N)
    slope_N = gamma * (1 - p_N) ** (gamma - 1) * np.log(p_N) - (1 - p_N) ** gamma / p_N  # by p
    return losses_N, (slope_N * p_N)[:, None] * (one_hot(labels_N, logits_NK.shape[1]) - probabilities_NK)


def one_vs_all_hinge(logits_NK: Array, labels_N: Labels) -> tuple[Array, Array]:
    signs_NK = 2 * one_hot(labels_N, logits_NK.shape[1]) - 1
    violations_NK = 1 - signs_NK * logits_NK
    return np.maximum(violations_NK, 0).sum(axis=1), np.where(violations_NK > 0, -signs_NK, 0)


def multi_margin(logits_NK: Array, labels_N: Labels) -> tuple[Array, Array]:
    """Crammer and Singer's."""
    losses_N, gradients_NK = np.zeros(len(labels_N)), np.zeros_like(logits_NK)
    for image, own in enumerate(labels_N):
        others = {k: 1 - logits_NK[image, own] + logits_NK[image, k] for k in range(logits_NK.shape[1]) if k != own}
        worst = max(others, key=others.__getitem__)
        if others[worst] > 0:
            losses_N[image] = others[worst]
            gradients_NK[image, worst] += 1
            gradients_NK[image, own] -= 1
    return losses_N, gradients_NK


def weston_watkins(logits_NK: Array, labels_N: Labels) -> tuple[Array, Array]:
    losses_N, gradients_NK = np.zeros(len(labels_N)), np.zeros_like(logits_NK)
    classes = logits_NK.shape[1]
    for image, own in enumerate(labels_N):
        for other in range(classes):
            violation = 1 - logits_NK[image, own] + logits_NK[image, other]
            if other != own and violation > 0:
                losses_N[image] += violation / classes
                gradients_NK[image, other] += 1 / classes
                gradients_NK[image, own] -= 1 / classes
    return losses_N, gradients_NK


FORMULAS: dict[str, Callable[..., tuple[Array, Array]]] = {
    "cross_entropy": cross_entropy,
    "focal": focal,
    "multi_margin": lambda logits_NK, labels_N, violations="all": {"largest": multi_margin, "all": weston_watkins}[
        violations
    ](logits_NK, labels_N),
    "one_vs_all_hinge": one_vs_all_hinge,
    "smooth_cross_entropy": lambda logits_NK, labels_N, smoothing=0.1: cross_entropy(logits_NK, labels_N, smoothing),
}
ARGUMENTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in FORMULAS),
    ("focal", {"gamma": 0.5}), ("focal", {"gamma": 0.0}), ("smooth_cross_entropy", {"smoothing": 0.4}),
    ("multi_margin", {"violations": "largest"}),
]  # fmt: skip


def drawn(count: int, classes: int, scale: float) -> tuple[Array, Labels, Array]:
    """Logits, labels and class weights, one of them 0."""
    draw = np.random.default_rng(count)
    weights_K = draw.uniform(0.1, 5, classes)
    labels_N = draw.integers(0, classes, count)
    weights_K[(labels_N[0] + 1) % classes] = 0
    return draw.normal(0, scale, (count, classes)), labels_N, weights_K


def test_every_loss_has_its_formula_here() -> None:
    assert set(FORMULAS) == set(LOSSES)


@pytest.mark.parametrize(("name", "arguments"), ARGUMENTS, ids=str)
@pytest.mark.parametrize(("count", "classes", "scale"), SIZES)
@pytest.mark.parametrize("is_weighted", [False, True], ids=["plain", "weighted"])
def test_a_loss_is_its_formula_in_value_and_gradient(
    name: str, arguments: dict[str, Any], count: int, classes: int, scale: float, is_weighted: bool
) -> None:
    logits_NK, labels_N, weights_K = drawn(count, classes, scale)
    tensor_NK, targets_N = torch.tensor(logits_NK, requires_grad=True), torch.tensor(labels_N)
    losses_N = LOSSES[name].load()(tensor_NK, targets_N, **arguments)
    loss = mean_loss(losses_N, targets_N, torch.tensor(weights_K) if is_weighted else None)
    torch.autograd.backward(loss)
    expected_N, gradients_NK = FORMULAS[name](logits_NK, labels_N, **arguments)
    shares_N = weights_K[labels_N] / weights_K[labels_N].sum() if is_weighted else np.full(count, 1 / count)
    assert losses_N.shape == (count,)
    assert loss.shape == ()
    np.testing.assert_allclose(losses_N.detach().numpy(), expected_N, rtol=1e-7, atol=1e-12)
    assert loss.item() == pytest.approx(float(shares_N @ expected_N), rel=1e-9)
    assert tensor_NK.grad is not None
    np.testing.assert_allclose(tensor_NK.grad.numpy(), shares_N[:, None] * gradients_NK, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("name", FORMULAS)
def test_the_gradients_written_here_are_the_slopes_of_the_formulas_written_here(name: str) -> None:
    logits_NK, labels_N, _ = drawn(5, 4, 2.0)
    _, gradients_NK = FORMULAS[name](logits_NK, labels_N)
    for column in range(4):
        nudge_NK = 1e-6 * one_hot(np.full(5, column), 4)
        above_N, below_N = (FORMULAS[name](logits_NK + sign * nudge_NK, labels_N)[0] for sign in (1, -1))
        np.testing.assert_allclose((above_N - below_N) / 2e-6, gradients_NK[:, column], atol=1e-7)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_stays_finite_at_logits_beyond_reason(name: str) -> None:
    logits_NK = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0]], requires_grad=True)
    losses_N = LOSSES[name].load()(logits_NK, torch.tensor([1, 1]))
    torch.autograd.backward(mean_loss(losses_N, torch.tensor([1, 1])))
    assert losses_N.dtype == torch.float32
    assert losses_N.isfinite().all()
    assert logits_NK.grad is not None
    assert logits_NK.grad.isfinite().all()


@pytest.mark.parametrize(("name", "arguments"), ARGUMENTS, ids=str)
@pytest.mark.parametrize(
    "image",
    [[math.nan] * 3, [0.0, math.nan, 0.0], [math.nan, 5.0, 0.0], [math.inf] * 3],
    ids=["nan", "own is nan", "another is nan", "infinite"],
)
@pytest.mark.parametrize("is_weighted", [False, True], ids=["plain", "weighted"])
def test_a_batch_with_logits_that_are_not_finite_has_no_finite_loss(
    name: str, arguments: dict[str, Any], image: list[float], is_weighted: bool
) -> None:
    logits_NK, labels_N = torch.tensor([[0.0, 5.0, 0.0], image]), torch.tensor([1, 1])
    losses_N = LOSSES[name].load()(logits_NK, labels_N, **arguments)
    assert losses_N.isfinite().tolist() == [True, False]
    assert not mean_loss(losses_N, labels_N, torch.tensor([1.0, 2.0, 0.0]) if is_weighted else None).isfinite()


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_loss_has_a_slope_where_an_image_is_certain(gamma: float) -> None:
    logits_NK = torch.tensor([[200.0, 0.0]], requires_grad=True)
    torch.autograd.backward(LOSSES["focal"].load()(logits_NK, torch.tensor([0]), gamma=gamma).sum())
    assert logits_NK.grad is not None
    assert logits_NK.grad.isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
def test_class_weights_that_are_all_the_same_change_nothing(name: str) -> None:
    logits_NK, labels_N, _ = drawn(16, 5, 2.0)
    targets_N = torch.tensor(labels_N)
    losses_N = LOSSES[name].load()(torch.tensor(logits_NK), targets_N)
    torch.testing.assert_close(mean_loss(losses_N, targets_N, torch.full((5,), 0.3)), losses_N.mean())


def test_the_weighted_mean_of_cross_entropy_is_torch_s() -> None:
    logits_NK, labels_N, weights_K = (torch.tensor(part) for part in drawn(16, 5, 2.0))
    ours = mean_loss(LOSSES["cross_entropy"].load()(logits_NK, labels_N), labels_N, weights_K)
    torch.testing.assert_close(ours, torch.nn.functional.cross_entropy(logits_NK, labels_N, weight=weights_K))
