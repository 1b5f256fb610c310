"""What MLflow's client is told before it is imported, for it looks but once."""

import logging
import os

ALWAYS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # a blind second `create_run` makes a second run; we look before we retry
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",  # what is told as published is there
}
SETTINGS = {  # where the user has no others
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


def set_up(**others: str) -> None:
    """Let MLflow, in this process, do what a publisher rests on, and tell nobody of it; `others` go before SETTINGS."""
    wanted = {**SETTINGS, **others}
    os.environ.update({name: value for name, value in wanted.items() if name not in os.environ} | ALWAYS)


def silence() -> None:
    """Keep MLflow's own log from tearing the live view: what goes wrong is raised, and told by the publisher."""
    if not os.environ.get("MLFLOW_LOGGING_LEVEL"):
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
