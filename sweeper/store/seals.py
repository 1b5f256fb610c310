"""Texts that carry their own checksum, so that a bit that changes is noticed: JSON objects, and lines of YAML."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

_JSON_SEAL, _JSON_END = b',\n "sha256": "', b'"\n}\n'  # the last member, of all the bytes before it
_TEXT_HEAD, _TEXT_SEAL = b"# Written by sweeper, with its checksum.\n", b"# sha256: "  # the first line and the last
_TEXT_MARKS = re.compile(rb"Written by sweeper|sha256: |[0-9a-f]{24}")  # what is left of them when both are damaged


def sealed_json(value: Mapping[str, Any]) -> bytes:
    """A JSON object of one member or more, with its checksum as the last."""
    text = json.dumps(_finite(value), indent=1, allow_nan=False, ensure_ascii=False)
    # A lone surrogate, as in odd paths, is written as its escape.
    body = text.removesuffix("\n}").encode(errors="backslashreplace")
    return body + _JSON_SEAL + _digest(body) + _JSON_END


def opened_json(content: bytes) -> Any:
    """What `sealed_json` was given. Raises ValueError for what it did not write."""
    body, seal, rest = content.rpartition(_JSON_SEAL)
    if not seal or rest != _digest(body) + _JSON_END:
        raise ValueError("its checksum is wrong" if seal else "it has no checksum")
    try:
        return from_json(body + b"\n}")  # four times as fast, but it refuses half a surrogate pair
    except ValueError:
        return json.loads(body + b"\n}")


def sealed_text(text: str) -> bytes:
    """A text of lines between a comment that says who wrote it and one that holds its checksum."""
    body = _TEXT_HEAD + text.encode()
    return body + _TEXT_SEAL + _digest(body) + b"\n"


def opened_text(content: bytes) -> str | None:
    """What `sealed_text` was given, or a text by another hand; None when a bit of ours has changed."""
    body, seal, rest = content.rpartition(_TEXT_SEAL)
    is_torn = content[: len(_TEXT_HEAD)] == _TEXT_HEAD[: len(content)]
    is_ours = is_torn or _TEXT_MARKS.search(content[: 2 * len(_TEXT_HEAD)]) or _TEXT_MARKS.search(content[-100:])
    if (seal and rest != _digest(body) + b"\n") or (is_ours and not seal):
        return None
    try:
        return (body if seal else content).decode().removeprefix(_TEXT_HEAD.decode())
    except UnicodeDecodeError:
        return None


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
