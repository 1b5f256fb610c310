"""MLflow's client beside a server whose answers get lost."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

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


def again(ask: Callable[P, T]) -> Callable[P, T]:
    """Ask, and where the answer is lost at once again: of what does nothing more when it is asked twice."""

    @wraps(ask)
    def asked(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(TIMES - 1):
            try:
                return ask(*args, **kwargs)
            except Exception as error:
                if not is_lost(error):
                    raise
        return ask(*args, **kwargs)

    return asked


def log_each(log: Callable[[str, str | None], object], root: Path) -> None:
    """Log each file below a folder by a call of its own, which alone is made again, with the folder that it lies in there."""
    for file in (path for path in root.rglob("*") if path.is_file()):
        folder = file.parent.relative_to(root).as_posix()
        again(log)(str(file), None if folder == "." else folder)


class Client(MlflowClient):
    """Asks at once again when an answer is lost, where asking twice does nothing more than asking once.

    What makes something new each time (a run, a logged model, a version) is left to the caller, who looks first.
    """

    get_experiment_by_name = again(MlflowClient.get_experiment_by_name)
    search_runs = again(MlflowClient.search_runs)
    get_metric_history = again(MlflowClient.get_metric_history)
    search_logged_models = again(MlflowClient.search_logged_models)
    search_model_versions = again(MlflowClient.search_model_versions)
    log_batch = again(MlflowClient.log_batch)
    update_run = again(MlflowClient.update_run)
    set_terminated = again(MlflowClient.set_terminated)
    finalize_logged_model = again(MlflowClient.finalize_logged_model)
