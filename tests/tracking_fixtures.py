"""A fresh MLflow database for each test, a copy of one that is made once; a server, and a proxy before it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow_servers import MlflowServer, Proxy

from sweeper.tracking.database import make_database
from sweeper.tracking.settings import SETTINGS


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new database, which takes MLflow two seconds to make."""
    database = tmp_path_factory.mktemp("empty") / "mlflow.db"
    make_database(f"sqlite:///{database}")
    return database


@pytest.fixture
def database(empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Path(shutil.copy(empty, tmp_path / "mlflow.db"))


@pytest.fixture
def uri(database: Path) -> str:
    return f"sqlite:///{database}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, empty: Path) -> Iterator[MlflowServer]:
    folder = tmp_path_factory.mktemp("server")
    server = MlflowServer(folder, Path(shutil.copy(empty, folder / "mlflow.db")))
    yield server
    server.kill()


@pytest.fixture
def proxy(server: MlflowServer) -> Iterator[Proxy]:
    proxy = Proxy()
    assert server.uri
    proxy.target = server.port
    yield proxy
    proxy.close()
