"""Several sweeps against each other, as numbers."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from sweeper.dashboards.ranking import best
from sweeper.dashboards.views import SweepTables

MOST_CLASSES = 12
CONSEQUENCE = "so their accuracies are not comparable one to one."


class ClassGap(NamedTuple):
    """The accuracy of each sweep's best trial on one class (None: it has no such class), and the widest gap."""

    name: str
    accuracy: tuple[float | None, ...]
    gap: float


def class_gaps(sweeps: Sequence[SweepTables]) -> tuple[ClassGap, ...]:
    """Test accuracy, class by class, of each sweep's best trial; the widest gap first. Classes that one sweep alone has
    are left out."""
    table = pd.concat(dict(enumerate(map(_best_classes, sweeps))), axis=1).reindex(columns=range(len(sweeps)))
    shared = table[table.notna().sum(axis=1) > 1]
    gaps = (shared.max(axis=1) - shared.min(axis=1)).sort_values(ascending=False, kind="stable")
    return tuple(
        ClassGap(str(at[1]), tuple(None if pd.isna(v) else float(v) for v in shared.loc[at]), float(gap))
        for at, gap in gaps.items()
        if isinstance(at, tuple)
    )


def _best_classes(sweep: SweepTables) -> "pd.Series[float]":
    """The best trial's test accuracy by class id and name."""
    rows = _best_rows(sweep)
    return rows.set_index(["id", "class"])["top1"].groupby(level=[0, 1]).first()


def _best_rows(sweep: SweepTables) -> pd.DataFrame:
    winner = best(sweep.trials, sweep.metric, sweep.mode)
    key = None if winner is None else sweep.trials.loc[winner, "key"]
    return sweep.per_class[(sweep.per_class["key"] == key) & (sweep.per_class["split"] == "test")]


def same_data(sweeps: Sequence[SweepTables]) -> str:
    """Whether the sweeps may be compared, in one sentence: by the data's fingerprint and split, and by the number of
    test images of each class."""
    told = [(sweep.facts.get("data fingerprint", ""), sweep.facts.get("split", "")) for sweep in sweeps]
    images = [_best_rows(sweep).set_index(["id", "class"])["images"].to_dict() for sweep in sweeps]
    if any(counts != images[0] for counts in images if counts and images[0]):
        return f"These sweeps were tested on different images (their numbers by class differ), {CONSEQUENCE}"
    if not all(fingerprint for fingerprint, _ in told):
        return "Whether these sweeps are on the same data cannot be told: a fingerprint is missing."
    if len({fingerprint for fingerprint, _ in told}) > 1:
        return f"These sweeps are on different data (their fingerprints differ), {CONSEQUENCE}"
    if len({split for _, split in told}) > 1:
        return f"These sweeps split the same data differently, and their test images differ, {CONSEQUENCE}"
    return "These sweeps are on the same data, split the same way: they were tested on the same images."
