"""What a trial left, file by file as its `result.json` says that it was written."""

import hashlib
import os
from collections.abc import Mapping

from sweeper.store.folder import Folder, StoreError
from sweeper.text.commands import command

TABLES = ("per_class.csv", "confusion.csv", "predictions.parquet", "histograms.parquet")
"""The files whose checksums are in `result.json`. Models and pictures carry their own."""

Checksums = Mapping[str, str]


def checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Artifacts(Folder):
    """The `artifacts` of a trial that has ended. Reading one of TABLES raises StoreError unless it is as it was written.

    `checksums` is None for results from before they were kept: files are then taken as they are.
    """

    checksums: Checksums | None = None

    def exists(self, name: str = "") -> bool:
        """Whether the trial left it; what an earlier try left does not count."""
        if self.checksums is None or name not in TABLES:
            return super().exists(name)
        return name in self.checksums

    def read(self, name: str) -> bytes:
        """Raises StoreError also for a link out of this folder, whose content would be published."""
        if self.is_local and os.path.realpath(self.at(name)) != os.path.join(_real(self.path), name):
            raise StoreError(
                f"{self.told(name)} is or lies behind a link to elsewhere. Put the file itself there, or remove it"
            )
        if self.checksums is None or name not in TABLES:
            return super().read(name)
        content = self.checked(name, self._read_if_there(name))
        if content is None:
            raise FileNotFoundError(self.at(name))
        return content

    def checked(self, name: str, content: bytes | None) -> bytes | None:
        """What a file holds, None when the trial did not leave it. Raises StoreError unless it is as it was written."""
        if self.checksums is None or name not in TABLES:
            return content
        if name not in self.checksums:
            return None
        if content is None:
            raise StoreError(f"{self.told(name)} is gone. {remedy(self)}")
        if checksum(content) != self.checksums[name]:
            raise StoreError(f"{self.told(name)} is damaged: its checksum is wrong. {remedy(self)}")
        return content


def _real(artifacts: str) -> str:
    """Where a trial's artifacts lie, were they no link themselves."""
    return os.path.join(os.path.realpath(os.path.dirname(artifacts)), os.path.basename(artifacts))


def remedy(artifacts: Folder) -> str:
    """What its owner can do about a file in a trial's `artifacts` that is not what was written."""
    trial = artifacts.url.rpartition("/")[0]
    storage, name, *_ = trial.rsplit("/", 3)
    return (
        f"Restore it; or remove {trial}/result.json and run `{command('resume', name, storage)}`, which does this trial's work "
        "again."
    )
