"""MLflow's own UI, open on a sweep: on loopback over a database, or where a tracking server has it."""

import os
import socket
import subprocess
import sys
import time
import webbrowser
from collections.abc import Callable
from functools import partial

from rich.console import Console

from sweeper.experiment import Experiment
from sweeper.store import Folder, Sweep, sweeps
from sweeper.text.commands import command
from sweeper.text.redaction import without_password
from sweeper.tracking import pages, set_up, tracking_uri

START_SECONDS = 60.0


class PortError(ValueError):
    """A port that cannot be had, for the person who asked."""


def serve(
    storage: str, sweep: Sweep | None, experiment: Experiment | None, given: str | None, port: int, console: Console
) -> None:
    """Become MLflow's server over a database, or say where a tracking server's own UI has the sweep.

    With a terminal and a display it is opened in the browser too. `given` is the command's --tracking-uri. Raises PortError
    when the port is taken.
    """
    uri = tracking_uri(given, experiment, storage)
    if uri.startswith(("http://", "https://")):
        page = _page(uri, pages.root(uri) or "", sweep, experiment, console)
        console.print(f"the tracking server's own UI: {page}")
        if _has_display():
            webbrowser.open(page)
        return
    _check_port(port, partial(_again, storage, sweep, given))
    set_up()
    from sweeper.tracking.database import make_database
    from sweeper.tracking.moved import follow

    make_database(uri)
    if Folder(storage).is_local and not any(each.is_running() for each in sweeps(storage)):
        follow(uri)  # a sweep that runs may see the storage at another place
    page = _page(uri, f"http://127.0.0.1:{port}", sweep, experiment, console)
    console.print(f"MLflow over {without_password(uri)}; stop it with Ctrl-C\n{page}")
    if _has_display():
        opening = f"from sweeper import ui; ui.open_when_up({page!r}, {port}, {os.getpid()})"
        subprocess.Popen([sys.executable, "-c", opening])
    os.environ["MLFLOW_BACKEND_STORE_URI"] = uri  # not among the arguments, which everyone on the machine can read
    # MLflow's own default takes 10.evil.example for a private address: a page there could read what is served here.
    os.environ.setdefault("MLFLOW_SERVER_ALLOWED_HOSTS", "127.0.0.1,127.0.0.1:*,localhost,localhost:*")
    arguments = ["server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", *arguments])  # noqa: S606 - a list of words


def _page(uri: str, root: str, sweep: Sweep | None, experiment: Experiment | None, console: Console) -> str:
    """The sweep's page; the first one, with a word about it, when the store has no such sweep."""
    if sweep is None or experiment is None:
        return root
    publish = sweep.command("sync", {"--tracking-uri": without_password(uri)})
    found, trouble = pages.find_experiment(uri, experiment.name, publish)
    if found is None:
        console.print(trouble, style="yellow")
    return pages.experiment_page(root, found) if found else root


def _has_display() -> bool:
    has_screen = sys.platform in ("darwin", "win32") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
    return sys.stderr.isatty() and has_screen


def _again(storage: str, sweep: Sweep | None, uri: str | None, port: int) -> str:
    options = {"--port": port, "--tracking-uri": uri and without_password(uri)}
    return command("ui", sweep.name if sweep else None, Folder(storage).url, options)


def _check_port(port: int, again: Callable[[int], str]) -> None:
    """Raises PortError that proposes a command with another port."""
    if _is_free(port):
        return
    other = next((number for number in range(port + 1, port + 100) if _is_free(number)), None)
    raise PortError(
        f"port {port} is taken; if MLflow is running there already, it is at http://127.0.0.1:{port}"
        + (f", else try another: {again(other)}" if other else "")
    )


def _is_free(port: int) -> bool:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def open_when_up(page: str, port: int, server: int) -> None:
    """Open a page as soon as the server answers, in a process beside it; not when the server has ended by then."""
    limit = time.monotonic() + START_SECONDS
    while os.getppid() == server and time.monotonic() < limit:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            time.sleep(0.2)
            continue
        webbrowser.open(page)
        return
