"""Checkpoints: plain torch files that show every damage."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeper.store import Folder, StoreError
from sweeper.training import checkpoint

STATE: dict[str, Any] = {
    "model": {"weight": torch.arange(6.0).reshape(2, 3), "steps": torch.tensor(7)},
    "optimizer": {"state": {0: {"momentum_buffer": torch.full((2, 3), 0.1)}}, "param_groups": [{"lr": 0.1}]},
    "history": [{"epoch": 1.0, "val/loss": float("inf")}],
    "best": {"epoch": 1, "weights": None},
}


class Pickled:
    """Not a tensor, nor a plain value."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = Folder(str(tmp_path_factory.mktemp("checkpoints")))
    checkpoint.save(folder, "checkpoint.pt", STATE)
    return folder


def damaged(folder: Folder, content: bytes) -> str:
    """Put `content` in the place of a checkpoint; returns its path."""
    folder.write("damaged.pt", content)
    return folder.at("damaged.pt")


def test_what_is_saved_is_loaded(folder: Folder) -> None:
    state = checkpoint.load(folder, "checkpoint.pt")
    assert str(state) == str(STATE)
    assert torch.equal(state["model"]["weight"], STATE["model"]["weight"])


def test_plain_torch_reads_a_checkpoint(folder: Folder, tmp_path: Path) -> None:
    copy = shutil.copy(folder.at("checkpoint.pt"), tmp_path / "copy.pt")
    assert str(torch.load(copy, weights_only=True)) == str(STATE)


def test_strides_are_kept_for_the_fused_optimizer(folder: Folder) -> None:
    weight = torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last)
    checkpoint.save(folder, "strided.pt", {"weight": weight})
    assert checkpoint.load(folder, "strided.pt")["weight"].stride() == weight.stride()


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_every_flipped_bit_is_noticed(folder: Folder, data: st.DataObject) -> None:
    content = bytearray(folder.read("checkpoint.pt"))
    position = data.draw(st.integers(0, len(content) - 1) | st.integers(len(content) - 80, len(content) - 1))
    content[position] ^= 1 << data.draw(st.integers(0, 7))
    path = damaged(folder, bytes(content))
    with pytest.raises(StoreError, match=path):
        checkpoint.load(folder, "damaged.pt")


def test_every_bit_of_the_checksum_and_its_length_counts(folder: Folder) -> None:
    content = folder.read("checkpoint.pt")
    for position in range(len(content) - 80, len(content)):
        path = damaged(folder, content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        with pytest.raises(StoreError, match=path):
            checkpoint.load(folder, "damaged.pt")


@settings(deadline=None)
@given(st.data())
def test_a_torn_checkpoint_is_noticed(folder: Folder, data: st.DataObject) -> None:
    content = folder.read("checkpoint.pt")
    path = damaged(folder, content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(StoreError, match=f"{path} is damaged.*Remove it"):
        checkpoint.load(folder, "damaged.pt")


def test_more_than_a_checkpoint_is_noticed(folder: Folder) -> None:
    path = damaged(folder, folder.read("checkpoint.pt") + b"\0")
    with pytest.raises(StoreError, match=path):
        checkpoint.load(folder, "damaged.pt")


def test_a_file_of_torch_alone_is_no_checkpoint(folder: Folder) -> None:
    torch.save(STATE, folder.at("plain.pt"))
    with pytest.raises(StoreError, match=r"plain\.pt is damaged"):
        checkpoint.load(folder, "plain.pt")


def test_pickled_objects_are_refused_even_with_a_right_checksum(folder: Folder) -> None:
    checkpoint.save(folder, "pickled.pt", {"object": Pickled()})
    with pytest.raises(StoreError, match=r"pickled\.pt holds more than tensors and plain values"):
        checkpoint.load(folder, "pickled.pt")
