"""Names and texts that MLflow takes, and URIs of databases.

A name is letters, digits, `_ - space`, with everything else written as a colon and the hex of its UTF-8 bytes.
"""

import hashlib
import os
import re
from pathlib import Path
from urllib.parse import unquote

from sweeper.reading.address import DATABASES

MAX_LENGTH = 200
ARTIFACTS = "mlflow-artifacts"  # the folder of files beside a database
DATABASE = re.compile(rf"({'|'.join(DATABASES)})(\+\w+)?://")
_RELATIVE = re.compile(r"(sqlite:///|file:)(?!/|file:|:memory:)([^?]+)(.*)")
_SAFE = re.compile(r"[A-Za-z0-9_ -]")


def safe_name(name: str) -> str:
    """A name for use in a metric's: reversible, and so unique, up to 200 characters.

    A longer one is cut and ends in a digest of the whole; the per-class table has it in full.
    """
    safe = "".join(char if _SAFE.match(char) else _escaped(char) for char in name) or ":"
    if len(safe) <= MAX_LENGTH:
        return safe
    return f"{safe[: MAX_LENGTH - 18]}::{hashlib.sha256(_bytes(name)).hexdigest()[:16]}"


def _escaped(char: str) -> str:
    return "".join(f":{byte:02x}" for byte in _bytes(char))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # odd file names have lone surrogates


def storable(text: str, length: int) -> str:
    """A text as every database takes it: no lone surrogates, no NUL, at most so long."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")[:length]


def sqlite_path(uri: str) -> Path | None:
    """The file of an SQLite URI; None for other stores."""
    is_file = uri.startswith("sqlite:///") and len(uri) > len("sqlite:///")
    return Path(unquote(uri.removeprefix("sqlite:///").partition("?")[0])).absolute() if is_file else None


def absolute_uri(uri: str) -> str:
    """A URI with the file or the SQLite database that it names seen from the root, as it is found from any directory."""
    relative = _RELATIVE.fullmatch(uri)
    if relative is None:
        return uri
    scheme, path, options = relative.groups()
    whole = os.path.abspath(unquote(path))
    return (Path(whole).as_uri() if scheme == "file:" else sqlite_uri(whole)) + options


def sqlite_uri(path: str) -> str:
    """The URI of an SQLite file. SQLAlchemy decodes `%` and takes what follows a `?` for options."""
    return f"sqlite:///{path.replace('%', '%25').replace('?', '%3F')}"
