"""What each trial made of each image, read from the sweep folder."""

from collections.abc import Iterable

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sweeper.store import Folder, StoreError, Sweep

COLUMNS = ("split", "sample", "label", "prediction", "confidence")


def predictions_by_trial(sweep: Sweep, keys: Iterable[str]) -> dict[str, pd.DataFrame]:
    """By key, of the trials that left `artifacts/predictions.parquet`: split sample label prediction confidence.

    Raises StoreError that names a damaged file.
    """
    found = ((key, _predictions(sweep.trial(key).artifacts)) for key in keys)
    return {key: frame for key, frame in found if frame is not None}


def _predictions(artifacts: Folder) -> pd.DataFrame | None:
    try:
        content = artifacts.read("predictions.parquet")
    except FileNotFoundError:
        return None
    try:
        return _parsed(content)
    except (ValueError, KeyError, OSError, pa.ArrowException) as error:  # OSError: pages that do not decompress
        where, remedy = (
            artifacts.at("predictions.parquet"),
            "Restore it, or remove the trial's folder to redo its work.",
        )
        raise StoreError(f"{where} is damaged ({error}). {remedy}") from error


def _parsed(content: bytes) -> pd.DataFrame:
    """One thread and only these columns: a thousand small files are read in about a second."""
    table = pq.ParquetFile(pa.BufferReader(content)).read(columns=list(COLUMNS), use_threads=False)
    frame: pd.DataFrame = table.select(COLUMNS).to_pandas(use_threads=False)
    if len(frame) and frame[["label", "prediction"]].astype("int64").to_numpy().min() < 0:
        raise ValueError("a class is negative")
    return frame
