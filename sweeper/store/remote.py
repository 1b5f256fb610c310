"""Remote filesystems: opened without stale listings, waited for while they are out, their errors said in sentences."""

import errno
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import fsspec

from sweeper.text.redaction import has_password, without_password

PATIENCE_SECONDS = 300.0  # for a storage that has answered before
FIRST_SECONDS = 10.0  # for one that has not: its address may be wrong
PAUSES_SECONDS = (0.5, 1.0, 2.0, 5.0)
PACKAGES = {"s3": "pip install 'sweeper[s3]'", "s3a": "pip install 'sweeper[s3]'"}
_OUTAGES = {
    "ClientConnectionError",
    "ClientPayloadError",
    "ConnectionError",
    "HTTPClientError",
    "ResponseParserError",
}  # the names of botocore's and aiohttp's classes, which share no base with each other or with OSError
_CREDENTIALS = "Give the storage's keys by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile by AWS_PROFILE."
_ELSEWHERE = (
    "Leave it out of the URL, and give it in the environment as the storage's package reads it (for S3 AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY), or in fsspec's own configuration, ~/.config/fsspec/conf.json."
)
T = TypeVar("T")


class StoreError(ValueError):
    """Something about a sweep folder that its owner must see to."""


class UnreachableError(StoreError):
    """A storage that does not answer."""


@dataclass
class _Standing:
    has_answered: bool = False


@cache
def _standing(root: str) -> _Standing:
    """Whether this process has heard of a storage yet."""
    return _Standing()


def note_answer(url: str) -> None:
    """Have patience with a storage that has answered, as another process knows."""
    _standing(root_of(url)).has_answered = True


def open_filesystem(url: str) -> tuple[Any, str]:
    """The filesystem of a URL and the path in it. Raises StoreError for one that cannot be had here."""
    if "://" not in url:  # fsspec would take the :: in a folder's name for its own
        return fsspec.filesystem("file"), os.path.abspath(os.path.expanduser(url))
    protocol = url.partition("://")[0]
    if has_password(url):
        raise StoreError(
            f"storage {without_password(url)} came with a password or a token, which would be kept in names of folders and in "
            f"MLflow. {_ELSEWHERE}"
        )
    # Listings are not remembered: other processes write too, and a stale one hides what they wrote.
    options = {} if protocol in ("file", "local") else {"use_listings_cache": False}
    try:
        filesystem, path = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        remedy = PACKAGES.get(protocol, "install the package that fsspec names for it")
        raise StoreError(f"storage {protocol}:// needs a package that is not installed ({error}): {remedy}") from error
    except ValueError as error:
        raise StoreError(f"storage {url}: {error}. Give a folder, or a URL such as s3://bucket/prefix") from error
    return filesystem, str(path)


def patiently(call: Callable[[], T], url: str) -> T:
    """What a call of a remote filesystem answers, tried again while the storage is out.

    Raises UnreachableError when it has been out too long, StoreError for what its user must see to, else what the call raises.
    """
    standing, deadline, tries = _standing(root_of(url)), 0.0, 0
    while True:
        try:
            answer = call()
        except Exception as error:  # botocore's share no base
            if not _is_outage(error):
                standing.has_answered |= isinstance(error, OSError)
                if told := _told(error, url):
                    raise told from error
                raise
            deadline = deadline or time.monotonic() + (PATIENCE_SECONDS if standing.has_answered else FIRST_SECONDS)
            if time.monotonic() > deadline:
                raise UnreachableError(
                    f"{root_of(url)} does not answer ({error}). Check its address (for S3, AWS_ENDPOINT_URL) and that it "
                    "is running, then run the same command again; what was saved is kept."
                ) from error
            time.sleep(PAUSES_SECONDS[min(tries, len(PAUSES_SECONDS) - 1)])
            tries += 1
        else:
            standing.has_answered = True
            return answer


def root_of(url: str) -> str:
    """The bucket of a URL."""
    protocol, _, rest = url.partition("://")
    return f"{protocol}://{rest.partition('/')[0]}"


def is_unmet(error: BaseException) -> bool:
    """Whether a conditional write was refused, as another has written since."""
    return _code(error) in ("PreconditionFailed", "ConditionalRequestConflict", "412", "409", "NoSuchKey")


def _is_outage(error: BaseException) -> bool:
    if isinstance(error, ConnectionError | TimeoutError) or _status(error) >= 500:
        return True
    if any(kind.__name__ in _OUTAGES for kind in type(error).__mro__):
        return True
    return isinstance(error, OSError) and error.errno in (errno.EREMOTEIO, errno.EBUSY) and not is_unmet(error)


def _response(error: BaseException) -> dict[str, Any]:
    """What S3 answered, which s3fs keeps as an error's cause."""
    found = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
    return found if isinstance(found, dict) else {}


def _code(error: BaseException) -> str:
    return str(_response(error).get("Error", {}).get("Code", ""))


def _status(error: BaseException) -> int:
    return int(_response(error).get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _told(error: Exception, url: str) -> StoreError | None:
    """An error with what its user can do about it; None where nothing is to be added."""
    root = root_of(url)
    if _code(error) == "NoSuchBucket":
        return StoreError(f"there is no bucket {root}; make it first, or correct --storage")
    if isinstance(error, PermissionError):
        return StoreError(f"{root} refuses ({error}). {_CREDENTIALS}")
    if type(error).__module__.startswith("botocore"):
        return StoreError(f"{root} cannot be used: {error}. {_CREDENTIALS}")
    return None
