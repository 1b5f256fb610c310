"""Texts without secrets: passwords and tokens in addresses, and the values of secret environment variables.

Whatever leaves a process passes through here: messages, recorded errors, tags, files that are published.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import TextIO
from urllib.parse import quote

HIDDEN = "***"
SHORTEST, SHORTEST_LINE = 6, 16  # what is shorter would hide ordinary words
_PORT = r"\d{2,5}(?:/\S*|\W{0,3})\s"  # after a host, before more words
# Rather too much than too little of a password: it may have spaces, and each of the signs that end a part of a URI.
_USER = re.compile(rf"://(?:[^\s/:@]*:(?:(?!{_PORT})[^\n]{{0,4999}}|\S*)|[^\s/@]*)@")
_SECRET = re.compile(
    r"((?:[?&;#]|%3B|%26)(?:[+ ]|%20)*"
    r"(?:[\w.-]*(?:pass|pwd|token|secret|key|credential|signature)[\w.-]*|sig)(?:=|%3D))(?:\{[^}\n]*\}|[^\s&;])+",
    re.IGNORECASE,
)
_NAME = re.compile(r"(?:KEY|TOKEN|PASSWORD|PASSWD|PASSPHRASE|SECRET|CREDENTIALS?)(?:_|$)|_(?:PASS|PWD)$", re.IGNORECASE)
_PASSWORD = re.compile(r"://[^/:@]*:(?!\d*(?:/|$))(.+)@", re.DOTALL)  # of a whole URI
_PASSWORDS = re.compile(r"://[^\s/:@]*:([^\s/@]+)@")  # of each of several


def without_password(uri: str) -> str:
    """A whole URI without its user name, password and tokens; a space in it is written as `%20`."""
    return without_passwords(re.sub(r"\s", "%20", uri) if "://" in uri else uri)


def without_passwords(text: str) -> str:
    """A text without the user names, passwords and tokens of the URIs in it."""
    return _SECRET.sub(rf"\1{HIDDEN}", _USER.sub(f"://{HIDDEN}@", text))


def has_password(uri: str) -> bool:
    """Whether a URI carries a password or a token; a user name alone is none."""
    return bool(_PASSWORD.search(uri) or _SECRET.search(uri))


def redacted(text: str) -> str:
    """A text without passwords in URIs, and without what the environment's `*_KEY`, `*_TOKEN`, `*_PASSWORD`, ... hold."""
    for secret in sorted(set(_spellings(os.environ)), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return without_passwords(text)


def _spellings(environment: Mapping[str, str]) -> Iterator[str]:
    """Each secret as it is, and as URIs and JSON write it."""
    for secret in _secrets(environment):
        yield from (secret, quote(secret), quote(secret, safe=""), json.dumps(secret)[1:-1], repr(secret)[1:-1])


def _secrets(environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in environment.items():
        value = value.strip()
        if _NAME.search(name) and len(value) >= SHORTEST and not _is_file(value):
            yield value
            yield from (line for line in value.splitlines() if len(line) >= SHORTEST_LINE)
        elif "://" in value:
            found = {*_PASSWORD.findall(value), *_PASSWORDS.findall(value)}
            yield from (form for form in found if len(form) >= SHORTEST)


def _is_file(value: str) -> bool:
    """`GOOGLE_APPLICATION_CREDENTIALS` and its like name a file."""
    return value.startswith("/") and len(value) < 4096 and os.path.exists(value)


class Redacted:
    """A stream, such as stderr, whose texts lose their secrets on the way."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(redacted(text))
        return len(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)
