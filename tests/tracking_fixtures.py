"""A fresh MLflow database for each test, a copy of one that is made once."""

import shutil
from pathlib import Path

import pytest

from sweeper.tracking.database import make_database
from sweeper.tracking.publisher import SETTINGS


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
