"""Two or more ways to do the same, timed in turns: A B A B, so that a machine that slows down slows all of them."""

import statistics
import time
from collections.abc import Callable, Mapping

Seconds = dict[str, list[float]]
"""By side, one time a round."""


def in_turns(sides: Mapping[str, Callable[[], object]], rounds: int, warm_ups: int = 1) -> Seconds:
    """Time each side once a round; warm-up rounds are not kept."""
    seconds: Seconds = {name: [] for name in sides}
    for round_number in range(warm_ups + rounds):
        for name, side in sides.items():
            taken = timed(side)
            if round_number >= warm_ups:
                seconds[name].append(taken)
    return seconds


def timed(action: Callable[[], object]) -> float:
    """The seconds that an action takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def ratio(seconds: Seconds, side: str, other: str) -> float:
    """The median of the rounds' own ratios: how many times as long `side` takes as `other`."""
    return statistics.median(one / two for one, two in zip(seconds[side], seconds[other], strict=True))


def verdict(what: str, reached: float, target: float, *, at_least: bool) -> str:
    """One line: what was reached, what was wanted, and whether that is met."""
    is_met = reached >= target if at_least else reached <= target
    return f"{what}: {reached:.3g} (target: {target:g} or {'more' if at_least else 'less'}) {'met' if is_met else 'MISSED'}"
