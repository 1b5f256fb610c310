"""A real `mlflow server` in a process of its own, a proxy that spoils what passes through it, and what a database holds."""

import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class MlflowServer:
    """`mlflow server` over one database; started at once, waited for when its `uri` is asked for."""

    def __init__(self, folder: Path, database: Path) -> None:
        self.folder, self.database, self.port = folder, database, free_port()
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{self.database}"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, **QUIET}, cwd=self.folder, start_new_session=True
            )

    @property
    def uri(self) -> str:
        address = f"http://127.0.0.1:{self.port}"
        limit = time.monotonic() + 120
        while time.monotonic() < limit and self.process.poll() is None:
            try:
                urllib.request.urlopen(f"{address}/health", timeout=5).close()
                return address
            except OSError:
                time.sleep(0.1)
        raise RuntimeError((self.folder / "server.log").read_text())

    def kill(self) -> None:
        """Kill the server and its workers at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Proxy:
    """Stands before a server and spoils what passes through it. `mode` is what becomes of a request:

    "pass"; "500"; "hang" (accepted, never answered); "refuse" (the connection is cut before it is done); "lose" (done, but
    the answer is lost); "half" (done, half of the answer comes, then nothing). `spoils`, when it is set, gives the mode of the
    n-th request after, from 1.
    """

    def __init__(self) -> None:
        self.target, self.mode, self.requests = 0, "pass", Counter[str]()
        self.released, self.counting, self.count = threading.Event(), threading.Lock(), 0
        self.spoils: Callable[[int], str] | None = None
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                proxy.answer(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.uri = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        self.requests[f"{request.command} {request.path.partition('?')[0].rsplit('/', 1)[-1]}"] += 1
        with self.counting:
            self.count += 1
            mode = self.spoils(self.count) if self.spoils else self.mode
        if mode == "hang":
            self.released.wait(60)
        if mode in ("hang", "500"):
            _reply(request, 500, b"spoilt")
            return
        if mode == "refuse":
            _cut(request)
            return
        status, content = self._forwarded(request, body)
        if mode == "lose":
            _cut(request)
        elif mode == "half":
            _reply(request, status, content[: len(content) // 2], len(content))
            self.released.wait(60)
            _cut(request)
        else:
            _reply(request, status, content)

    def spoil(self, spoils: Callable[[int], str] | None) -> None:
        """Count the requests anew, and spoil them as `spoils` says."""
        with self.counting:
            self.spoils, self.count = spoils, 0

    def _forwarded(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        headers = {name: value for name, value in request.headers.items() if name.lower() in ("content-type",)}
        connection = http.client.HTTPConnection("127.0.0.1", self.target, timeout=60)
        try:
            connection.request(request.command, request.path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except OSError:
            return 502, b"no server"
        finally:
            connection.close()

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


def _cut(request: BaseHTTPRequestHandler) -> None:
    request.close_connection = True
    with suppress(OSError):  # the other side was first
        request.connection.shutdown(socket.SHUT_RDWR)


def _reply(request: BaseHTTPRequestHandler, status: int, content: bytes, promised: int | None = None) -> None:
    """Answer with `content`, of which `promised` bytes are announced."""
    try:
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(content) if promised is None else promised))
        request.end_headers()
        request.wfile.write(content)
    except OSError:
        request.close_connection = True


def held(database: Path, sweep_id: str) -> dict[str, list[dict[str, Any]]]:
    """The active runs of a sweep as its database has them, by trial key ("" for the parent).

    `metrics` are (name, step, value) as they are stored, NaN as None, `artifacts` the place of the files.
    """
    with sqlite3.connect(database) as connection:
        connection.row_factory = sqlite3.Row
        connection.execute("BEGIN")  # one state of all tables, also while someone writes
        runs = {row["run_uuid"]: dict(row) for row in connection.execute("SELECT * FROM runs")}
        for run in runs.values():
            run |= {"tags": {}, "params": {}, "metrics": []}
        for row in connection.execute("SELECT * FROM tags"):
            runs[row["run_uuid"]]["tags"][row["key"]] = row["value"]
        for row in connection.execute("SELECT * FROM params"):
            runs[row["run_uuid"]]["params"][row["key"]] = row["value"]
        for row in connection.execute("SELECT * FROM metrics"):
            value = None if row["is_nan"] else row["value"]
            runs[row["run_uuid"]]["metrics"].append((row["key"], row["step"], value))
    found: dict[str, list[dict[str, Any]]] = {}
    for run in runs.values():
        if run["lifecycle_stage"] == "active" and run["tags"].get("sweeper.sweep_id") == sweep_id:
            found.setdefault(run["tags"].get("sweeper.trial_key", ""), []).append(run)
    return found


def dump(database: Path) -> str:
    """Every value in a database, to look for what must not be there."""
    with sqlite3.connect(database) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return json.dumps([list(connection.execute(f'SELECT * FROM "{table}"')) for table in tables], default=str)
