"""MLflow's own UI, on loopback, over the store that a sweep is published to."""

import os
import sys

from rich.console import Console

from sweeper.experiment import Experiment
from sweeper.tracking import stored_uri
from sweeper.tracking.database import make_database
from sweeper.tracking.names import redacted


def serve(storage: str, experiment: Experiment | None, uri: str | None, port: int, console: Console) -> None:
    """Become MLflow's server over a database, or say where a tracking server's own UI is."""
    uri = uri or (experiment.tracking.uri if experiment else None) or stored_uri(storage)
    if uri.startswith(("http://", "https://")):
        console.print(f"the tracking server's own UI is at {redacted(uri)}")
        return
    make_database(uri)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    console.print(f"MLflow on http://127.0.0.1:{port} over {redacted(uri)}; stop it with Ctrl-C")
    arguments = ["server", "--backend-store-uri", uri, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", *arguments])  # noqa: S606 - a list of words
