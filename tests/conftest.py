"""Every test works in folders of its own; nothing is read from or written to the user's."""

import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("no deadline", deadline=None)  # a busy machine is no bug
settings.register_profile("long", deadline=None, max_examples=2000)
settings.load_profile("no deadline")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two workers on two cores; what needs more threads asks for them


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--long", action="store_true", help="inject faults at every place, not at a few (make test-faults)"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--long"):
        settings.load_profile("long")


@pytest.fixture(scope="session")
def is_long(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--long"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole sweeps first: they take longest, and two workers should end together."""
    items.sort(key=lambda item: item.path.name != "test_sweep.py")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A cache of prepared images for the session, also for the processes that tests start."""
    os.environ["SWEEPER_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    for name in ("SWEEPER_STORAGE", "MLFLOW_TRACKING_URI", "RAY_ADDRESS"):
        os.environ.pop(name, None)


@pytest.fixture(autouse=True)
def denormal_numbers() -> Iterator[None]:
    """Training flushes them in its own process; a test that trained in this one must not change what others compute."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)
