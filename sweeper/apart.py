"""A process beside this one for work that needs torch or draws pages: a sweep's driver stays small, and waits for no import."""

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Connection, Pipe
from typing import Any, Self

from sweeper.stopping import SIGNALS

Call = Callable[..., Any]
START = "import sys; pipe, sys.path[:] = int(sys.argv[1]), sys.argv[2:]; from sweeper.apart import serve; serve(pipe)"


class ApartError(ValueError):
    """The process beside this one was ended by something else."""


def directly(function: Call, *arguments: Any) -> Any:
    """As an `Apart` that calls functions in this process."""
    return function(*arguments)


class Apart:
    """Calls functions of modules in a process of its own, which `begin` or the first call starts, and `end` ends.

    They are called in this process if `is_here`: where it has imported torch already or is about to, nothing is saved.
    Arguments and results can be pickled; what a function raises is raised here. Threads take turns.
    """

    def __init__(self, is_here: bool = False) -> None:
        self.is_here = is_here
        self.turn = threading.RLock()
        self.running: tuple[subprocess.Popen[bytes], Connection] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.end()

    def begin(self, *modules: str) -> None:
        """Start the process, unless it runs, and let it import modules."""
        with self.turn, suppress(ConnectionError):  # which the next call tells
            if pipe := self._pipe():
                pipe.send_bytes(pickle.dumps((_import_all, modules, False)))

    def _pipe(self) -> Connection | None:
        """To the process, which is started unless it runs; None where functions are called in this one."""
        if self.running is None and not self.is_here:
            pipe, other = Pipe()
            words = [sys.executable, "-c", START, str(other.fileno()), *sys.path]
            with other:
                self.running = subprocess.Popen(words, pass_fds=[other.fileno()], stdin=subprocess.DEVNULL), pipe
        return self.running[1] if self.running else None

    def __call__(self, function: Call, *arguments: Any) -> Any:
        """Raises what the function raises, and ApartError when something else has ended the process."""
        with self.turn:
            pipe = self._pipe()
            if pipe is None:
                return function(*arguments)
            try:
                pipe.send_bytes(pickle.dumps((function, arguments, True)))
                error, result = pipe.recv()
            except (EOFError, OSError) as gone:
                raise ApartError(
                    f"the process that was to run {function.__name__} was ended by something else (exit code {self.end()}), "
                    "such as a want of memory. Run the same command again; what is saved is kept"
                ) from gone
            except BaseException:  # a signal: what comes through the pipe next would answer this call
                self.end()
                raise
        if error:
            raise error
        return result

    def end(self) -> int | None:
        """End the process, if there is one; the next call starts another. Returns its exit code."""
        running, self.running = self.running, None
        if running is None:
            return None
        process, pipe = running
        process.kill()
        code = process.wait()
        pipe.close()
        return code


def serve(number: int) -> None:
    """What the process does: one call after the other, until the other end of its pipe closes, and then not a moment more."""
    for one in SIGNALS:  # also sent to the process that started this one, which decides
        signal.signal(one, signal.SIG_IGN)
    pipe, asked = Connection(number), queue.SimpleQueue[bytes]()
    threading.Thread(target=_listen, args=(pipe, asked), daemon=True).start()
    while True:
        if answer := _answer(asked.get()):
            pipe.send_bytes(answer)


def _listen(pipe: Connection, asked: "queue.SimpleQueue[bytes]") -> None:
    try:
        while True:
            asked.put(pipe.recv_bytes())
    except (EOFError, OSError):
        os._exit(0)


def _answer(asked: bytes) -> bytes | None:
    """An error or None, and the result; nothing where no answer is waited for."""
    is_awaited = True
    try:
        function, arguments, is_awaited = pickle.loads(asked)  # noqa: S301 # from the process that started this one
        answer = pickle.dumps((None, function(*arguments)))
    except (Exception, SystemExit) as error:
        error.add_note("".join(traceback.format_exception(error)))
        answer = _pickled(error)
    return answer if is_awaited else None


def _import_all(*modules: str) -> None:
    for module in modules:
        import_module(module)


def _pickled(error: BaseException) -> bytes:
    """An error as it can be told elsewhere; of one that cannot be pickled, its words."""
    try:
        answer = pickle.dumps((error, None))
        pickle.loads(answer)  # noqa: S301 # its own
    except Exception:
        return pickle.dumps((RuntimeError(f"{type(error).__name__}: {error}"), None))
    return answer
