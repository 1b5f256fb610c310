"""Which row of a table of trials comes first; the best of all is that of `sweeper.best.best_so_far`, which reads records."""

import numpy as np
import pandas as pd

STATES = ("complete", "pruned", "running", "interrupted", "diverged", "failed", "waiting")
NOT_ENDED = {"running", "interrupted", "waiting"}


def objective(trials: pd.DataFrame, metric: str) -> "pd.Series[float]":
    """The metric of each trial as float; NaN where it is missing, infinite or NaN."""
    if metric not in trials.columns:
        return pd.Series(np.nan, index=trials.index, dtype=float)
    values = pd.to_numeric(trials[metric], errors="coerce").astype(float)
    return values.where(np.isfinite(values))


def ranked(trials: pd.DataFrame, metric: str, mode: str) -> list[int]:
    """Row labels, best first: complete trials, then pruned, running, interrupted, diverged, failed and waiting ones.

    Within a state by the metric (those without it last), and among equals by number.
    """
    order = pd.DataFrame(
        {
            "state": trials["state"].map(STATES.index),
            "value": objective(trials, metric) * (-1 if mode == "max" else 1),
            "number": trials["number"],
        }
    )
    return list(order.sort_values(["state", "value", "number"], kind="stable", na_position="last").index)


def best(trials: pd.DataFrame, metric: str, mode: str) -> int | None:
    """The row label of the best complete trial, or of the best pruned one when none is complete; NaN never wins."""
    for state in ("complete", "pruned"):
        candidates = trials[trials["state"] == state]
        if len(candidates):
            first = ranked(candidates, metric, mode)[0]
            return first if objective(candidates, metric).notna()[first] else None
    return None
