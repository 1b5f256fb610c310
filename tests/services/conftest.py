"""Services that the tests share."""

import os
import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.clusters import network, why_not
from tests.services.stack import Stack, postgres_programs


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A network of its own for each module; nothing runs on it yet."""
    if lacking := missing():
        pytest.skip(f"`make test-services` installs what is missing here: {', '.join(lacking)}")
    folder = tmp_path_factory.mktemp("stack")
    with network(folder / "machines") as connected:
        yield Stack(connected, folder, {"MLFLOW_WORKERS": "1", "MLFLOW_PROXY_HOSTS": "mlflow.example, other.example"})


def missing() -> list[str]:
    """What these tests need and this machine lacks, by name."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    lacks = [name for name in ("weed", "setpriv", "wget") if not shutil.which(name, path=path)]
    lacks += [name for name in ("psycopg", "flask_wtf", "boto3", "s3fs") if find_spec(name) is None]
    lacks += [] if postgres_programs() else ["postgresql"]
    return lacks + [reason for reason in [why_not()] if reason]
