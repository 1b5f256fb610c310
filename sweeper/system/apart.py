"""A process beside this one for work that needs torch or draws pages: a sweep's driver stays small, and waits for no import."""

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Connection, Pipe
from typing import Any, Self

from sweeper.system.processes import descendants, kill_all
from sweeper.system.stopping import SIGNALS

Call = Callable[..., Any]
IDLE_SECONDS = 60.0  # then its memory is better used by trials
IDLE = 3  # its exit code then
START = "import sys; pipe, sys.path[:] = int(sys.argv[1]), sys.argv[2:]; from sweeper.system.apart import serve; serve(pipe)"


class ApartError(ValueError):
    """The process beside this one was ended by something else."""


def directly(function: Call, *arguments: Any) -> Any:
    """As an `Apart` that calls functions in this process."""
    return function(*arguments)


class Apart:
    """Calls functions of modules in a process of its own, which the first call starts, unless `begin` has, and `end` ends.

    They are called in this process if `is_here`: where it has imported torch already or is about to, nothing is saved.
    Arguments and results can be pickled; what a function raises is raised here. Threads take turns.
    """

    def __init__(self, is_here: bool = False, rest: Sequence[str] = ()) -> None:
        self.is_here, self.is_over, self.rest = is_here, False, rest
        self.turn = threading.RLock()
        self.running: tuple[subprocess.Popen[bytes], Connection] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.is_over = True
        self.end()

    def begin(self, *modules: str) -> None:
        """Let the process import modules. What keeps it from that is told by the call that needs them."""
        if not (self.is_here or self.is_over):
            with self.turn, suppress(OSError):
                self._pipe().send_bytes(pickle.dumps((_import_all, modules, False)))

    def begin_rest(self) -> None:
        """Let the process import what the end of a run needs, `rest`."""
        self.begin(*self.rest)

    def _pipe(self) -> Connection:
        """To the process, which is started unless it runs."""
        if self.running and self.running[0].poll() is not None:
            self.end()
        if self.running is None:
            pipe, other = Pipe()
            words = [sys.executable, "-c", START, str(other.fileno()), *sys.path]
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until it ignores them
            try:
                with other:
                    self.running = subprocess.Popen(words, pass_fds=[other.fileno()], stdin=subprocess.DEVNULL), pipe
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return self.running[1]

    def __call__(self, function: Call, *arguments: Any) -> Any:
        """Raises what the function raises, and ApartError when something else has ended the process."""
        if self.is_here:
            return function(*arguments)
        if self.is_over:
            raise ApartError("the run is over")
        with self.turn:
            try:
                pipe = self._pipe()
                pipe.send_bytes(pickle.dumps((function, arguments, True)))
                error, result = pipe.recv()
            except (EOFError, ConnectionError) as gone:
                code = self.end()
                if code == IDLE:
                    return self(function, *arguments)
                raise ApartError(
                    f"a process of this run was ended by something else (exit code {code}), such as a want of memory. Run the "
                    "same command again; what is saved is kept"
                ) from gone
            except BaseException:  # a signal: what comes through the pipe next would answer this call
                self.end()
                raise
        if error:
            raise error
        return result

    def end(self) -> int | None:
        """End the process with those it started, if it runs; the next call starts another. Returns its exit code."""
        running, self.running = self.running, None
        if running is None:
            return None
        process, pipe = running
        if process.poll() is None:
            kill_all([process.pid, *descendants(process.pid)])
        code = process.wait()
        pipe.close()
        return code


def serve(number: int) -> None:
    """What the process does: one call after the other, until none comes for long or the other end of its pipe closes."""
    os.set_inheritable(number, False)
    for one in SIGNALS:  # also sent to the process that started this one, which decides
        signal.signal(one, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    pipe, asked = Connection(number), queue.SimpleQueue[bytes]()
    threading.Thread(target=_listen, args=(pipe, asked), daemon=True).start()
    while True:
        try:
            answer = _answer(asked.get(timeout=IDLE_SECONDS))
        except queue.Empty:
            os._exit(IDLE)
        if answer:
            pipe.send_bytes(answer)


def _listen(pipe: Connection, asked: "queue.SimpleQueue[bytes]") -> None:
    try:
        while True:
            asked.put(pipe.recv_bytes())
    except (EOFError, OSError):
        os._exit(0)  # in the midst of a call too: nobody waits for it


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
