"""`sweeper doctor` tries what a sweep needs, says what is wrong and what to do, and leaves nothing behind."""

import json
from pathlib import Path

import pytest
from mlflow_servers import free_port

from sweeper.doctor import Finding, Health, examine
from tests.command import sweeper

SUBJECTS = ["versions", "processor", "gpu", "memory", "home", "cache", "storage", "tracking", "ray"]


def found(subject: str, storage: Path, uri: str | None = None) -> Finding:
    """What one check finds; those after it are not begun."""
    return next(finding for finding in examine(str(storage), uri, None) if finding.subject == subject)


def test_a_sound_machine_has_no_trouble_and_nothing_is_left_on_it(tmp_path: Path) -> None:
    told = json.loads(sweeper("doctor", "--json", "--storage", tmp_path / "new", "--address", "local").stdout)
    assert [finding["subject"] for finding in told] == SUBJECTS
    assert {finding["health"] for finding in told} <= {"fine", "note"}
    assert "1 node" in told[-1]["told"]
    assert list(tmp_path.iterdir()) == []


def test_a_storage_that_cannot_be_written_to_is_trouble_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    finding = found("storage", tmp_path / "file" / "sweeps")
    assert finding.health is Health.TROUBLE
    assert "name another with --storage" in finding.told


def test_a_home_that_cannot_be_written_to_is_trouble_for_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").write_text("not a folder")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    finding = found("home", tmp_path)
    assert finding.health is Health.TROUBLE
    assert "token" in finding.told


def test_an_address_that_is_no_tracking_store_is_trouble(tmp_path: Path) -> None:
    finding = found("tracking", tmp_path, "mlruns")
    assert finding.health is Health.TROUBLE
    assert "write sqlite:///PATH/mlflow.db" in finding.told


def test_a_tracking_server_that_is_down_is_noted_without_its_password(tmp_path: Path) -> None:
    finding = found("tracking", tmp_path, f"http://me:canary@127.0.0.1:{free_port()}")
    assert finding.health is Health.NOTE
    assert "sweeper sync" in finding.told
    assert "canary" not in finding.told


def test_a_database_that_is_not_there_yet_is_fine_and_not_made(tmp_path: Path) -> None:
    assert "made by the first sweep" in found("tracking", tmp_path, f"sqlite:///{tmp_path}/mlflow.db").told
    assert list(tmp_path.iterdir()) == []
