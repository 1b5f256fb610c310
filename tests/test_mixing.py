"""mixup and cutmix on images and losses worked out by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from trials import begin, experiment

from sweeper.experiment import named_of
from sweeper.training.augment import asked_for
from sweeper.training.feed import Batch
from sweeper.training.mixing import Mix, box_of, draw_mixes, mixed


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def levels() -> torch.Tensor:
    """Three images of one value each: 0, 1 and 10."""
    return torch.tensor([0.0, 1.0, 10.0])[:, None, None, None].repeat(1, 3, 4, 4)


def test_mixup_adds_the_image_before_by_its_share() -> None:
    mixed_NCHW = mixed(levels(), Mix(0.75))
    assert mixed_NCHW[:, 0, 0, 0].tolist() == [2.5, 0.75, 7.75]  # 0.75 of each and 0.25 of 10, 0 and 1
    assert (mixed_NCHW == mixed_NCHW[:, :1, :1, :1]).all()


def test_cutmix_puts_a_box_of_the_image_before_into_each() -> None:
    mixed_NCHW = mixed(levels(), Mix(0.875, (1, 3, 0, 1)))
    expected_HW = np.full((4, 4), 1.0)
    expected_HW[1:3, 0:1] = 0
    assert np.array_equal(mixed_NCHW[1, 2], expected_HW)
    expected_HW[expected_HW == 1] = 10
    expected_HW[1:3, 0:1] = 1
    assert np.array_equal(mixed_NCHW[2, 0], expected_HW)


@pytest.mark.parametrize(
    ("share", "centre", "expected"),
    [
        (0.75, (4, 4), Mix(0.75, (2, 6, 2, 6))),  # a quarter of 64 pixels: 4 x 4
        (0.75, (0, 4), Mix(1 - 8 / 64, (0, 2, 2, 6))),  # half of it is outside
        (0.0, (4, 4), Mix(0.0, (0, 8, 0, 8))),
        (1.0, (4, 4), Mix(1.0, (4, 4, 4, 4))),
    ],
)
def test_a_labels_share_is_that_of_the_pixels_that_are_left(
    share: float, centre: tuple[int, int], expected: Mix
) -> None:
    assert box_of(share, *centre, 8) == expected


def test_shares_are_betas_and_of_two_kinds_each_is_as_likely() -> None:
    mixes = draw_mixes(asked_for(("mixup",)), 4000, 16, generator())
    shares = np.array([mix.share for mix in mixes if mix])
    assert len(shares) == 4000
    assert shares.mean() == pytest.approx(0.5, abs=0.03)
    assert shares.var() == pytest.approx(1 / (4 * (2 * 0.2 + 1)), rel=0.05)  # of Beta(0.2, 0.2)
    both = draw_mixes(asked_for(("cutmix", "mixup")), 4000, 16, generator())
    assert sum(mix is not None and mix.box is None for mix in both) / 4000 == pytest.approx(0.5, abs=0.03)
    assert both == draw_mixes(asked_for(("mixup", "cutmix")), 4000, 16, generator())
    assert draw_mixes(asked_for(("hue",)), 3, 16, generator()) == [None] * 3


def test_boxes_lie_anywhere_by_row_and_column_apart_and_leave_a_share_from_their_beta() -> None:
    mixes = draw_mixes(asked_for((named_of({"name": "cutmix", "alpha": 100}),)), 4000, 64, generator())
    top, bottom, left, right = np.array([mix.box for mix in mixes if mix]).T  # 45 px wide, nearly all of them
    for low, high in ((top, bottom), (left, right)):
        assert (low == 0).mean() == pytest.approx(23 / 64, abs=0.03)
        assert (high == 64).mean() == pytest.approx(22 / 64, abs=0.03)
    assert np.corrcoef(top, left)[0, 1] == pytest.approx(0, abs=0.05)
    inside = (top > 0) & (bottom < 64) & (left > 0) & (right < 64)
    shares = np.array([mix.share for mix in mixes if mix])
    assert shares[inside].mean() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("share", [0.3, 0.8])
@pytest.mark.parametrize("weights", [None, tuple(float(weight) for weight in range(1, 11))])
def test_a_mixed_step_weighs_both_labels_and_hits_count_for_the_larger(
    tmp_path: Path, share: float, weights: Any
) -> None:
    trainer = begin(tmp_path, experiment(class_weights=weights)).trainer()
    at_N = trainer.feed.train_N[:32]
    images_NCHW, labels_N = trainer.feed.seen(at_N), trainer.feed.labels_N[at_N]
    logits_NK = trainer.network(images_NCHW).detach()
    loss, hits = trainer.step(Batch(images_NCHW, labels_N, Mix(share)), 0.1).tolist()
    other_N = torch.cat([labels_N[-1:], labels_N[:-1]])
    weight_K = torch.tensor(weights or [1.0] * 10)
    total, weight = 0.0, 0.0
    for part, targets_N in ((share, labels_N), (1 - share, other_N)):
        losses_N = cross_entropy(logits_NK, targets_N, reduction="none")
        total += float((part * weight_K[targets_N] * losses_N).sum())
        weight += float((part * weight_K[targets_N]).sum())
    assert loss / 32 == pytest.approx(total / weight, rel=1e-5)
    assert hits == (logits_NK.argmax(1) == (labels_N if share > 0.5 else other_N)).sum()
