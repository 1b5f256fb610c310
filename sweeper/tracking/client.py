"""MLflow's client beside a server whose answers get lost."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

TIMES = 5
P = ParamSpec("P")
T = TypeVar("T")


def is_lost(error: BaseException) -> bool:
    """Whether the connection broke before the answer had come, so that nobody knows what was done."""
    cause = error.__context__ if isinstance(error, MlflowException) else error
    return isinstance(cause, requests.ConnectionError | requests.exceptions.ChunkedEncodingError) and (
        "timed out" not in str(cause)
    )


def _again(ask: Callable[Concatenate[MlflowClient, P], T]) -> Callable[Concatenate[MlflowClient, P], T]:
    @wraps(ask)
    def asked(client: MlflowClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(TIMES - 1):
            try:
                return ask(client, *args, **kwargs)
            except Exception as error:
                if not is_lost(error):
                    raise
        return ask(client, *args, **kwargs)

    return asked


def log_each(log: Callable[[str, str | None], object], root: Path) -> None:
    """Log each file below a folder by a call of its own, which alone is made again, with the folder that it lies in there."""
    for file in (path for path in root.rglob("*") if path.is_file()):
        folder = file.parent.relative_to(root).as_posix()
        log(str(file), None if folder == "." else folder)


class Client(MlflowClient):
    """Asks at once again when an answer is lost, where asking twice does nothing more than asking once.

    What makes something new each time (a run, a logged model, a version) is left to the caller, who looks first.
    """

    get_experiment_by_name = _again(MlflowClient.get_experiment_by_name)
    search_runs = _again(MlflowClient.search_runs)
    get_metric_history = _again(MlflowClient.get_metric_history)
    search_logged_models = _again(MlflowClient.search_logged_models)
    search_model_versions = _again(MlflowClient.search_model_versions)
    log_batch = _again(MlflowClient.log_batch)
    update_run = _again(MlflowClient.update_run)
    set_terminated = _again(MlflowClient.set_terminated)
    log_artifact = _again(MlflowClient.log_artifact)
    log_model_artifact = _again(MlflowClient.log_model_artifact)
    finalize_logged_model = _again(MlflowClient.finalize_logged_model)
