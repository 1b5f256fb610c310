"""How weights and activations are spread, layer by layer and epoch by epoch, in `histograms.parquet`. Legend: B bins.

One row an epoch, kind ("weight" or "activation") and layer: `low` and `high` are the outer edges of equal bins,
`counts` the numbers in each. Activations are those of a fixed batch in evaluation mode. The file's metadata hold the
SHA-256 of its rows, for it is written anew at every epoch.
"""

import hashlib
import io
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor, nn

from sweeper.store import Folder, StoreError
from sweeper.store.left import checksum

BINS = 64
FILE, SEAL = "histograms.parquet", b"sha256"
SCHEMA = pa.schema(
    [
        ("epoch", pa.int64()),
        ("kind", pa.string()),
        ("layer", pa.string()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("counts", pa.list_(pa.int64())),
    ]
)


def add(folder: Folder, epoch: int, network: nn.Module, images_NCHW: Tensor) -> None:
    """Add an epoch's rows; what a process that was killed later has written of this epoch and after is replaced.

    Raises StoreError when the earlier epochs' are damaged.
    """
    rows = [row for row in read(folder) if row["epoch"] < epoch]
    rows += [{"epoch": epoch, **row} for row in (*weights(network), *activations(network, images_NCHW))]
    buffer = io.BytesIO()
    table = pa.Table.from_pylist(rows, SCHEMA.with_metadata({SEAL: _digest(rows)}))
    pq.write_table(table, buffer, compression="zstd")
    folder.write(FILE, buffer.getvalue())


def read(folder: Folder) -> list[dict[str, Any]]:
    """The rows that were kept, none when there is no file. Raises StoreError that names a damaged file."""
    if not folder.exists(FILE):
        return []
    try:
        table = pq.ParquetFile(pa.BufferReader(folder.read(FILE))).read(use_threads=False)
        rows: list[dict[str, Any]] = table.to_pylist()
        if (table.schema.metadata or {}).get(SEAL, _digest(rows)) != _digest(rows):
            raise ValueError("its checksum is wrong")
    except StoreError:
        raise
    except (ValueError, TypeError, OSError, MemoryError, pa.ArrowException) as error:
        told = f"{folder.at(FILE)} is damaged ({error}). Restore it, or remove it to do without its histograms."
        raise StoreError(told) from error
    return rows


def checksums(folder: Folder) -> dict[str, str]:
    """The file's SHA-256 by its name, where it was written. Raises StoreError when it is damaged."""
    return {FILE: checksum(folder.read(FILE))} if read(folder) else {}


def _digest(rows: list[dict[str, Any]]) -> bytes:
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest().encode()


def weights(network: nn.Module) -> Iterator[dict[str, Any]]:
    """Of every parameter, biases and normalisations too, by its name in the network; without the epoch."""
    for name, parameter in network.named_parameters():
        yield {"kind": "weight", "layer": name, **binned(parameter.detach())}


@torch.no_grad()
def activations(network: nn.Module, images_NCHW: Tensor) -> Iterator[dict[str, Any]]:
    """Of every layer that has no layers inside it, in the order in which they are called."""
    found: dict[str, dict[str, Any]] = {}
    leaves = [(name, layer) for name, layer in network.named_modules() if not list(layer.children())]
    hooks = [layer.register_forward_hook(partial(_note, found, name)) for name, layer in leaves]
    network.eval()
    try:
        network(images_NCHW)
    finally:
        for hook in hooks:
            hook.remove()
    for name, counted in found.items():
        yield {"kind": "activation", "layer": name, **counted}


def _note(found: dict[str, dict[str, Any]], name: str, layer: nn.Module, given: object, output: object) -> None:
    """Counted at once: the next layer may write into it, and all layers' together would be gigabytes.

    A layer that is called again is "name (2)", and so on.
    """
    if isinstance(output, Tensor):
        called = sum(known.partition(" (")[0] == name for known in found)
        found[f"{name} ({called + 1})" if called else name] = binned(output)


def binned(values: Tensor) -> dict[str, Any]:
    """The outer edges and the counts of B equal bins over the finite values."""
    finite = values.float().flatten()
    finite = finite[finite.isfinite()]
    low, high = (finite.min().item(), finite.max().item()) if len(finite) else (0.0, 0.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    at = ((finite - low) * (BINS / (high - low))).long().clamp_(0, BINS - 1)
    return {"low": low, "high": high, "counts": torch.bincount(at, minlength=BINS).tolist()}
