"""MLflow's own log, kept from tearing the live view."""

import logging
import os


def silence() -> None:
    """What goes wrong is raised, and told by the publisher."""
    if not os.environ.get("MLFLOW_LOGGING_LEVEL"):
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
