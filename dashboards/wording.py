"""Values as the page writes them: numbers with their units, a mean with its deviation."""

import math
from typing import Any

from sweeper.dashboards.cells import Spread
from sweeper.dashboards.levels import label
from sweeper.dashboards.views import metric_kind


def shown(value: Any, kind: str) -> str:
    """A cell of a table, for people."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, float) and math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if kind == "percent":
        return f"{value * 100:.2f}"
    if kind == "number" and isinstance(value, float):
        return f"{value:.3f}" if 0.001 <= abs(value) < 100 else f"{value:.4g}"
    return label(value)


def exact(value: Any) -> str:
    """What a number sorts by; empty where there is none, so that it comes last."""
    return repr(value) if isinstance(value, int | float) and not isinstance(value, bool) and value == value else ""


def with_unit(value: Any, metric: str) -> str:
    text, kind = shown(value, metric_kind(metric)), metric_kind(metric)
    return f"{text} %" if kind == "percent" and text != shown(None, kind) else text


def spread(value: Spread, kind: str) -> str:
    """ "97.49 ± 0.21", or the mean alone where there is one trial."""
    mean = shown(value.mean, kind)
    return mean if value.deviation is None else f"{mean} ± {shown(value.deviation, kind)}"
