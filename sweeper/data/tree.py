"""Image files where they lie: in a folder, or in a zip archive that is never unpacked."""

import json
import os
import re
import stat
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from sweeper.data.dataset import DataError
from sweeper.data.image_files import Sample
from sweeper.data.source import digest

EXTENSIONS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".j2k", ".png", ".bmp", ".webp", ".avif", ".gif", ".tif", ".tiff", ".pbm", ".ppm",
    ".pgm", ".pnm",
)  # fmt: skip
NOTES = (  # on images, or left beside them by a system; nobody misses them
    ".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".md", ".html", ".log", ".db", ".ini",
)  # fmt: skip

DRIVE = re.compile("[A-Za-z]:")
LARGEST_BYTES = 2**28  # of an image's file; the largest of the official archive has 2.7 MB
SIGNATURE, HEADER_BYTES = b"PK\3\4", 30  # of a member, before its name and content; APPNOTE.TXT 4.3.7
ENTRY = b"PK\1\2"  # begins each entry of the directory; APPNOTE.TXT 4.3.12
UTF8 = 1 << 11  # the flag of a name in UTF-8; APPNOTE.TXT 4.4.4
# What the zip reader raises for damage, encryption and compression that it does not know.
UNREADABLE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, OverflowError, RuntimeError)


class File(NamedTuple):
    """`path` is within the tree, `name` without its folders; `version` as in `Sample`."""

    name: str
    path: str
    size_bytes: int
    version: tuple[int, ...]


LEFT_BY_MACOS = "__MACOSX"  # beside the folders of an archive that a Mac has packed


def is_image(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS) and not name.startswith(".")


def _is_note(name: str) -> bool:
    return name.startswith(".") or name.lower().endswith(NOTES)


class Directory:
    """A folder. Paths within it are relative and use `/`."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    def __str__(self) -> str:
        return str(self.root)

    def exists(self, path: str) -> bool:
        return (self.root / path).exists()

    def folders(self, path: str) -> list[str]:
        """The names of the sub-folders of `path` that are somebody's own, sorted; none when there is no such folder."""
        folders = (entry.name for entry in self._entries(path) if entry.is_dir())
        return sorted(name for name in folders if not name.startswith(".") and name != LEFT_BY_MACOS)

    def images(self, path: str) -> list[File]:
        """The image files directly in `path`. Raises DataError for a link that leads nowhere."""
        return [_file(entry, path) for entry in self._entries(path) if is_image(entry.name) and not entry.is_dir()]

    def passed_over(self, path: str) -> list[str]:
        """The files directly in `path` that are not taken for images; but for hidden ones and NOTES."""
        files = (entry.name for entry in self._entries(path) if not entry.is_dir())
        return sorted(f"{path}/{name}" for name in files if not is_image(name) and not _is_note(name))

    def read(self, path: str) -> bytes:
        """Raises DataError for a file of no image's size, OSError for one that cannot be read."""
        with open(self.root / path, "rb") as file:
            content = file.read(LARGEST_BYTES + 1)
        if len(content) > LARGEST_BYTES:
            raise DataError(f"it has more than {LARGEST_BYTES:,} bytes")
        return content

    def stamp(self, samples: Callable[[], Sequence[Sample]]) -> str:
        rows = ((one.part, one.class_id, one.path, one.size_bytes, one.version) for one in samples())
        return digest([[str(self.root)], *rows])

    def crc(self, sample: Sample) -> int:
        """0 for what cannot be read: that is told with the images that do not decode."""
        try:
            return zlib.crc32(self.read(sample.path))
        except (OSError, DataError):
            return 0

    def _entries(self, path: str) -> Iterator[os.DirEntry[str]]:
        if not (self.root / path).is_dir():
            return
        with os.scandir(self.root / path) as entries:
            yield from entries


def _file(entry: os.DirEntry[str], folder: str) -> File:
    try:
        found = entry.stat()
    except FileNotFoundError as error:
        raise DataError(f"{entry.path} links to a file that is not there. Restore it or remove the link.") from error
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"{entry.path} has the name of an image but is not a file. Remove or rename it.")
    # The change time too: two files swapped by renaming keep the times of their contents.
    version = (found.st_mtime_ns, found.st_ctime_ns)
    return File(entry.name, f"{folder}/{entry.name}" if folder else entry.name, found.st_size, version)


class Archive:
    """A zip archive; paths within it are relative to the folder that holds `marker`, whatever that is called."""

    def __init__(self, file: Path, marker: str) -> None:
        self.file, self.marker = file.absolute(), marker
        self._lock = threading.Lock()

    def __str__(self) -> str:
        return str(self.file)

    def exists(self, path: str) -> bool:
        return self._base + path in self._zip.NameToInfo

    def images(self, path: str) -> list[File]:
        """The image files directly in `path`."""
        return self._images_by_folder.get(self._base + path, [])

    def read(self, path: str) -> bytes:
        info = self._zip.NameToInfo[self._base + path]
        if info.file_size > LARGEST_BYTES:
            raise DataError(f"it claims {info.file_size:,} bytes, more than {LARGEST_BYTES:,}")
        try:
            # Threads share the handle: its central directory is too large to be parsed once for each of them.
            # With a number of bytes, for what inflates to more than it claims would else be inflated whole.
            with self._lock, self._zip.open(info) as member:
                content = member.read(info.file_size + 1)
        except UNREADABLE as error:
            raise DataError(" ".join(f"{error}".split()) or type(error).__name__) from error
        if len(content) != info.file_size:  # part of the fingerprint, which its checksum does not cover
            raise DataError(f"it claims {info.file_size:,} bytes and has {len(content):,}")
        return content

    def stamp(self, samples: Callable[[], Sequence[Sample]]) -> str:
        found = self.file.stat()
        return json.dumps([str(self.file), found.st_size, found.st_mtime_ns, found.st_ctime_ns])

    def crc(self, sample: Sample) -> int:
        return sample.version[0]

    @cached_property
    def _zip(self) -> zipfile.ZipFile:
        try:
            opened = zipfile.ZipFile(self.file)
            _check_directory(self.file, opened.filelist)
        except UNREADABLE as error:
            raise DataError(
                f"{self.file} is not a whole zip archive ({error}). Copy or download it again, or remove it."
            ) from error
        _check_members(self.file, opened.filelist)
        twice = len(opened.filelist) - len(opened.NameToInfo)
        if twice:
            raise DataError(f"{self.file} has {twice:,} names more than once: not the official archive. Download that.")
        return opened

    @cached_property
    def _base(self) -> str:
        """The leading folders, with a closing `/`, or nothing."""
        found = [name for name in self._zip.NameToInfo if name.rpartition("/")[2] == self.marker]
        if not found:
            raise DataError(f"{self.file} has no {self.marker}: it is no Tiny ImageNet archive. Give the official one.")
        return min(found, key=lambda name: (name.count("/"), name)).removesuffix(self.marker)

    @cached_property
    def _images_by_folder(self) -> dict[str, list[File]]:
        files: dict[str, list[File]] = {}
        for info in self._zip.NameToInfo.values():
            folder, _, name = info.filename.rpartition("/")
            if is_image(name):
                path = info.filename.removeprefix(self._base)
                files.setdefault(folder, []).append(File(name, path, info.file_size, (info.CRC,)))
        return files


def _check_directory(file: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    """Raise BadZipFile where an image would be passed over unsaid: renamed in the archive's directory, or left out of it."""
    with open(file, "rb", buffering=0) as raw:
        for info in members:
            name = info.orig_filename.encode("utf-8" if info.flag_bits & UTF8 else "cp437")
            if info.header_offset < 0:
                raise zipfile.BadZipFile(f"{info.orig_filename!r} begins before the archive does")
            raw.seek(info.header_offset)
            header = raw.read(HEADER_BYTES + len(name))
            if header[:4] != SIGNATURE or header[HEADER_BYTES:] != name:
                raise zipfile.BadZipFile(f"{info.orig_filename!r} is called otherwise where its content is")
            if ENTRY in info.extra + info.comment:
                raise zipfile.BadZipFile(f"what follows {info.orig_filename!r} in its directory cannot be told apart")


def _check_members(file: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    """Raise DataError for the first member that points out of the archive or is none of a file and a folder."""
    for info in members:
        if trouble := _trouble(info):
            raise DataError(
                f"{file} is refused for its member {info.orig_filename!r}, which {trouble}. Give the official archive, or "
                "pack the images again, as files with plain relative names."
            )


def _trouble(info: zipfile.ZipInfo) -> str | None:
    names = (info.orig_filename, info.filename)  # the latter ends at a NUL, and may come from another field
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if any("\\" in name or "\0" in name for name in names):
        return "has a backslash or a NUL in its name"
    if any(name.startswith("/") or DRIVE.match(name) for name in names):
        return "has an absolute path"
    if any(".." in name.split("/") for name in names):
        return "leads out of its folder"
    return None
