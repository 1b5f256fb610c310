"""Files that would run code if they were unpickled: refused in a sentence, and the code never runs."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sweeper.data import DataError, dataset, open_prepared, prepare
from sweeper.experiment import Data, named_of
from sweeper.store import Folder, StoreError
from sweeper.store.seals import opened_json, sealed_json
from sweeper.training import checkpoint
from sweeper.training.classifier import load_classifier


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[[str], Any], tuple[str]]:
        return (_run, (str(self.canary),))


def _run(canary: str) -> str:
    Path(canary).write_text("it ran")
    return canary


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


def test_the_trap_works(canary: Path) -> None:
    pickle.loads(pickle.dumps(Evil(canary)))
    assert canary.exists()


@pytest.mark.parametrize("name", ["checkpoint.pt", "model.pt"])
def test_a_trap_in_a_file_of_torch_with_a_right_checksum(name: str, tmp_path: Path, canary: Path) -> None:
    folder = Folder(str(tmp_path))
    checkpoint.save(folder, name, {"model": {"name": "alexnet", "weights": Evil(canary)}})
    with pytest.raises(StoreError, match=rf"{name} holds more than tensors and plain values, and was not loaded"):
        load_classifier(folder, named_of({"name": "alexnet"})) if name == "model.pt" else checkpoint.load(folder, name)
    assert not canary.exists()


def made(canary: str, classes: int) -> None:
    _run(canary)


@pytest.mark.parametrize("is_the_trial_s", [False, True])
def test_a_model_that_names_a_callable_which_the_sweep_s_file_does_not(
    is_the_trial_s: bool, tmp_path: Path, canary: Path
) -> None:
    folder, evil = Folder(str(tmp_path)), {"name": f"{__name__}:made", "canary": str(canary)}
    checkpoint.save(folder, "model.pt", {"model": evil, "classes": ["a", "b"], "image_size": 8, "weights": {}})
    with pytest.raises(StoreError, match="does not name" if is_the_trial_s else "another network"):
        load_classifier(folder, named_of(evil if is_the_trial_s else {"name": "alexnet"}), {"own:network"})
    assert not canary.exists()


@pytest.mark.parametrize("name", ["images.npy", "labels.npy"])
def test_a_trap_in_the_cache_with_right_checksums(name: str, tmp_path: Path, canary: Path) -> None:
    data = Data("digits", image_size=8, classes=2)
    folder = prepare(data, tmp_path / "cache").folder
    trap = np.empty(2, dtype=object)
    trap[:] = [Evil(canary)] * 2
    np.save(folder / name, trap, allow_pickle=True)
    about = opened_json((folder / "about.json").read_bytes())
    about.pop("sha256", None)
    about |= {"checksums": dataset.checksums(folder)}
    about["bytes"][name] = (folder / name).stat().st_size
    (folder / "about.json").write_bytes(sealed_json(about))
    with pytest.raises(DataError, match=r"Python objects|Object arrays|allow_pickle"):
        open_prepared(folder)
    assert len(prepare(data, tmp_path / "cache").labels_N) == 360
    assert not canary.exists()


def test_a_trap_in_a_table_of_predictions(tmp_path: Path, canary: Path) -> None:
    """Arrow's extension types once were unpickled from a file's metadata."""
    metadata = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(Evil(canary)),
    }
    field = pa.field("confidence", pa.int64(), metadata=metadata)
    file = io.BytesIO()
    pq.write_table(pa.table([pa.array([1])], schema=pa.schema([field])), file)
    pq.read_table(io.BytesIO(file.getvalue())).to_pandas()
    assert not canary.exists()
