"""The best model is logged once, loads anywhere, predicts raw images in batches of any size, and is registered once."""

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import mlflow
import mlflow.pytorch
import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import LoggedModel as Logged
from mlflow_servers import held
from publishing import a_parent, a_sweep, assert_published, publish
from torch import Tensor, nn

from sweeper.models.classifier import Classifier
from sweeper.store import Sweep
from sweeper.tracking import stored_uri
from sweeper.tracking.logged_model import LoggedModel
from sweeper.tracking.saved_model import save_model

pytest_plugins = ("tracking_fixtures",)


@pytest.fixture
def loading(uri: str) -> Iterator[str]:
    """MLflow's loaders look at the process's own tracking URI."""
    yield uri
    mlflow.set_tracking_uri(None)


def classifier() -> Classifier:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 5)
    )
    return Classifier(network, 8, (0.5, 0.4, 0.3), (0.2, 0.2, 0.3), ("a", "b", "c", "d", "e")).eval()


def a_model(key: str, network: nn.Module, form: Any = "pt2") -> LoggedModel:
    images_NCHW = np.zeros((2, 3, 8, 8), np.uint8)
    with torch.no_grad():
        logits_NK = network(torch.from_numpy(images_NCHW)).numpy()
    return LoggedModel(key, partial(save_model, network, images_NCHW, logits_NK, form, ["torch"]))


def models_of(uri: str, database: Path, sweep: Sweep) -> list[Logged]:
    parent = held(database, sweep.identity())[""][0]
    found = MlflowClient(tracking_uri=uri).search_logged_models([str(parent["experiment_id"])])
    return [model for model in found if model.source_run_id == parent["run_uuid"]]


def test_the_best_model_loads_and_predicts_batches_of_any_size(tmp_path: Path, database: Path, loading: str) -> None:
    sweep, network = a_sweep(tmp_path, 2), classifier()
    published = publish(sweep, loading, a_parent(model=a_model("0123456789ab", network)))
    assert (published.missing, published.trouble) == ([], None)
    assert_published(database, sweep)
    (model,) = models_of(loading, database, sweep)
    assert model.tags["sweeper.trial_key"] == "0123456789ab"
    mlflow.set_tracking_uri(loading)
    draw = torch.Generator().manual_seed(0)
    for place in (f"models:/{model.model_id}", f"runs:/{model.source_run_id}/model"):
        loaded = mlflow.pytorch.load_model(place)
        for count in (1, 2, 7):
            images_NCHW = torch.randint(0, 256, (count, 3, 8, 8), dtype=torch.uint8, generator=draw)
            torch.testing.assert_close(loaded(images_NCHW), network(images_NCHW))
    info = mlflow.models.get_model_info(f"models:/{model.model_id}")
    assert [spec.shape for spec in info.signature.inputs.inputs] == [(-1, 3, 8, 8)]
    assert info.saved_input_example_info is not None


def test_a_model_is_logged_and_registered_once(tmp_path: Path, database: Path, uri: str) -> None:
    """Also when an earlier publisher was killed as it logged one. A new best trial's model is another."""
    sweep, client, network = a_sweep(tmp_path, 1), MlflowClient(tracking_uri=uri), classifier()
    publish(sweep, uri)
    parent = held(database, sweep.identity())[""][0]
    cut_off = {"sweeper.trial_key": "0123456789ab"}
    client.create_logged_model(str(parent["experiment_id"]), "model", parent["run_uuid"], cut_off)
    for register in (None, "best", None, "best", "best also"):
        model = a_model("0123456789ab", network, "pickle")
        published = publish(sweep, uri, a_parent(model=model, register=register))
        assert published.missing == []
        assert published.registered == (register and f"models:/{register}/1")
    (model,) = models_of(uri, database, sweep)
    versions = client.search_model_versions()
    assert sorted((v.name, v.version, v.run_id) for v in versions) == [
        ("best", 1, parent["run_uuid"]),
        ("best also", 1, parent["run_uuid"]),
    ]
    assert {version.source for version in versions} == {model.artifact_location}
    other = publish(sweep, uri, a_parent(model=a_model("ba9876543210", network, "pickle"), register="best"))
    assert other.registered == "models:/best/2"
    assert len(models_of(uri, database, sweep)) == 2
    assert sorted((v.name, v.version) for v in client.search_model_versions()) == [
        ("best", 1),
        ("best", 2),
        ("best also", 1),
    ]


def test_a_model_whose_files_were_removed_is_logged_anew(tmp_path: Path, database: Path, uri: str) -> None:
    sweep, network = a_sweep(tmp_path, 1), classifier()
    for _ in range(2):
        publish(sweep, uri, a_parent(model=a_model("0123456789ab", network)))
        (model,) = models_of(uri, database, sweep)
        place = Path(unquote(urlsplit(model.artifact_location).path))
        assert (place / "MLmodel").is_file()
        shutil.rmtree(tmp_path / "mlflow-artifacts")


@pytest.mark.parametrize("take", [shutil.move, shutil.copytree])
def test_a_storage_that_is_moved_or_copied_has_its_files_beside_its_database(
    tmp_path: Path, take: Callable[[Path, Path], object]
) -> None:
    """MLflow notes absolute places."""
    first, second = tmp_path / "first é", tmp_path / "second 100%"
    publish(a_sweep(first, 2), stored_uri(str(first)), a_parent(model=a_model("0123456789ab", classifier())))
    take(first, second)
    before = set(first.rglob("*"))
    sweep, uri = a_sweep(second, 4), stored_uri(str(second))
    assert publish(sweep, uri).missing == []
    assert_published(second / "mlflow.db", sweep)
    (model,) = models_of(uri, second / "mlflow.db", sweep)
    places = [run["artifact_uri"] for runs in held(second / "mlflow.db", sweep.identity()).values() for run in runs]
    for place in [*places, model.artifact_location]:
        assert Path(unquote(urlsplit(place).path)).is_relative_to(second / "mlflow-artifacts")
    assert set(first.rglob("*")) == before


def test_logging_a_model_leaves_no_trace_in_the_process(tmp_path: Path, database: Path, uri: str) -> None:
    """MLflow's own way sets the tracking URI of the whole process: the next sweep would go to this one's store."""
    sweep, before = a_sweep(tmp_path, 1), dict(os.environ)
    publish(sweep, uri, a_parent(model=a_model("0123456789ab", classifier(), "pickle")))
    assert not mlflow.is_tracking_uri_set()
    assert mlflow.active_run() is None
    assert {name for name in os.environ if name.startswith("MLFLOW_") and os.environ[name] != before.get(name)} == set()


class Unexportable(nn.Module):
    def forward(self, images_NCHW: Tensor) -> Tensor:
        return torch.full((len(images_NCHW), 5), float(np.random.default_rng(images_NCHW.sum().item()).random()))


def test_a_model_that_cannot_be_logged_is_told_and_keeps_back_nothing_else(
    tmp_path: Path, database: Path, uri: str
) -> None:
    sweep = a_sweep(tmp_path, 1)
    published = publish(sweep, uri, a_parent(model=a_model("0123456789ab", Unexportable())))
    assert published.missing == ["the best model"]
    assert published.trouble
    assert_published(database, sweep)


def test_there_may_be_no_model_to_register(tmp_path: Path, database: Path, uri: str) -> None:
    sweep = a_sweep(tmp_path, 1, ("pruned",))
    published = publish(sweep, uri, a_parent(register="best"))
    assert published.missing == ["the best model"]
    assert "no model to register" in (published.trouble or "")
    assert_published(database, sweep)
