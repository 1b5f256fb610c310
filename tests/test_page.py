"""The page holds everything, says how any sweep stands, and no name becomes an element."""

import json

import pytest
from folders import write_sweep
from hypothesis import given
from hypothesis import strategies as st
from pages import FACTS, Elements, tables

from sweeper.dashboards import page, views
from sweeper.store import Sweep

pytest_plugins = ("page_fixtures",)


@given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3), max_leaves=5))
def test_embedded_json_says_the_same_and_closes_nothing(value: object) -> None:
    text = page.embedded(value)
    assert json.loads(text) == value
    assert not set("<>&\u2028\u2029") & set(text)


def test_a_page_loads_nothing_and_no_name_becomes_an_element(hostile: views.SweepTables) -> None:
    elements = Elements(page.render([hostile]))
    links = [
        value
        for _, attrs in elements.found
        for name, value in attrs.items()
        if name in ("src", "href", "data", "action")
    ]
    assert links == [FACTS["mlflow"]]
    assert [tag for tag, _ in elements.found].count("script") == 4
    assert not {"img", "link", "iframe", "object", "form"} & {tag for tag, _ in elements.found}
    assert not any(name.startswith("on") for _, attrs in elements.found for name in attrs)
    policy = next(
        attrs["content"] for _, attrs in elements.found if attrs.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "<script>alert(9)</script>" in elements.text


@pytest.mark.parametrize(
    ("endings", "sentence"),
    [
        (("waiting",), "No trial has ended yet."),
        (("running", "waiting"), "No trial has ended yet."),
        (("diverged",), "No trial has completed (diverged so far), so none is best."),
        (("failed", "diverged"), "No trial has completed (diverged or failed so far)"),
        (("pruned",), "so far, though pruned: no trial is complete"),
        (("complete",), "has the best validation top-1."),
    ],
)
def test_the_page_of_any_sweep_says_how_it_stands(storage: str, endings: tuple[str, ...], sentence: str) -> None:
    sweep = write_sweep(storage, "-".join(endings), {"lr": [0.1, 0.2]}, endings=endings, epochs=1, classes=("only",))
    text = Elements(page.render([tables(sweep, ["lr"])])).text
    assert sentence in text
    assert ("No trial has left per-class results yet" in text) == ("complete" not in endings)


def test_a_sweep_without_trials_or_a_finite_objective(storage: str) -> None:
    assert "This sweep has no trials yet." in Elements(page.render([tables(Sweep(storage, "none"))])).text
    lossless = tables(write_sweep(storage, "lossless"), metric="val/ece", mode="min")
    assert "No trial has a finite validation calibration error" in Elements(page.render([lossless])).text
