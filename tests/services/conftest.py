"""Services that the tests share."""

from collections.abc import Iterator

import pytest

from tests.clusters import network
from tests.services.stack import Stack, missing


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A network of its own for each module; nothing runs on it yet."""
    if lacking := missing():
        pytest.skip(f"`make test-services` installs what is missing here: {', '.join(lacking)}")
    folder = tmp_path_factory.mktemp("stack")
    with network(folder / "machines") as connected:
        yield Stack(connected, folder, {"MLFLOW_WORKERS": "1"})
