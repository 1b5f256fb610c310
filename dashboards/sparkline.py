"""Learning curves as one line of text each."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

BARS = "▁▂▃▄▅▆▇█"
GAP = " "


def epoch_curves(history: pd.DataFrame, keys: Sequence[str], metric: str) -> list[np.ndarray]:
    """Each trial's metric by epoch, from epoch 1; NaN where an epoch has no finite value."""
    if metric not in history.columns:
        return [np.empty(0)] * len(keys)
    epochs, values = history["epoch"].to_numpy(), history[metric].to_numpy(float)
    rows = history.groupby("key").indices
    return [_by_epoch(epochs[rows[key]], values[rows[key]]) if key in rows else np.empty(0) for key in keys]


def _by_epoch(epochs: np.ndarray, values: np.ndarray) -> np.ndarray:
    curve = np.full(int(epochs.max()), np.nan)
    curve[epochs - 1] = np.where(np.isfinite(values), values, np.nan)
    return curve


def squeezed(curves: Sequence[np.ndarray], width: int) -> list[np.ndarray]:
    """The curves in at most `width` steps of as many epochs for all of them, each the mean of its finite values."""
    longest = max((len(curve) for curve in curves), default=0)
    steps = min(width, longest)
    return [_means(curve, np.arange(len(curve)) * steps // max(longest, 1)) for curve in curves]


def _means(curve: np.ndarray, step: np.ndarray) -> np.ndarray:
    known = np.isfinite(curve)
    size = int(step[-1]) + 1 if len(step) else 0
    counts = np.bincount(step[known], minlength=size)
    sums = np.bincount(step[known], weights=curve[known], minlength=size)
    means = np.full(size, np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means


def common_range(curves: Sequence[np.ndarray]) -> tuple[float, float] | None:
    """The lowest and highest finite value of all curves; None when there is none."""
    values = np.concatenate([*curves, np.empty(0)])
    values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if len(values) else None


def sparkline(curve: np.ndarray, low: float, high: float) -> str:
    """A bar a value, from the lowest at `low` to the highest at `high` and beyond; a gap for NaN, no gaps at the end."""
    span = high - low
    shares = (curve - low) / span if span > 0 else np.where(np.isnan(curve), np.nan, 0.5)
    bars = (GAP if share != share else BARS[int(min(max(share, 0) * len(BARS), len(BARS) - 1))] for share in shares)
    return "".join(bars).rstrip()
