"""The command line: thin commands. Heavy modules are imported inside them, so that --help is instant."""

import gc
import os
import sys
import traceback
from contextlib import redirect_stderr
from typing import TextIO, cast

from sweeper.cli import running, reading, showing, files  # isort: skip # the order of --help
from sweeper.cli.options import InputError, app
from sweeper.cli.streams import open_closed_streams
from sweeper.exit_codes import BAD_INPUT, BUG
from sweeper.text.redaction import Redacted

__all__ = ["app", "files", "main", "reading", "running", "showing"]

NEW_OBJECTS = 20_000  # between looks for garbage: by default a command spends a fifth of its time on those, for nothing


def main() -> None:
    """Run the command line; what is wrong with the user's input is told without a traceback, with exit code 2."""
    open_closed_streams()
    gc.set_threshold(NEW_OBJECTS)
    with redirect_stderr(cast("TextIO", Redacted(sys.stderr))):
        try:
            _check_encoding()
            sys.path.append(_current_directory())  # where a user's own "package.module:callable" lies
            app()
        except Exception as error:  # tracebacks are told here too, where they lose their passwords
            sys.exit(_told(error))


def _check_encoding() -> None:
    """Refuse to read the names of files in another way than other runs do: classes are called by them, and so are trials."""
    encoding = sys.getfilesystemencoding()
    if encoding != "utf-8":
        raise InputError(f"Python would read the names of files as {encoding} here. Run again with PYTHONUTF8=1 set.")


def _current_directory() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError as error:
        raise InputError(
            "the current directory has been removed. Change to one that is there, then run again."
        ) from error


def _told(error: Exception) -> int:
    """Tell of an error on stderr; returns the exit code."""
    from sweeper.store.folder import FULL
    from sweeper.text.terminal import printable

    if not _is_for_users(error):
        print(printable("".join(traceback.format_exception(error))), end="", file=sys.stderr)
        return BUG
    print(printable(f"sweeper: {error}"), file=sys.stderr)
    if isinstance(error, OSError) and (remedy := FULL.get(error.errno or 0)):
        print(f"{remedy}, then run the same command again; what was saved is kept.", file=sys.stderr)
    return BAD_INPUT


def _is_for_users(error: Exception) -> bool:
    """Whether an exception is one of ours, or the system's about a file, and so says what to do."""
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] == "sweeper"
