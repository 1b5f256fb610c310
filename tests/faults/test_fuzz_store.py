"""Files of a sweep folder as nobody wrote them: what reads them tells of them by name, or reads what is written there."""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from command import here
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sweeper.provenance import codes
from sweeper.store import Machine, Result, StoreError, Sweep
from sweeper.tracking import is_published, run_pages
from sweeper.trial import TrialState
from tests.test_store import ROWS, TRIAL

MACHINE = Machine("cpu", "AMX", "bfloat16", 1, 4, "torch 2.15.0")
RESULT = Result(
    TrialState.PRUNED, {"val/top1": 0.5}, ROWS, 1, "no luck", {"name": "median"}, 2, 1.8e9, {"per_class.csv": "0" * 64}
)
PUBLISHED = {"uri": "http://127.0.0.1:5000", "experiment_id": "1", "runs": {TRIAL.key: "0" * 32}, "digest": "x"}
BASE = "name: grid\ndata: {name: digits}\nmodel: {name: alexnet}\nsearch: {space: {lr: [0.1, 0.2]}}\n"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
    | st.sampled_from(["nan", "inf", "1", "complete", "running", 10**400, -1, 1e300, [], {}]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
CALM = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much])
THIRD = settings(CALM, max_examples=settings().max_examples // 3)  # a whole command takes its time
Read = Callable[[Sweep], Any]
FILES: dict[str, Read] = {
    "trial.json": lambda sweep: sweep.records()[0].trial,
    "result.json": lambda sweep: sweep.records()[0].result,
    "history.json": lambda sweep: sweep.records()[0].history,
    "machine.json": lambda sweep: sweep.machine(),
    "sweep.json": lambda sweep: sweep.identity(),
    "code.json": lambda sweep: codes(sweep),
    "published.json": lambda sweep: (run_pages(sweep), is_published(sweep, sweep.records(), "http://127.0.0.1:5000")),
    "experiment.yaml": lambda sweep: sweep.experiment(),
}


@contextmanager
def written() -> Iterator[Sweep]:
    """A sweep with one of every file."""
    with tempfile.TemporaryDirectory() as storage:
        sweep = Sweep(storage, "grid")
        sweep.write_experiment(BASE)
        sweep.write_machine(MACHINE)
        sweep.folder.write_json("published.json", PUBLISHED)
        sweep.folder.write_json("code.json", {"code": ["sweeper 0.1.0, commit 0123456789ab"]})
        sweep.identity()
        trial = sweep.trial(TRIAL.key)
        trial.write_trial(TRIAL)
        trial.write_result(RESULT)
        yield sweep


def place(sweep: Sweep, name: str) -> Path:
    """Where a file is; of a running trial when it is the history."""
    trial = sweep.trial(TRIAL.key)
    if name == "history.json":
        trial.reopen()
        trial.write_history(ROWS)
    return Path((trial if name in ("trial.json", "result.json", "history.json") else sweep.folder).path, name)


def check(sweep: Sweep, file: Path, whole: object) -> None:
    """What is read is what was written, or is refused by the file's name; `published.json` may be lost instead."""
    try:
        found, told = FILES[file.name](sweep), str(file)
    except StoreError as error:
        found, told = whole, str(error)
    assert str(file) in told
    assert repr(found) == repr(whole) or (file.name == "published.json" and found == ({}, False))


@CALM
@given(st.sampled_from(list(FILES)), st.data())
def test_bytes_that_changed_are_noticed_or_change_nothing(name: str, data: st.DataObject) -> None:
    """A few bytes replaced, put in or left out, anywhere."""
    with written() as sweep:
        file = place(sweep, name)
        whole, content = FILES[name](sweep), bytearray(file.read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            at = data.draw(st.integers(0, len(content)))
            content[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
        file.write_bytes(content)
        check(sweep, file, whole)


@st.composite
def changed(draw: st.DrawFn, value: Any) -> Any:
    """A JSON value with something in it that is something else, gone, or more."""
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 3)) == 0:
        return draw(JSON)
    if isinstance(value, list):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], draw(changed(value[at])), *value[at + 1 :]]
    name = draw(st.sampled_from(sorted(value)))
    match draw(st.sampled_from(["inside", "inside", "gone", "more"])):
        case "inside":
            return {**value, name: draw(changed(value[name]))}
        case "gone":
            return {key: item for key, item in value.items() if key != name}
        case _:
            return {**value, draw(st.text(max_size=4)): draw(JSON)}


def check_told_by_name(file: Path, sweep: Sweep) -> None:
    try:
        told = FILES[file.name](sweep) and str(file)
    except StoreError as error:
        told = str(error)
    assert not told or str(file) in told


COMMANDS = (
    ("results", "grid"),
    ("results", "grid", "--json"),
    ("status", "grid"),
    ("list",),
    ("export", "grid", "--format", "json"),
    ("export", "grid", "--table", "history"),
    ("export", "grid", "--table", "cells", "--format", "markdown"),
)
WRITTEN = sorted(set(FILES) - {"experiment.yaml", "published.json"})


@THIRD
@given(st.sampled_from(WRITTEN), st.data(), st.booleans())
def test_json_of_another_shape_is_told_by_name_or_can_be_shown(name: str, data: st.DataObject, is_sealed: bool) -> None:
    """With a right checksum or, as by hand, without one: no command ends in a traceback."""
    with written() as sweep:
        file = place(sweep, name)
        value = data.draw(
            changed({key: item for key, item in json.loads(file.read_bytes()).items() if key != "sha256"})
        )
        if is_sealed and isinstance(value, dict) and value:
            try:
                sweep.folder.sub(str(file.parent.relative_to(sweep.folder.path))).write_json(name, value)
            except (ValueError, TypeError):
                return
        else:
            file.write_text(json.dumps(value))
        check_told_by_name(file, sweep)
        done = here(*data.draw(st.sampled_from(COMMANDS)), "--storage", sweep.storage.url, expect=(0, 2))
        assert "Traceback" not in done.stderr
        assert not done.stderr or str(file) in done.stderr


@CALM
@given(st.sampled_from([name for name in FILES if name.endswith(".json")]), st.integers(2, 5))
def test_json_that_is_nested_without_end_is_told_by_name(name: str, digits: int) -> None:
    with written() as sweep:
        file = place(sweep, name)
        file.write_text('{"id": ' + "[" * 10**digits)
        if name == "published.json":
            assert FILES[name](sweep) == ({}, False)
        else:
            with pytest.raises(StoreError, match=name):
                FILES[name](sweep)
