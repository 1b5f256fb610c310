"""Texts without secrets: passwords and tokens in addresses, and the values of secret environment variables.

Whatever leaves a process passes through here: messages, recorded errors, tags, files that are published.
"""

import json
import os
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import TextIO
from urllib.parse import quote, quote_plus, unquote

HIDDEN = "***"
SHORTEST, SHORTEST_LINE = 6, 16  # what is shorter would hide ordinary words
_PORT = r"\d{2,5}(?:/\S*|\W{0,3})\s"  # after a host, before more words
# Rather too much than too little of a password: it may have spaces, and each of the signs that end a part of a URI. A
# bracket opens a host of numbers.
_USER = re.compile(rf"://(?!\[)(?:[^\s/:@]*:(?:(?!{_PORT})[^\n]{{0,4999}}|\S*)|[^\s/@]*)@")
_SECRET = re.compile(
    r"((?:(?:[?&;#]|%3B|%26)(?:[\w.-]*(?:pass|pwd|token|secret|key|credential|signature)[\w.-]*|sig)"
    r"|(?:;|%3B)(?:[+ ]|%20)+[\w.-]*(?:pass|pwd)[\w.-]*)(?:=|%3D))(?:\{[^}\n]*\}|[^\s&;])+",
    re.IGNORECASE,
)
_NAME = re.compile(
    r"PASSWORD|PASSWD|PASSPHRASE|(?:(?<!MON|DON|TUR|HOC)KEY|TOKEN|SECRET|CREDENTIAL)S?\d*(?:_|$)|_(?:PASS|PWD)\d*$",
    re.IGNORECASE,
)
_PASSWORD = re.compile(r"://[^/:@]*:(?!\d*(?:/|$))(.+)@", re.DOTALL)  # of a whole URI
_PASSWORDS = re.compile(r"://[^\s/:@]*:([^\s/@]+)@")  # of each of several
_ESCAPE = re.compile("%[0-9A-F]{2}")
_BASE64 = "[A-Za-z0-9+/=]*"


def without_password(uri: str) -> str:
    """A whole URI without its user name, password and tokens; a space in a host's is written as `%20`."""
    return without_passwords(re.sub(r"\s", "%20", uri) if names_host(uri) else uri)


def without_passwords(text: str) -> str:
    """A text without the user names, passwords and tokens of the URIs in it."""
    return _SECRET.sub(rf"\1{HIDDEN}", _USER.sub(f"://{HIDDEN}@", text))


def names_host(uri: str) -> bool:
    """Whether a URI may have an account before a host; a path and the URI of a file have none, and may have spaces."""
    return "://" in uri and not uri.startswith(("sqlite", "file:"))


def has_password(uri: str) -> bool:
    """Whether a URI carries a password or a token; a user name alone is none."""
    return bool(_PASSWORD.search(uri) or _SECRET.search(uri))


def redacted(text: str) -> str:
    """A text without passwords in URIs, and without what the environment's `*_KEY`, `*_TOKEN`, `*PASSWORD*`, ... hold."""
    secrets = set(_secrets(os.environ))
    for spelling in sorted({form for secret in secrets for form in _spellings(secret)}, key=len, reverse=True):
        text = text.replace(spelling, HIDDEN)
    for inner in (inner for secret in secrets for inner in _in_base64(secret)):
        if inner in text:
            text = re.sub(f"{_BASE64}{re.escape(inner)}{_BASE64}", HIDDEN, text)
    return without_passwords(text)


def _spellings(secret: str) -> Iterator[str]:
    """A secret as it is, and as URIs, forms, JSON and Python write it."""
    raw = os.fsencode(secret)
    for quoted in (quote(raw), quote(raw, safe=""), quote_plus(raw)):
        yield from (quoted, _ESCAPE.sub(lambda escape: escape[0].lower(), quoted))
    yield from (secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])


def _in_base64(secret: str) -> Iterator[str]:
    """What base64 makes of a secret inside of more, such as `user:password`, wherever it begins in a group of three bytes."""
    raw = os.fsencode(secret)
    for before, first in enumerate((0, 2, 3)):  # the first letter that depends on the secret alone
        yield b64encode(bytes(before) + raw).decode()[first : 8 * (before + len(raw)) // 6]


def _secrets(environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in environment.items():
        value = value.strip()
        if _NAME.search(name) and len(value) >= SHORTEST and not _is_file(value):
            yield value
            yield from (line for line in value.splitlines() if len(line) >= SHORTEST_LINE)
        elif "://" in value:
            found = {*_PASSWORD.findall(value), *_PASSWORDS.findall(value)}
            yield from (form for form in found | set(map(unquote, found)) if len(form) >= SHORTEST)


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
