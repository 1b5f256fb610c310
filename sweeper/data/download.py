"""Fetching the official Tiny ImageNet archive: resumed when cut off, checked before it gets its name."""

import hashlib
import logging
import os
import shutil
import time
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from sweeper.data.dataset import DataError
from sweeper.data.prepared import locked

URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
URL_VARIABLE = "SWEEPER_TINY_IMAGENET_URL"
SIZE_BYTES = 248_100_043
MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
ATTEMPTS = 4
PAUSE_SECONDS = 1.0
TIMEOUT_SECONDS = 30.0
CHUNK_BYTES = 2**16

PASSING = (URLError, HTTPException, ConnectionError, TimeoutError)
log = logging.getLogger(__name__)


def fetch(target: Path, cache: Path) -> Path:
    """The archive at `target`, downloaded when it is not there; one process does it, others wait.

    Raises DataError that says how to place the file by hand when there is no network, no room or a wrong file.
    """
    if not target.is_file():
        with locked(cache, target.name):
            if not target.is_file():
                _download(os.environ.get(URL_VARIABLE) or URL, target)
    return target


def _download(url: str, target: Path) -> None:
    part = target.with_name(f"{target.name}.part")
    if _size(part) > SIZE_BYTES:
        part.unlink()
    _check_room(part)
    log.info("downloading %s (%.0f MB) to %s", url, SIZE_BYTES / 1e6, target)
    for attempt in range(1, ATTEMPTS + 1):
        if _size(part) == SIZE_BYTES:
            break
        try:
            _go_on(url, part, target)
        except PASSING as error:
            if attempt == ATTEMPTS or (isinstance(error, HTTPError) and error.code < 500):
                raise DataError(
                    f"could not download {url} ({error}). Run again to go on. {_by_hand(target)}"
                ) from error
            log.info("download stopped (%s), trying again", error)
            time.sleep(PAUSE_SECONDS * 2 ** (attempt - 1))
    _verify(url, part, target)
    part.rename(target)


def _go_on(url: str, part: Path, target: Path) -> None:
    """Append what is missing. Raises one of PASSING when cut off, DataError when the server has another file."""
    have = _size(part)
    request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310 - the address is the owner's
    with urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
        resumed = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        length = response.headers.get("Content-Length")
        total_bytes = int(length) + have * resumed if length else None
        if total_bytes not in (None, SIZE_BYTES):
            raise DataError(_wrong(url, f"{total_bytes:,} bytes", target))
        with open(part, "ab" if resumed else "wb") as file:
            shutil.copyfileobj(response, file, CHUNK_BYTES)
    if _size(part) < SIZE_BYTES:
        raise ConnectionError(f"cut off after {_size(part):,} of {SIZE_BYTES:,} bytes")


def _verify(url: str, part: Path, target: Path) -> None:
    with open(part, "rb") as file:
        md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    size_bytes = _size(part)
    if (size_bytes, md5) != (SIZE_BYTES, MD5):
        part.unlink()
        raise DataError(_wrong(url, f"{size_bytes:,} bytes, MD5 {md5}", target))


def _check_room(part: Path) -> None:
    needed_bytes, free_bytes = SIZE_BYTES - _size(part), shutil.disk_usage(part.parent).free
    if free_bytes < needed_bytes:
        raise DataError(
            f"the download needs {needed_bytes:,} bytes in {part.parent}, where {free_bytes:,} are free. "
            "Make room, or set SWEEPER_CACHE to a folder on a larger disk."
        )


def _wrong(url: str, given: str, target: Path) -> str:
    expected = f"{SIZE_BYTES:,} bytes, MD5 {MD5}"
    return f"what {url} sends is not the official archive: {given}, expected {expected}. {_by_hand(target)}"


def _by_hand(target: Path) -> str:
    return (
        f"By hand: get {URL.rpartition('/')[2]} ({SIZE_BYTES:,} bytes, MD5 {MD5}) where there is a network and place "
        f"it at {target}, or set data.root to where it is."
    )


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
