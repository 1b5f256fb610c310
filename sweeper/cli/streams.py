"""Output that outlasts its reader: a run goes on when its terminal closes or the pipe that it writes to ends."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

GONE = (errno.EIO, errno.EPIPE)
STANDARD = {"stdin": "r", "stdout": "w", "stderr": "w"}


class Lasting:
    """A text stream; what is written after its reader went away is dropped."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        try:
            return self.stream.write(text)
        except OSError as error:
            self._drop(error)
            return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except OSError as error:
            self._drop(error)

    def _drop(self, error: OSError) -> None:
        """From here on to nowhere: what lies in the stream's buffer would fail again when the process ends."""
        if error.errno not in GONE:
            raise error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.stream.fileno())
        os.close(nowhere)


def open_closed_streams() -> None:
    """Let a stream that was closed before the start, as by `>&-`, lead nowhere: no other file shall get its number."""
    for name, mode in STANDARD.items():
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(nowhere, True)
            setattr(sys, name, os.fdopen(nowhere, mode))


@contextmanager
def lasting_streams() -> Iterator[None]:
    """Let stdout and stderr outlast their readers; for the rest of the process, which may write to them until its end."""
    before: tuple[Any, Any] = (sys.stdout, sys.stderr)
    sys.stdout, sys.stderr = (Lasting(stream) for stream in before)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = before
