"""Curves as bars: hand-worked."""

import math

import numpy as np
import pandas as pd
import pytest

from sweeper.dashboards.sparkline import common_range, epoch_curves, sparkline, squeezed

NAN = math.nan


@pytest.mark.parametrize(
    ("values", "low", "high", "bars"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7], 0, 8, "▁▂▃▄▅▆▇█"),
        ([0, 8, 4], 0, 8, "▁█▅"),
        ([-5, 99], 0, 8, "▁█"),
        ([1, NAN, 2, NAN], 1, 2, "▁ █"),
        ([NAN, NAN], 0, 1, ""),
        ([3, NAN, 3], 3, 3, "▅ ▅"),
        ([], 0, 1, ""),
    ],
)
def test_a_bar_for_each_value_and_a_gap_for_each_missing_one(
    values: list[float], low: float, high: float, bars: str
) -> None:
    assert sparkline(np.array(values, dtype=float), low, high) == bars


def test_squeezing_takes_means_over_the_same_epochs_of_every_curve() -> None:
    long, short, gap = np.arange(1.0, 9.0), np.array([1.0, 3.0, 5.0]), np.array([NAN, NAN, 2.0, NAN])
    squeezed_curves = [curve.tolist() for curve in squeezed([long, short, gap], 4)]
    assert squeezed_curves[:2] == [[1.5, 3.5, 5.5, 7.5], [2.0, 5.0]]
    assert squeezed_curves[2] == pytest.approx([NAN, 2.0], nan_ok=True)
    assert [curve.tolist() for curve in squeezed([short], 24)] == [[1.0, 3.0, 5.0]]
    assert [curve.tolist() for curve in squeezed([np.empty(0)], 24)] == [[]]


def test_the_scale_is_common_and_ignores_what_is_not_finite() -> None:
    assert common_range([np.array([1.0, NAN]), np.array([]), np.array([-2.0])]) == (-2.0, 1.0)
    assert common_range([np.array([NAN])]) is None
    assert common_range([]) is None


def test_curves_come_from_the_history_by_epoch() -> None:
    rows = [("a", 1, 0.5), ("a", 3, math.inf), ("a", 4, 0.7), ("b", 1, 0.1), ("c", 1, 0.9)]
    history = pd.DataFrame(rows, columns=["key", "epoch", "val/top1"])
    curves = [curve.tolist() for curve in epoch_curves(history, ["b", "a", "none"], "val/top1")]
    assert curves[0] == [0.1]
    assert curves[1] == pytest.approx([0.5, NAN, NAN, 0.7], nan_ok=True)
    assert curves[2] == []
    assert [len(curve) for curve in epoch_curves(history, ["a"], "val/loss")] == [0]
