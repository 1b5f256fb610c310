"""What a tracking server that is away costs a sweep: the time its trials train, beside that of one with a healthy store.

A server that hangs accepts connections and never answers; one that fails answers 500 to everything.
"""

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmarks.sides import verdict
from sweeper.store import Sweep

EXPERIMENT = """
name: outages
data: {{name: digits, image_size: 32, augment: []}}
model: {{name: alexnet, compact: true}}
train: {{epochs: {epochs}, batch_size: 64}}
search: {{space: {{lr: [0.01, 0.003], momentum: [0.9, 0.5]}}}}
artifacts: {{models: none}}
"""
TARGET, NOT_PUBLISHED = 1.05, 4


class Failing(BaseHTTPRequestHandler):
    """Answers 500."""

    def do_POST(self) -> None:
        self.send_error(500)

    do_GET = do_PUT = do_POST

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""


@contextmanager
def failing() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Failing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def hanging() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def training_seconds(folder: Path, file: Path, executor: str, uri: str | None = None) -> float:
    """From the beginning of the first epoch to the end of the last trial, of a sweep that is run anew."""
    storage = folder / "sweeps"
    command = [sys.executable, "-m", "sweeper.cli", "run", str(file), "--storage", str(storage)]
    command += ["--executor", executor] + (["--tracking-uri", uri] if uri else [])
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"}, check=False)
    if done.returncode != (NOT_PUBLISHED if uri else 0):
        raise RuntimeError(done.stderr)
    records = Sweep(str(storage), "outages").records()
    begun = min(record.history[0]["time"] - record.history[0]["epoch_seconds"] for record in records)
    ended = max(record.result.ended for record in records if record.result)
    shutil.rmtree(storage)
    return ended - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--executor", default="ray", choices=("ray", "inline"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, hanging() as hangs, failing() as fails:
        file = Path(scratch, "outages.yaml")
        file.write_text(EXPERIMENT.format(epochs=given.epochs))
        timed = partial(training_seconds, Path(scratch), file, given.executor)
        sides: dict[str, Callable[[], float]] = {
            "healthy": timed,
            "hangs": partial(timed, hangs),
            "answers 500": partial(timed, fails),
        }
        rounds = [{name: side() for name, side in sides.items()} for _ in range(given.rounds)]
    for name in ("hangs", "answers 500"):
        print(f"a store that {name}:", *(f"{one[name]:.2f}/{one['healthy']:.2f}" for one in rounds), "s")
        reached = statistics.median(one[name] / one["healthy"] for one in rounds)
        print(verdict(f"times as long with a store that {name}", reached, TARGET, at_least=False))


if __name__ == "__main__":
    main()
