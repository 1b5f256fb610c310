"""Comparing sweeps: whether they may be, and on which classes their best trials differ."""

from dataclasses import replace

import pytest
from folders import write_sweep
from pages import tables

from sweeper.dashboards.comparison import class_gaps, same_data


def test_class_gaps_are_those_of_the_best_trials(tmp_path_factory: pytest.TempPathFactory) -> None:
    storage = str(tmp_path_factory.mktemp("s"))
    one = tables(write_sweep(storage, "one", classes=("a", "b", "c")))
    two = tables(write_sweep(storage, "two", {"lr": [0.001]}, classes=("a", "b", "c", "d")), ["lr"])
    gaps = class_gaps([one, two])
    assert {gap.name for gap in gaps} == {"a", "b", "c"}
    assert [gap.gap for gap in gaps] == sorted((gap.gap for gap in gaps), reverse=True)
    for index, table in enumerate((one, two)):
        complete = table.trials[table.trials["state"] == "complete"]
        key = complete.loc[complete["val/top1"].idxmax(), "key"]
        rows = table.per_class[(table.per_class["key"] == key) & (table.per_class["split"] == "test")]
        expected = dict(zip(rows["class"], rows["correct"] / rows["images"], strict=True))
        assert {gap.name: gap.accuracy[index] for gap in gaps} == {name: expected[name] for name in "abc"}


@pytest.mark.parametrize(
    ("facts", "images", "words"),
    [
        (({"data fingerprint": "x", "split": "a"}, {"data fingerprint": "x", "split": "a"}), 50, "the same images"),
        (
            ({"data fingerprint": "x", "split": "a"}, {"data fingerprint": "x", "split": "b"}),
            50,
            "split the same data differently",
        ),
        (({"data fingerprint": "x"}, {"data fingerprint": "y"}), 50, "different data"),
        (({"data fingerprint": "x"}, {}), 50, "cannot be told"),
        (({"data fingerprint": "x"}, {"data fingerprint": "x"}), 40, "different images"),
    ],
)
def test_whether_sweeps_may_be_compared_is_said_plainly(
    storage: str, facts: tuple[dict[str, str], dict[str, str]], images: int, words: str
) -> None:
    one = replace(tables(write_sweep(storage, "a50", {"lr": [0.01]}), ["lr"]), facts=facts[0])
    two = replace(tables(write_sweep(storage, f"b{images}", {"lr": [0.1]}, images=images), ["lr"]), facts=facts[1])
    assert words in same_data([one, two])
    assert class_gaps([one, replace(two, per_class=two.per_class.iloc[:0])]) == ()


pytest_plugins = ("page_fixtures",)
