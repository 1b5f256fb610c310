"""Time and epochs: what a sweep took, and what pruning saved."""

from collections.abc import Sequence

import pandas as pd


def epochs_saved(trials: pd.DataFrame, axes: Sequence[str]) -> "pd.Series[int] | None":
    """Epochs that each pruned trial did not train, by key, against its own `epochs` axis or else the longest complete
    trial; None when there is no pruned trial or nothing to go by."""
    pruned, complete = trials[trials["state"] == "pruned"], trials[trials["state"] == "complete"]
    axis = next((name for name in ("epochs", "train.epochs") if name in axes), None)
    if pruned.empty or (axis is None and complete.empty):
        return None
    planned = pruned[axis] if axis else int(complete["epochs_run"].max())
    return (planned - pruned["epochs_run"]).clip(lower=0).set_axis(pruned["key"])


def epoch_seconds(history: pd.DataFrame) -> "pd.Series[float]":
    """The seconds of every epoch that was timed, by trial key."""
    if "epoch_seconds" not in history:
        return pd.Series(dtype=float)
    return history.set_index("key")["epoch_seconds"].dropna().astype(float)


def seconds_saved(saved: "pd.Series[int]", seconds: "pd.Series[float]") -> float:
    """The epochs saved of each trial times the mean seconds of an epoch of that trial; 0 for one that was not timed."""
    return float((saved * seconds.groupby(level=0).mean().reindex(saved.index)).sum())


def wall_seconds(history: pd.DataFrame) -> float:
    """From the begin of the first epoch to the end of the last, pauses included; 0 without times (`time` is an epoch's end)."""
    if "time" not in history or history["time"].isna().all():
        return 0.0
    lasted = history["epoch_seconds"].fillna(0) if "epoch_seconds" in history else 0
    return float(history["time"].max() - (history["time"] - lasted).min())
