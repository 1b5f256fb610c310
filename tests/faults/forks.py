"""A process that has imported all that a sweep needs, and forks a child for each command: a run is then as quick as its work.

Reads a JSON list [arguments, step, seconds, environment] a line from stdin. After the seconds, if there are any, the child
is killed with -9. Of a step above 0 the child dies there as that would end it: steps are the openings, synchronisations,
renamings and removals by which files are written, in their order. At a synchronisation the second half of the file has not
reached the disk; what gets its final name without one ends the child with UNSYNCED, for a power cut would leave it empty.
Answers with [exit code, steps taken] a line, -1 for steps of one that died.
"""

import builtins
import importlib
import io
import json
import os
import re
import signal
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

DIED, UNSYNCED = 137, 71
OURS = re.compile(r"\.[0-9a-f]{8}\.tmp")


class Steps:
    """Counts, and dies at the step it is told to."""

    def __init__(self, last: int) -> None:
        self.last, self.taken, self.synced = last, 0, set[str]()

    def take(self, torn: int | None = None) -> None:
        self.taken += 1
        if self.taken == self.last:
            if torn is not None:
                os.ftruncate(torn, os.fstat(torn).st_size // 2)
            os._exit(DIED)

    def before(self, do: Callable[..., Any], is_writing: Callable[..., bool]) -> Callable[..., Any]:
        def stepping(*arguments: Any, **named: Any) -> Any:
            if is_writing(*arguments, **named):
                self.take()
            return do(*arguments, **named)

        return stepping

    def synchronising(self, do: Callable[[int], None]) -> Callable[[int], None]:
        def stepping(descriptor: int) -> None:
            path = os.readlink(f"/proc/self/fd/{descriptor}")
            is_file = path.rpartition("/")[2].partition(".")[2] != ""
            self.take(descriptor if is_file else None)
            do(descriptor)
            self.synced.add(path)

        return stepping

    def renaming(self, do: Callable[..., None]) -> Callable[..., None]:
        def stepping(source: Any, target: Any, **named: Any) -> None:
            path = Path(source).resolve()
            if OURS.search(path.name):
                for file in path.rglob("*") if path.is_dir() else [path]:
                    if str(file) not in self.synced:
                        os.write(2, f"renamed before it was on the disk: {file}\n".encode())
                        os._exit(UNSYNCED)
            self.take()
            do(source, target, **named)
            if str(path) in self.synced:
                self.synced.add(str(Path(target).resolve()))

        return stepping


def is_opened_to_write(path: object, mode: str = "r", *rest: Any, **named: Any) -> bool:
    return not isinstance(path, int) and any(letter in mode for letter in "wax+")


def always(*arguments: Any, **named: Any) -> bool:
    return True


def child(arguments: list[str], last: int, told: int, environment: dict[str, str]) -> None:
    from sweeper.cli import main

    steps, code = Steps(last), 0
    os.environ.update(environment)
    with (
        open(os.devnull, "w") as nothing,
        redirect_stdout(nothing),
        redirect_stderr(nothing),
        mock.patch.object(sys, "argv", ["sweeper", *arguments]),
        mock.patch.object(builtins, "open", steps.before(open, is_opened_to_write)),
        mock.patch.object(io, "open", steps.before(open, is_opened_to_write)),  # pathlib's
        mock.patch.object(os, "replace", steps.renaming(os.replace)),
        mock.patch.object(os, "rename", steps.renaming(os.rename)),
        mock.patch.object(os, "makedirs", steps.before(os.makedirs, always)),
        mock.patch.object(os, "remove", steps.before(os.remove, always)),
        mock.patch.object(os, "unlink", steps.before(os.unlink, always)),
        mock.patch.object(os, "fsync", steps.synchronising(os.fsync)),
    ):
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
    os.write(told, struct.pack("i", steps.taken))
    os._exit(code)


def serve() -> None:
    for name in (
        "torch._dynamo",
        "torchvision",
        "mlflow.pytorch",
        "optuna",
        "pandas",
        "plotly",
        "sweeper.launch.inline",
    ):
        importlib.import_module(name)
    print("ready", flush=True)
    for line in sys.stdin:
        arguments, last, seconds, environment = json.loads(line)
        hears, told = os.pipe()
        process = os.fork()
        if not process:
            try:
                child(arguments, last, told, environment)
            finally:  # it must not go on as a second server
                os._exit(70)
        os.close(told)
        killer = threading.Timer(seconds, os.kill, [process, signal.SIGKILL])
        if seconds:
            killer.start()
        _, status = os.waitpid(process, 0)
        killer.cancel()
        answer = os.read(hears, 4)
        os.close(hears)
        taken = struct.unpack("i", answer)[0] if answer else -1
        print(json.dumps([os.waitstatus_to_exitcode(status), taken]), flush=True)


if __name__ == "__main__":
    serve()
