"""Learning rates against torch's own schedulers, stepped over whole runs, and against values worked out by hand."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from sweeper.experiment import Train
from sweeper.training.schedules import SCHEDULES, cuts, has_stopped, rates

STEPS = 7


def ours(train: Train, history: Any = (), steps: int = STEPS) -> list[float]:
    """The rate of every step of a run."""
    return [rate for epoch in range(1, train.epochs + 1) for rate in rates(train, epoch, steps, history[: epoch - 1])]


def stepped(lr: float, count: int, make: Callable[[torch.optim.Optimizer], Any]) -> list[float]:
    """The rates that one of torch's schedulers gives to `count` steps."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler, found = make(optimizer), []
    with warnings.catch_warnings(action="ignore"):
        for _ in range(count):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
    return found


def assert_close(found: list[float], expected: list[float]) -> None:
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_constant_is_constant() -> None:
    assert ours(Train(epochs=3, lr=0.25, schedule="constant")) == [0.25] * 21


def test_step_is_steplr_and_by_hand() -> None:
    train = Train(epochs=7, lr=0.5, schedule="step", step_size=3, gamma=0.1)
    by_epoch = stepped(0.5, 7, lambda optimizer: lr_scheduler.StepLR(optimizer, 3, 0.1))
    assert_close(ours(train), [rate for rate in by_epoch for _ in range(STEPS)])
    assert_close(ours(train, steps=1), [0.5, 0.5, 0.5, 0.05, 0.05, 0.05, 0.005])


@pytest.mark.parametrize("min_lr", [0.0, 0.01])
def test_cosine_is_cosineannealinglr(min_lr: float) -> None:
    train = Train(epochs=5, lr=0.3, schedule="cosine", min_lr=min_lr)
    count = 5 * STEPS
    expected = stepped(0.3, count, lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, count, min_lr))
    assert_close(ours(train), expected)
    assert ours(train)[0] == 0.3


def test_cosine_is_half_way_down_after_half_of_the_steps() -> None:
    train = Train(epochs=2, lr=0.3, schedule="cosine", min_lr=0.1)
    assert rates(train, 2, 10, ())[0] == pytest.approx(0.2)
    assert rates(train, 1, 10, ())[5] == pytest.approx(0.1 + 0.2 * (1 + math.sqrt(0.5)) / 2)


@pytest.mark.parametrize(("epochs", "steps"), [(1, 1), (1, 2), (1, 3), (4, 1), (3, 7), (10, 40)])
def test_one_cycle_is_onecyclelr(epochs: int, steps: int) -> None:
    train, count = Train(epochs=epochs, lr=0.4, schedule="one_cycle"), epochs * steps
    make = lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 0.4, total_steps=count, cycle_momentum=False)  # noqa: E731
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler, expected = make(optimizer), []
    for at in range(count):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if at < count - 1:
            scheduler.step()
    assert_close(ours(train, steps=steps), expected)


def test_one_cycle_begins_tops_and_ends_where_it_should() -> None:
    found = ours(Train(epochs=10, lr=0.5, schedule="one_cycle"), steps=10)
    assert found[0] == pytest.approx(0.02)
    assert found.index(max(found)) == 29
    assert max(found) == pytest.approx(0.5)
    assert found[-1] == pytest.approx(0.5 / 250_000)


@pytest.mark.parametrize("cycle_epochs", [1, 2, 3])
def test_cyclic_is_triangular_cycliclr(cycle_epochs: int) -> None:
    train, steps = Train(epochs=7, lr=0.2, min_lr=0.02, schedule="cyclic", cycle_epochs=cycle_epochs), 6
    half = cycle_epochs * steps // 2
    make = lambda optimizer: lr_scheduler.CyclicLR(optimizer, 0.02, 0.2, half, cycle_momentum=False)  # noqa: E731
    assert_close(ours(train, steps=steps), stepped(0.02, 7 * steps, make))


# Plateau


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([1.0, 0.9999, 0.99985, 0.9, 0.5, 2.0, math.inf]), min_size=1, max_size=30),
    st.integers(0, 3),
)
def test_plateau_is_reducelronplateau_on_the_validation_loss(losses: list[float], patience: int) -> None:
    train = Train(epochs=len(losses), lr=0.1, schedule="plateau", gamma=0.5, patience=patience, min_lr=0.004)
    history = [{"val/loss": loss, "train/loss": -index} for index, loss in enumerate(losses)]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, "min", 0.5, patience, min_lr=0.004, eps=0.0)
    expected = []
    for loss in losses:
        expected.append(optimizer.param_groups[0]["lr"])
        scheduler.step(loss)
    assert_close(ours(train, history, steps=1), expected)


def test_plateau_cuts_when_more_than_patience_epochs_bring_nothing_better() -> None:
    losses = [1.0, 0.8, 0.9, 0.9, 0.9, 0.7, 0.7, 0.7, 0.7]
    history = [{"val/loss": loss} for loss in losses]
    train = Train(epochs=9, lr=1.0, schedule="plateau", gamma=0.1, patience=2, stop_after=2)
    assert [cuts(train, history[:epoch]) for epoch in range(10)] == [0, 0, 0, 0, 0, 1, 1, 1, 1, 2]
    assert [has_stopped(train, history[:epoch]) for epoch in range(10)] == [False] * 9 + [True]
    assert rates(train, 6, 2, history[:5]) == pytest.approx([0.1, 0.1])


def test_without_validation_images_plateau_looks_at_the_training_loss() -> None:
    train = Train(schedule="plateau", patience=0)
    assert cuts(train, [{"train/loss": loss} for loss in (1.0, 1.0, 0.5, 0.6)]) == 2


def test_only_plateau_stops_and_only_when_asked() -> None:
    history = [{"val/loss": 1.0}] * 30
    assert not has_stopped(Train(schedule="plateau", patience=0), history)
    assert not has_stopped(Train(schedule="step", patience=0, stop_after=1), history)


# Warm-up


@pytest.mark.parametrize(
    ("schedule", "after"),
    [
        ("constant", lambda optimizer: lr_scheduler.ConstantLR(optimizer, factor=1.0)),
        ("step", lambda optimizer: lr_scheduler.StepLR(optimizer, 2 * STEPS, 0.1)),
        ("cosine", lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 4 * STEPS)),
    ],
)
def test_a_warm_up_is_linear_and_then_the_schedule_begins(schedule: Any, after: Any) -> None:
    train = Train(epochs=6, lr=0.6, schedule=schedule, step_size=2, gamma=0.1, warmup_epochs=2)
    found = ours(train)
    assert_close(found[: 2 * STEPS], [0.6 * step / (2 * STEPS) for step in range(1, 2 * STEPS + 1)])
    assert_close(found[2 * STEPS :], stepped(0.6, 4 * STEPS, after))


@pytest.mark.parametrize("schedule", ["one_cycle", "cyclic"])
def test_schedules_that_begin_low_have_no_warm_up(schedule: Any) -> None:
    """A sweep over schedules has one `warmup_epochs` for all."""
    settings = {"epochs": 6, "lr": 0.6, "schedule": schedule, "cycle_epochs": 4}
    assert ours(Train(**settings, warmup_epochs=2)) == ours(Train(**settings))


def test_plateau_does_not_count_the_epochs_of_the_warm_up() -> None:
    train = Train(epochs=9, lr=1.0, schedule="plateau", gamma=0.1, patience=1, warmup_epochs=3, stop_after=2)
    history = [{"val/loss": 1.0}] * 8
    assert [has_stopped(train, history[:epoch]) for epoch in range(9)] == [False] * 8 + [True]
    assert_close(ours(train, history, steps=1), [1 / 3, 2 / 3, 1.0, 1.0, 1.0, 1.0, 0.1, 0.1, 0.01])


@pytest.mark.parametrize("schedule", SCHEDULES)
@settings(deadline=None, max_examples=30)
@given(st.data())
def test_rates_lie_between_nothing_and_the_highest(schedule: Any, data: st.DataObject) -> None:
    epochs = data.draw(st.integers(1, 12))
    train = Train(epochs=epochs, lr=0.7, schedule=schedule, cycle_epochs=data.draw(st.integers(1, 12)), min_lr=0.01)
    history = [{"val/loss": data.draw(st.floats(0, 2))} for _ in range(epochs)]
    found = ours(train, history, data.draw(st.integers(1, 9)))
    assert all(0 < rate <= 0.7 * (1 + 1e-12) for rate in found)
