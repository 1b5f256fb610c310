"""A trial's files as its run gets them."""

import hashlib
from pathlib import PurePosixPath

from sweeper.folder import TEMPORARY, Folder
from sweeper.left import Artifacts
from sweeper.tracking.tables import per_class_json
from sweeper.trial import canonical_json

NOT_UPLOADED = ("model.pt",)  # the best one is logged as a model, on the parent run
PER_CLASS = "per_class.json"


def sizes(artifacts: Folder) -> dict[str, int]:
    """The files under a trial's artifacts that its run is to have, as "confusion.csv" or "pictures/confusion.png"."""
    root = PurePosixPath(artifacts.path)
    found = artifacts.fs.find(artifacts.path, maxdepth=2, detail=True)
    names = {str(PurePosixPath(path).relative_to(root)): int(info["size"] or 0) for path, info in found.items()}
    return {name: names[name] for name in sorted(names) if name not in NOT_UPLOADED and not name.endswith(TEMPORARY)}


def fingerprint(artifacts: Folder) -> str:
    """Changes when a file comes, goes or changes its size; a trial's pictures may come long after it has ended."""
    return hashlib.sha256(canonical_json(sizes(artifacts)).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def contents(artifacts: Artifacts) -> dict[str, bytes]:
    """The files by name, with the per-class table in the form of `mlflow.log_table` too. Raises StoreError for a damaged one."""
    there = [name for name in sizes(artifacts) if artifacts.exists(name)]
    files = {name: artifacts.read(name) for name in dict.fromkeys([*there, *(artifacts.checksums or ())])}
    if "per_class.csv" in files:
        files[PER_CLASS] = per_class_json(files["per_class.csv"])
    return files
