"""Names that MLflow takes: letters, digits, `_ - . space`, with everything else written as the hex of its UTF-8 bytes."""

import hashlib
import re

MAX_LENGTH = 200
_SAFE = re.compile(r"[A-Za-z0-9_ -]")


def safe_name(name: str) -> str:
    """A name for use in a metric's: reversible by `original_name`, and so unique, up to 200 characters.

    A longer one is cut and ends in a digest of the whole; the per-class table has it in full.
    """
    safe = "".join(char if _SAFE.match(char) else _escaped(char) for char in name) or ":"
    if len(safe) <= MAX_LENGTH:
        return safe
    return f"{safe[: MAX_LENGTH - 18]}::{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def original_name(safe: str) -> str:
    """The name that `safe_name` was given, if it was not too long."""
    content = b"".join(
        bytes([int(part[1:], 16)]) if part.startswith(":") else part.encode()
        for part in re.findall(r":[0-9a-f]{2}|[^:]+", safe)
    )
    return content.decode()


def _escaped(char: str) -> str:
    return "".join(f":{byte:02x}" for byte in char.encode("utf-8", "surrogatepass"))


def redacted(uri: str) -> str:
    """A URI without its password, for messages."""
    return re.sub(r"(://[^/:@]*):[^/@]*@", r"\1:***@", uri)
