"""Sweeps for the page, written once, and one Chromium for all tests of a process."""

from collections.abc import Iterator

import pytest
from folders import write_sweep
from pages import HOSTILE, tables

from benchmarks.chromium import Browser, program
from sweeper.dashboards import views
from sweeper.store import Sweep


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("sweeps"))


@pytest.fixture(scope="session")
def sweep(storage: str) -> Sweep:
    return write_sweep(storage, seeds=(0, 1), endings=("complete", "complete", "pruned", "diverged", "complete"))


@pytest.fixture(scope="session")
def hostile(storage: str) -> views.SweepTables:
    space = {"loss": ["<script>alert(9)</script>", "cross_entropy"], "model.name": ["y" * 300, "סוג"], "lr": [0.01]}
    return tables(write_sweep(storage, "hostile", space, classes=HOSTILE), list(space))


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    chromium = program()
    if chromium is None:
        pytest.skip("chromium is not installed")
    opened = Browser(chromium, tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()
