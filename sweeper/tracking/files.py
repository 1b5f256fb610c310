"""A trial's files as its run gets them."""

import hashlib
from collections.abc import Mapping

from sweeper.store import Sweep
from sweeper.store.folder import TEMPORARY, Folder
from sweeper.store.left import Artifacts
from sweeper.text.spreadsheet import harmless_csv
from sweeper.tracking.tables import per_class_json
from sweeper.trial import canonical_json

NOT_UPLOADED = ("model.pt",)  # the best one is logged as a model, on the parent run
PER_CLASS = "per_class.json"
OUR_CSV = ("per_class.csv", "confusion.csv")
ARTIFACTS = "artifacts/"


def sizes(artifacts: Folder) -> dict[str, int]:
    """The files under a trial's artifacts that its run is to have, as "confusion.csv" or "pictures/confusion.png"."""
    return _uploaded(artifacts.files(depth=2))


def _uploaded(sizes: Mapping[str, int]) -> dict[str, int]:
    return {name: sizes[name] for name in sorted(sizes) if name not in NOT_UPLOADED and not name.endswith(TEMPORARY)}


def fingerprint(artifacts: Folder) -> str:
    """Changes when a file comes, goes or changes its size; a trial's pictures may come long after it has ended."""
    return fingerprint_of(sizes(artifacts))


def fingerprints(sweep: Sweep) -> dict[str, str]:
    """The fingerprint of each trial's artifacts by key, by one listing; a trial without files is left out."""
    found: dict[str, dict[str, int]] = {}
    for path, size in sweep.folder.sub("trials").files(depth=4).items():
        key, _, rest = path.partition("/")
        if rest.startswith(ARTIFACTS):
            found.setdefault(key, {})[rest.removeprefix(ARTIFACTS)] = size
    return {key: fingerprint_of(_uploaded(sizes)) for key, sizes in found.items()}


def fingerprint_of(sizes: Mapping[str, int]) -> str:
    """The fingerprint of files by their sizes."""
    return hashlib.sha256(canonical_json(sizes).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def contents(artifacts: Artifacts) -> dict[str, bytes]:
    """The files by name, with the per-class table in the form of `mlflow.log_table` too. Raises StoreError for a damaged one.

    Our own CSV files are for spreadsheets here: in the trial's folder they stay as they are.
    """
    there = [name for name in sizes(artifacts) if artifacts.exists(name)]
    files = {name: artifacts.read(name) for name in dict.fromkeys([*there, *(artifacts.checksums or ())])}
    if "per_class.csv" in files:
        files[PER_CLASS] = per_class_json(files["per_class.csv"])
    return files | {name: harmless_csv(files[name]) for name in OUR_CSV if name in files}
