"""Addresses of the pages that MLflow's UI has of a sweep and its runs."""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sweeper.text.redaction import without_password
from sweeper.tracking.names import DATABASE
from sweeper.tracking.settings import set_up, silence

if TYPE_CHECKING:
    from mlflow.entities import Experiment

PORT = 5000
_TRAINING = "?workflowType=machine_learning"  # else MLflow's UI begins with its pages for language models


def root(uri: str) -> str | None:
    """Where a store's UI is: a server's own, without its password; for a database where `sweeper ui` serves it.

    None for other stores.
    """
    if DATABASE.match(uri):
        return f"http://127.0.0.1:{PORT}"
    parts = urlsplit(without_password(uri))  # its password may hold what ends an authority
    if parts.scheme not in ("http", "https"):
        return None
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"


def experiment_page(root: str, experiment_id: str) -> str:
    return f"{root}/#/experiments/{experiment_id}/runs{_TRAINING}"


def run_page(root: str, experiment_id: str, run_id: str) -> str:
    return f"{root}/#/experiments/{experiment_id}/runs/{run_id}{_TRAINING}"


def find_experiment(uri: str, name: str, publish: str) -> tuple[str | None, str]:
    """The id of an experiment in a store; None, and what to do about it, when there is none or no answer.

    `publish` is the command that brings it there.
    """
    found, trouble = _asked(uri, name)
    if trouble:
        return None, f"{trouble}. Is it running?"
    if found is None:
        return None, f"{without_password(uri)} has nothing of {name} yet; publish it with: {publish}"
    return str(found.experiment_id), ""


def unanswered(uri: str) -> str:
    """Why a store does not answer; empty when it does."""
    return _asked(uri, "Default")[1]


def _asked(uri: str, name: str) -> tuple["Experiment | None", str]:
    set_up(MLFLOW_HTTP_REQUEST_TIMEOUT="10")
    silence()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    from sweeper.tracking.trouble import sentence

    try:
        return MlflowClient(tracking_uri=uri).get_experiment_by_name(name), ""
    except (MlflowException, OSError) as error:
        return None, sentence(error, uri)
