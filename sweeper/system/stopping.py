"""How a run is stopped: by SIGINT from a person, SIGTERM from a scheduler, SIGHUP when its terminal closes."""

import math
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

from sweeper.system.processes import descendants, kill_all

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE_SECONDS = 3.0  # how long halted trials may take to end their epoch and save, when it was not a person who asked
LIMIT_SECONDS = 7.0  # who sends SIGTERM often kills ten seconds later
ECHO_SECONDS = 0.1  # `timeout` signals its command, and then the group that its command is in
AGAIN_SECONDS = 0.05
SHOW_CURSOR = b"\x1b[?25h"
AT_ONCE = b"stopped at once. What is saved stays; MLflow may say RUNNING until `sweeper resume` or `sweeper sync`\n"

Halt = Callable[[float | None], None]


class Stopped(BaseException):  # as KeyboardInterrupt: no error
    """A signal that came while no trials ran, or after which a trial went on for too long."""


class Stopping:
    """The signals that a run has received, and what they do.

    While trials run the first one halts them; at other times it raises Stopped. Trials may end their epoch after SIGINT,
    from a person who can ask again, but not after the others, whose sender kills soon. `limit` ends the process at once
    after a second SIGINT, and seven seconds after one of the others.
    """

    def __init__(self) -> None:
        self.received: list[int] = []
        self.halt: Halt | None = None
        self.is_cutting = self.is_unheard = self.is_over = False

    @property
    def code(self) -> int:
        """The exit code of a process that these signals ended."""
        return 128 + self.received[0]

    @contextmanager
    def halting(self, halt: Halt, is_cutting: bool) -> Iterator[None]:
        """While trials run. A trial that this process runs itself is cut off, if it has not stopped by the end of its grace."""
        self.halt, self.is_cutting = halt, is_cutting
        try:
            with suppress(Stopped):
                yield
                signal.setitimer(signal.ITIMER_REAL, 0)
        finally:
            self.halt = None

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        is_first = not self.received
        self.received.append(number)
        if self.is_over:
            return
        if self.halt:
            is_urgent = number != signal.SIGINT
            if is_urgent and self.is_cutting:
                signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS)
            self.halt(GRACE_SECONDS if is_urgent else None)
        elif is_first:
            raise Stopped

    def cut_off(self, number: int, frame: FrameType | None) -> None:
        """Handle the end of the grace, or a signal that could not be raised."""
        if self.halt or self.is_unheard:
            self.is_unheard = False
            raise Stopped

    def ignored(self, unraisable: Any) -> None:
        """Raise again what Python drops where nothing can be raised, as in the callbacks of weak references."""
        if unraisable.exc_type is SystemExit and signal.getsignal(signal.SIGTERM) != self.hear:
            self.received.append(signal.SIGTERM)  # heard by Ray's own handler, while Ray starts
        elif unraisable.exc_type is not Stopped:
            sys.__unraisablehook__(unraisable)
            return
        self.is_unheard = True
        signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)


def leave(code: int) -> NoReturn:
    """End this process, stopped and saved, without what libraries do when Python ends: they may crash, or take long."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    leave_now(code)


def leave_now(code: int, told: bytes = b"") -> NoReturn:
    """End this process at once, with those it started; what is saved stays saved."""
    try:
        kill_all(descendants(os.getpid()))
        told = (SHOW_CURSOR if sys.stderr.isatty() else b"") + told  # the live view hides it
        if select.select([], [sys.stderr.fileno()], [], 0)[1]:  # one that takes no more would hold this up for ever
            os.write(sys.stderr.fileno(), told)
    finally:
        os._exit(code)


def limit(numbers: socket.socket) -> None:
    """End this process at the second SIGINT, and seven seconds after the first signal whose sender kills soon.

    In a thread of its own: what the main thread is in the midst of, a step of a large network, may outlast that, and
    Python takes two signals that come meanwhile for one. Where something keeps this thread from running too, two SIGINTs are
    read at once, as if one were the other's echo: the third ends the process.
    """
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # they reach this thread while the main one blocks them
    code, end, heard_at = 0, math.inf, 0.0
    with numbers:
        while True:
            numbers.settimeout(None if math.isinf(end) else max(0.001, end - time.monotonic()))
            try:
                received = numbers.recv(1)
            except TimeoutError:
                leave_now(code, AT_ONCE)
            if not received:
                return
            number, now = received[0], time.monotonic()
            if number not in SIGNALS:
                continue
            if number == signal.SIGINT and code and now - heard_at > ECHO_SECONDS:
                leave_now(128 + number, AT_ONCE)
            code, heard_at = code or 128 + number, now
            if number != signal.SIGINT:
                end = min(end, now + LIMIT_SECONDS)


@contextmanager
def hearing(stopping: Stopping) -> Iterator[None]:
    """Hear signals from now on. SIGHUP stays ignored where it is, under `nohup`."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    numbers = [number for number in SIGNALS if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]
    before: dict[int, Any] = {number: signal.signal(number, stopping.hear) for number in numbers}
    before[signal.SIGALRM] = signal.signal(signal.SIGALRM, stopping.cut_off)
    hook, sys.unraisablehook = sys.unraisablehook, stopping.ignored
    heard, told = socket.socketpair()
    told.setblocking(False)
    wakeup = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    try:
        threading.Thread(target=limit, args=(heard,), name="limit", daemon=True).start()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        yield
    finally:
        stopping.is_over = True  # a signal that comes while this is undone is noted, and stops nothing
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        signal.set_wakeup_fd(wakeup)
        if stopping.received:
            told.detach()  # the limit stays, for what is left to do
        else:
            told.close()
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
