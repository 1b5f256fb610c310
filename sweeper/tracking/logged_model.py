"""The best trial's network as an MLflow logged model, logged and registered once, without MLflow's global state."""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import mlflow.entities
from mlflow.entities import LoggedModelOutput, LoggedModelStatus
from mlflow.exceptions import MlflowException

from sweeper.tracking.client import Client, log_each
from sweeper.tracking.sqlite import is_gone
from sweeper.tracking.tags import KEY_TAG

NAME = "model"
UPLOAD_SECONDS = "300"
_TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"


@dataclass(frozen=True)
class LoggedModel:
    """A network for MLflow: the trial it is from, and what saves it into a folder, for a run and a model of those ids."""

    key: str
    save: Callable[[str, Mapping[str, str]], None]


def log_model(client: Client, run: mlflow.entities.Run, model: LoggedModel, register: str | None) -> str | None:
    """Log a network on a run, unless it is there, and register it when asked, unless it is; then returns its address."""
    logged = _found(client, run, model.key)
    if logged is None:
        with _time_to_upload():
            logged = _logged(client, run, model)
    return f"models:/{register}/{_version(client, logged, register)}" if register else None


def _found(client: Client, run: mlflow.entities.Run, key: str) -> mlflow.entities.LoggedModel | None:
    """The run's model of a trial; what an interrupted publisher left of one, or who removed its files, is deleted."""
    wanted = f"name = '{NAME}' AND tags.`{KEY_TAG}` = '{key}'"
    token, whole = None, None
    while True:
        page = client.search_logged_models([run.info.experiment_id], wanted, page_token=token)
        for found in page:
            if found.source_run_id != run.info.run_id:
                continue
            if found.status == LoggedModelStatus.READY and not is_gone(found.artifact_location):
                whole = found
            else:
                client.delete_logged_model(found.model_id)
        token = page.token
        if not token:
            return whole


def _logged(client: Client, run: mlflow.entities.Run, model: LoggedModel) -> mlflow.entities.LoggedModel:
    run_id = run.info.run_id
    logged = client.create_logged_model(run.info.experiment_id, NAME, run_id, {KEY_TAG: model.key})
    with tempfile.TemporaryDirectory() as scratch:
        ids = {"model_uuid": logged.model_id, "model_id": logged.model_id, "run_id": run_id}
        model.save(str(Path(scratch, NAME)), {**ids, "artifact_path": logged.artifact_location})
        log_each(partial(client.log_model_artifact, logged.model_id), Path(scratch, NAME))
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)


def _version(client: Client, logged: mlflow.entities.LoggedModel, name: str) -> str:
    """The version under which a model is registered by that name, from now on or already."""
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS"):
            raise
    for known in client.search_model_versions(f"run_id = '{logged.source_run_id}'"):
        if known.name == name and known.source == logged.artifact_location:
            return str(known.version)
    place, run_id = logged.artifact_location, logged.source_run_id
    return str(client.create_model_version(name, place, run_id=run_id, model_id=logged.model_id).version)


@contextmanager
def _time_to_upload() -> Iterator[None]:
    """A server answers an upload when it has put all of it away, which takes longer than other answers."""
    before = os.environ.get(_TIMEOUT)
    os.environ[_TIMEOUT] = max(UPLOAD_SECONDS, before or "", key=lambda seconds: int(seconds or 0))
    try:
        yield
    finally:
        if before is None:
            del os.environ[_TIMEOUT]
        else:
            os.environ[_TIMEOUT] = before
