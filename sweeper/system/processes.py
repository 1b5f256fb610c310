"""A process and those that it started, where Linux tells them."""

import os
import signal
from contextlib import suppress
from pathlib import Path


def children(process: int) -> set[int]:
    """The ids of a process's children."""
    try:
        files = [file.read_text() for file in Path(f"/proc/{process}/task").glob("*/children")]
    except OSError:  # it has just ended
        return set()
    return {int(word) for text in files for word in text.split()}


def descendants(process: int) -> list[int]:
    """The ids of its children and of theirs."""
    return [member for child in children(process) for member in (child, *descendants(child))]


def kill_all(processes: list[int]) -> None:
    """End processes at once; some may have ended."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
