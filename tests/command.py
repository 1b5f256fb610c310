"""The command line as a user runs it: real processes, ended by the id they were started with.

`here` runs a command in the test's own process, where torch and MLflow are imported already: seconds sooner.
"""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from unittest import mock

from sweeper.cli import main

ROOT = Path(__file__).parent.parent
SECONDS = 300


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}


def sweeper(*arguments: object, expect: int | tuple[int, ...] = 0) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and check its exit code, which may be one of several."""
    words = [sys.executable, "-m", "sweeper", *map(str, arguments)]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=SECONDS, cwd=ROOT, env=environment(), check=False
    )
    allowed = expect if isinstance(expect, tuple) else (expect,)
    assert done.returncode in allowed, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def here(*arguments: object, expect: int | tuple[int, ...] = 0, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a command in this process and check its exit code, which may be one of several."""
    words, out, errors, code = ["sweeper", *map(str, arguments)], StringIO(), StringIO(), 0
    with (
        mock.patch.object(sys, "argv", words),
        mock.patch.dict(os.environ, COLUMNS="200"),
        chdir(cwd),
        redirect_stdout(out),
        redirect_stderr(errors),
    ):
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
    allowed = expect if isinstance(expect, tuple) else (expect,)
    assert code in allowed, f"{arguments}: exit {code}\n{out.getvalue()}\n{errors.getvalue()}"
    return subprocess.CompletedProcess(words, code, out.getvalue(), errors.getvalue())


def in_shell(script: str, *words: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """What a shell makes of a script whose arguments are a command of sweeper's."""
    command = ["sh", "-c", script, "sh", sys.executable, "-m", "sweeper", *map(str, words)]
    surrounding = environment() | variables
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=surrounding, check=False)


@contextmanager
def started(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A command that runs meanwhile; killed at the end if it still does."""
    words = [sys.executable, "-m", "sweeper", *map(str, arguments)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        words, stdout=pipe, stderr=pipe, text=True, cwd=ROOT, env=environment(), start_new_session=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=SECONDS)


def until(condition: Callable[[], bool], process: subprocess.Popen[str], seconds: float = SECONDS) -> None:
    """Wait for something that a process is about to do."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "it has not happened in time"
        time.sleep(0.02)


def listening(process: subprocess.Popen[str]) -> set[str]:
    """The addresses, in the kernel's hexadecimal, on which a started command and its descendants accept connections."""
    sockets = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if os.getsid(int(folder.name)) == process.pid:
                sockets |= {os.readlink(one) for one in (folder / "fd").iterdir()}
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()]
    return {words[1].partition(":")[0] for words in lines if words[3] == "0A" and f"socket:[{words[9]}]" in sockets}


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=SECONDS)


def ended(storage: Path, name: str) -> int:
    """How many trials have a result."""
    return len(list(storage.glob(f"{name}/trials/*/result.json")))


def table(storage: Path, name: str) -> str:
    return here("export", name, "--storage", storage).stdout


def check_mlflow(storage: Path, trials: int) -> Counter[str]:
    """One parent and one run a trial, none RUNNING, each (run, metric, step) once; returns the statuses."""
    database = sqlite3.connect(storage / "mlflow.db")
    keys = [row[0] for row in database.execute("select value from tags where key = 'sweeper.trial_key'")]
    statuses = Counter(row[0] for row in database.execute("select status from runs"))
    repeated = database.execute(
        "select run_uuid, key, step from metrics group by 1, 2, 3 having count(*) > 1"
    ).fetchall()
    database.close()
    assert len(keys) == len(set(keys)) == trials
    assert statuses.total() == trials + 1
    assert "RUNNING" not in statuses
    assert not repeated
    return statuses
