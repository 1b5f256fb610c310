"""The page's statistics, evaluated in a real browser, against scipy and exact arithmetic."""

import itertools
import json
import math
import random
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from benchmarks.chromium import Browser

pytest_plugins = ("page_fixtures",)


@pytest.fixture(scope="module")
def statistics(browser: Browser) -> Browser:
    browser.open("about:blank")
    script = (files("sweeper.dashboards") / "static" / "statistics.js").read_text()
    names = "wilson, logMcNemar, logHolm, comparePair, confusionMatrix, isSignificant"
    browser.do(f"(() => {{ {script}; Object.assign(window, {{ {names} }}); }})()")
    return browser


def each(browser: Browser, function: str, inputs: list[Any]) -> list[Any]:
    """The function's value for each list of arguments, in one call."""
    values: list[Any] = browser.do(f"{json.dumps(inputs)}.map(values => {function}(...values))")
    return values


def test_wilson_intervals_are_those_of_scipy(statistics: Browser) -> None:
    draw = random.Random(0)
    shares = [(correct, images) for images in (1, 2, 3, 50) for correct in range(images + 1)]
    for _ in range(400):
        images = round(10 ** draw.uniform(0, 6))
        shares.append((draw.choice([0, images, draw.randint(0, images)]), images))
    for (correct, images), found in zip(shares, each(statistics, "wilson", shares), strict=True):
        expected = binomtest(correct, images).proportion_ci(method="wilson")
        assert found == pytest.approx([expected.low, expected.high], rel=1e-9, abs=1e-15)


def test_a_class_without_images_has_no_interval(statistics: Browser) -> None:
    assert statistics.do("wilson(0, 0)") is None


def test_mcnemar_is_scipys_exact_binomial_test(statistics: Browser) -> None:
    draw = random.Random(1)
    pairs = [(b, c) for b in range(13) for c in range(13)]
    pairs += [(round(10 ** draw.uniform(0, 3.5)), round(10 ** draw.uniform(0, 3.5))) for _ in range(200)]
    pairs += [(draw.randint(4800, 5200), draw.randint(4800, 5200)) for _ in range(50)]
    for (b, c), log in zip(pairs, each(statistics, "logMcNemar", pairs), strict=True):
        expected = binomtest(b, b + c).pvalue if b + c else 1.0
        if expected > 1e-290:
            assert math.exp(log) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("b", "c"), [(0, 2000), (12, 5000), (4000, 1000), (9000, 3001), (5001, 4999), (20000, 300)])
def test_mcnemar_where_p_is_smaller_than_any_float(statistics: Browser, b: int, c: int) -> None:
    ways = itertools.accumulate(range(min(b, c)), lambda term, k: term * (b + c - k) // (k + 1), initial=1)
    tail = sum(ways)
    exact = math.log(2) + math.log(tail) - (b + c) * math.log(2)
    assert statistics.do(f"logMcNemar({b}, {c})") == pytest.approx(min(0.0, exact), rel=1e-9)


def by_closed_testing(p: list[float]) -> list[float]:
    """Holm's method by its definition: the largest Bonferroni p of all sets of hypotheses that one belongs to."""
    sets = [s for size in range(1, len(p) + 1) for s in itertools.combinations(range(len(p)), size)]
    return [max(min(1.0, len(s) * min(p[i] for i in s)) for s in sets if one in s) for one in range(len(p))]


def test_holm_is_closed_testing_with_bonferroni(statistics: Browser) -> None:
    draw = random.Random(2)
    lists = [[draw.choice([1.0, 10 ** draw.uniform(-9, 0)]) for _ in range(draw.randint(1, 9))] for _ in range(80)]
    lists += [[0.01, 0.01, 0.02], [1.0], [0.0125, 0.04, 0.03, 0.005]]
    logs = each(statistics, "logHolm", [[[math.log(p) for p in ps]] for ps in lists])
    for ps, found in zip(lists, logs, strict=True):
        assert [math.exp(log) for log in found] == pytest.approx(by_closed_testing(ps), rel=1e-9)


def test_holm_of_two_hundred_classes_by_hand(statistics: Browser) -> None:
    logs = [-1000.0 - i for i in range(200)]
    found = statistics.do(f"logHolm({logs})")
    assert found == pytest.approx([log + math.log(i + 1) for i, log in enumerate(logs)], rel=1e-12)
    assert statistics.do("logHolm([])") == []


@pytest.mark.parametrize(("p", "is_significant"), [(0.0499, True), (0.0501, False), (1.0, False)])
def test_five_per_cent_is_significant(statistics: Browser, p: float, is_significant: bool) -> None:
    assert statistics.do(f"isSignificant({math.log(p)})") is is_significant


@pytest.mark.parametrize(("classes", "images"), [(1, 30), (4, 0), (7, 900), (300, 5000)])
def test_pairs_and_matrices_are_counted_as_numpy_counts(statistics: Browser, classes: int, images: int) -> None:
    draw = np.random.default_rng(classes)
    labels, a, b = (draw.integers(0, max(1, classes - 1), images) for _ in range(3))
    a, b = (np.where(draw.random(images) < skill, labels, other) for skill, other in ((0.6, a), (0.3, b)))
    values = ", ".join(str(part.tolist()) for part in (labels, a, b))
    result = statistics.do(f"comparePair({values}, {classes})")
    assert [row["class"] for row in result["classes"]] == sorted(set(labels.tolist()))
    for row in [*result["classes"], result["overall"]]:
        of = labels == row["class"] if row is not result["overall"] else np.ones(images, dtype=bool)
        right_a, right_b = (a == labels)[of], (b == labels)[of]
        counted = [of.sum(), (right_a & right_b).sum(), (right_a & ~right_b).sum(), (~right_a & right_b).sum()]
        assert [row[name] for name in ("images", "both", "onlyA", "onlyB")] == counted
    matrix = np.zeros((classes, classes), dtype=int)
    np.add.at(matrix, (labels, a), 1)
    assert statistics.do(f"confusionMatrix({labels.tolist()}, {a.tolist()}, {classes})") == matrix.tolist()
