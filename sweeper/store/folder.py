"""A folder on any fsspec filesystem whose files are written whole, and whose JSON carries its own checksum."""

import errno
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from glob import escape
from itertools import islice
from pathlib import PurePosixPath
from typing import Any, TypeVar

from fsspec.implementations.local import LocalFileSystem

from sweeper.store.remote import StoreError, note_answer, open_filesystem, patiently
from sweeper.store.seals import opened_json, sealed_json

__all__ = [
    "FULL",
    "READ_AT_ONCE",
    "TEMPORARY",
    "Folder",
    "StoreError",
    "synchronise",
]

TEMPORARY = ".tmp"
READ_AT_ONCE = 256
ROOM = "Make room on that disk"
FULL = {
    errno.ENOSPC: ROOM,
    errno.EDQUOT: ROOM,
    errno.EFBIG: "Allow larger files (ulimit -f unlimited)",
}
"""What to do about a place that takes no more, by the error that it gives."""
ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ENAMETOOLONG, errno.ELOOP)
REMEDIES = {  # for a file whose removal does not just redo some work
    "trial.json": "Restore it; or remove its folder, and what the trial had is lost: unless it was the last one, a grid trains "
    "it anew under another number, by which a pruner may judge it otherwise, and a sampler draws another in its place.",
    "sweep.json": "Restore it: without it every run would come into MLflow a second time.",
    "left_out.json": "Run the sweep again, which writes it anew.",
    "machine.json": "Restore it; or remove it, and what trains from then on may differ from the rest in its last bits.",
}
T = TypeVar("T")
F = TypeVar("F", bound="Folder")


class Folder:
    """A folder on any fsspec filesystem whose files are written whole."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/") or url[:1]
        self.fs, self.path = open_filesystem(self.url)
        self.is_local = isinstance(self.fs, LocalFileSystem)
        if self.is_local:
            self.url = self.path

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Come from the process that made it, where its storage has answered."""
        self.__dict__.update(state)
        note_answer(self.url)

    @property
    def protocols(self) -> frozenset[str]:
        """The names of its filesystem: "file", "s3"."""
        names = self.fs.protocol
        return frozenset({names} if isinstance(names, str) else names)

    def sub(self, *names: str) -> "Folder":
        return self.below(Folder, *names)

    def below(self, kind: type[F], *names: str) -> F:
        """A folder of some kind below this one, on the same filesystem: asking for that anew takes longer than a read."""
        folder = object.__new__(kind)
        folder.url, folder.path = ("/".join([above.rstrip("/"), *names]) for above in (self.url, self.path))
        folder.fs, folder.is_local = self.fs, self.is_local
        return folder

    def at(self, name: str) -> str:
        return f"{self.path.rstrip('/')}/{name}" if name else self.path

    def told(self, name: str) -> str:
        """Where a file is, for people."""
        return self.at(name) if self.is_local else f"{self.url}/{name}"

    def ask(self, method: str, *arguments: Any, **named: Any) -> Any:
        """Call the filesystem; a remote one that is out is waited for."""
        call = partial(getattr(self.fs, method), *arguments, **named)
        return call() if self.is_local else patiently(call, self.url)

    def exists(self, name: str = "") -> bool:
        """Raises OSError where a disk fails to tell: what is there must not be taken for gone, and made anew."""
        if not self.is_local:
            return bool(self.ask("exists", self.at(name)))
        try:
            os.stat(self.at(name))
        except OSError as error:
            if error.errno in ABSENT:
                return False
            raise
        return True

    def names(self) -> list[str]:
        """The names in this folder, sorted; none when it does not exist."""
        try:
            listed = os.listdir(self.path) if self.is_local else self.ask("ls", self.path, detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(PurePosixPath(path).name for path in listed)

    def files(self, depth: int) -> dict[str, int]:
        """The bytes of each file below this folder, by path, no more than `depth` names long; an object store lists once."""
        if self.is_local:
            return dict(_local_files(self.path, "", depth))
        try:
            found = self.ask("find", self.path, detail=True)
        except FileNotFoundError:
            return {}
        sizes = {path[len(self.path) + 1 :]: int(about["size"] or 0) for path, about in found.items()}
        return {path: sizes[path] for path in sorted(sizes) if path.count("/") < depth and _is_below(path)}

    def read_each(self, names: Iterable[str]) -> Iterator[bytes | None]:
        """The content of each file, None where there is none; an object store is asked for many side by side."""
        if self.is_local:
            yield from map(self._read_if_there, names)
            return
        for part in _batches(names, READ_AT_ONCE):
            places = [self.at(name) for name in part]
            found = self.ask("cat", places, on_error="return")
            for name, content in zip(part, map(found.get, places), strict=True):
                if isinstance(content, FileNotFoundError):
                    yield None
                else:  # one that could not be read among the others is asked for once more, patiently
                    yield bytes(content) if isinstance(content, bytes) else self._read_if_there(name)

    def _read_if_there(self, name: str) -> bytes | None:
        try:
            return Folder.read(self, name)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def glob(self, pattern: str) -> list[str]:
        """Where the files are that match a pattern below this folder, sorted."""
        return sorted(str(path) for path in self.ask("glob", f"{escape(self.path)}/{pattern}"))

    def read(self, name: str) -> bytes:
        if self.is_local:
            with open(self.at(name), "rb") as file:
                return file.read()
        return bytes(self.ask("cat_file", self.at(name)))

    def write(self, name: str, content: bytes) -> None:
        """Write a whole file: whoever reads `name` sees the old content or the new, even after a crash."""
        if self.is_local:
            _put(self.at(name), content)
            synchronise(os.path.dirname(self.at(name)))
        else:
            self.ask("pipe_file", self.at(name), content)

    def write_all(self, contents: Mapping[str, bytes]) -> None:
        """As `write`, of several files right in this folder; sooner than one after the other."""
        if not self.is_local:
            self.ask("pipe", {self.at(name): content for name, content in contents.items()})
        elif contents:
            for name, content in contents.items():
                _put(self.at(name), content)
            synchronise(self.path)

    def keep_as(self, name: str, other: str) -> None:
        """Let the file `other` be what `name` is, which is to be written anew; no error when there is none."""
        try:
            if self.is_local:
                os.replace(self.at(name), self.at(other))
            else:
                self.ask("cp_file", self.at(name), self.at(other))
        except FileNotFoundError:
            return

    def remove(self, name: str) -> None:
        """Remove a file; no error when there is none."""
        try:
            self.ask("rm_file", self.at(name))
        except FileNotFoundError:
            return

    def remove_torn(self) -> None:
        """Remove temporary files of a process that was killed as it wrote one; nobody may be writing here now."""
        for name in self.names() if self.is_local else ():
            if name.endswith(TEMPORARY):
                self.remove(name)

    def read_json(self, name: str) -> Any:
        """The content of a JSON file. Raises StoreError that names the file when a bit of it has changed."""
        return self._json(name, self.read(name))

    def _json(self, name: str, content: bytes) -> Any:
        try:
            return opened_json(content)
        except (ValueError, RecursionError) as error:
            raise StoreError(f"{self.told(name)} is damaged ({error}). {_remedy(name)}") from error

    def parsed(self, name: str, parse: Callable[[Any], T]) -> T:
        """What `parse` makes of a JSON file. Raises StoreError that names the file when that is not what was written."""
        return self.parsed_from(self.read(name), name, parse)

    def parsed_from(self, content: bytes, name: str, parse: Callable[[Any], T]) -> T:
        """As `parsed`, of a content that has been read already."""
        value = self._json(name, content)
        try:
            return parse(value)
        except (TypeError, KeyError, AttributeError, ValueError, OverflowError) as error:
            told = f"{type(error).__name__}: {error}"
            raise StoreError(f"{self.told(name)} is not what sweeper wrote ({told}). {_remedy(name)}") from error

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write a JSON object of one member or more; non-finite floats become the strings "nan", "inf" and "-inf"."""
        self.write(name, sealed_json(value))


def _is_below(path: str) -> bool:
    """Whether a path leads into the folder that it is told of; object stores take any key."""
    return {"", ".", ".."}.isdisjoint(path.split("/"))


def _remedy(name: str) -> str:
    return REMEDIES.get(name, "Restore it, or remove it to redo its work.")


def _batches(names: Iterable[str], size: int) -> Iterator[list[str]]:
    rest = iter(names)
    return iter(lambda: list(islice(rest, size)), [])


def _local_files(folder: str, prefix: str, depth: int) -> Iterator[tuple[str, int]]:
    """Files below a folder, by path; what goes away meanwhile is left out."""
    try:
        with os.scandir(folder) as listed:
            entries = sorted(listed, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.is_dir():
            if depth > 1:
                yield from _local_files(entry.path, f"{prefix}{entry.name}/", depth - 1)
            continue
        with suppress(FileNotFoundError):
            yield prefix + entry.name, entry.stat().st_size


def _put(path: str, content: bytes) -> None:
    """Write a whole file to the disk, in the place of one that is there once its folder is synchronised."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = f"{path}.{secrets.token_hex(4)}{TEMPORARY}"
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        if os.path.exists(temporary):
            os.remove(temporary)
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(error.errno, error.strerror, path) from error  # a write that fails does not name its file
        raise


def synchronise(path: str | os.PathLike[str]) -> None:
    """Wait until a file, or what a folder lists, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
