"""What each trial made of each image, read from the sweep folder."""

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sweeper.store import Record, StoreError, Sweep
from sweeper.store.left import Artifacts, remedy

COLUMNS = ("split", "sample", "label", "prediction", "confidence")


class StoredPredictions(Mapping[str, pd.DataFrame]):
    """By key, of the trials that left `artifacts/predictions.parquet`: split sample label prediction confidence.

    Each table is read when it is asked for, and not kept: of a thousand trials on 10,000 images they are gigabytes.
    Reading one raises StoreError that names a damaged file.
    """

    def __init__(self, sweep: Sweep, records: Sequence[Record]) -> None:
        self.sweep, self.results = sweep, {record.trial.key: record.result for record in records}

    def __getitem__(self, key: str) -> pd.DataFrame:
        frame = _predictions(self._left(key))
        if frame is None:
            raise KeyError(key)
        return frame

    def __iter__(self) -> Iterator[str]:
        return (key for key in self.results if self._left(key).exists("predictions.parquet"))

    def _left(self, key: str) -> Artifacts:
        return self.sweep.trial(key).left(self.results[key])

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _predictions(artifacts: Artifacts) -> pd.DataFrame | None:
    try:
        content = artifacts.read("predictions.parquet")
    except FileNotFoundError:
        return None
    try:
        return _parsed(content)
    except (ValueError, KeyError, OSError, pa.ArrowException) as error:  # OSError: pages that do not decompress
        where = artifacts.told("predictions.parquet")
        raise StoreError(f"{where} is damaged ({error}). {remedy(artifacts)}") from error


def _parsed(content: bytes) -> pd.DataFrame:
    """One thread and only these columns: a thousand small files are read in about a second."""
    table = pq.ParquetFile(pa.BufferReader(content)).read(columns=list(COLUMNS), use_threads=False)
    frame: pd.DataFrame = table.select(COLUMNS).to_pandas(use_threads=False)
    if any((frame[name].astype("int64") < 0).any() for name in ("label", "prediction")):
        raise ValueError("a class is negative")
    return frame
