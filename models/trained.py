"""torchvision's trained weights in a network for other classes, whose last layer begins anew."""

import difflib
import hashlib
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from http.client import HTTPException
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from sweeper.models.registry import ModelError, WeightsFileError

if TYPE_CHECKING:
    from torch import nn

AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")  # layers of googlenet and inception_v3 that are not trained here
STALL_SECONDS = 60.0
HASHED = re.compile(r"-([0-9a-f]{8,})\.")
IMAGENET_MEAN = (0.485, 0.456, 0.406)
DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(?=\d)")  # its files are older than the names of its layers


def start_from(network: "nn.Module", name: str, given: Any, classes: int) -> None:
    """Put torchvision's weights `given` ("IMAGENET1K_V1") of its classifier `name` into that, made for `classes` outputs.

    What makes the logits keeps its initial weights, unless it has as many outputs as were trained. A file that is not in torch's
    cache (`TORCH_HOME`) is downloaded. Raises ModelError for weights that torchvision has not and for a network that they do not
    fit, WeightsFileError for a file that cannot be had or read.
    """
    weights = _weights(name, given)
    state, shapes = _state(name, weights), {key: tuple(value.shape) for key, value in network.state_dict().items()}
    for key in list(state):
        if (renamed := DENSENET.sub(r"\1", key)) != key:
            state[renamed] = state.pop(key)
    begun_anew = [key for key in state if key in shapes and shapes[key] != state[key].shape]
    for key in begun_anew:
        had = tuple(state.pop(key).shape)
        if shapes[key] != (classes, *had[1:]) or had[0] != len(weights.meta["categories"]):
            raise ModelError(
                f"torchvision.{name}: `{key}` is {shapes[key]} here and {had} in the weights {weights.name}, trained at "
                f"{weights.transforms().crop_size[0]} px. Leave out arguments that change layers, or give images of that size"
            )
    missing, unexpected = network.load_state_dict(state, strict=False)
    unmatched = set(missing) ^ set(begun_anew) | {key for key in unexpected if not key.startswith(AUXILIARY)}
    if unmatched:
        raise ModelError(
            f"torchvision.{name}: the weights {weights.name} have other layers: {', '.join(sorted(unmatched))}"
        )


def _weights(name: str, given: Any) -> Any:
    """A member of torchvision's enumeration of a classifier's weights; those without a last layer, of VGG, are left out."""
    from torchvision.models import get_model_weights

    members = get_model_weights(name)
    known = {one.name: one for one in members if one.meta["categories"]}
    if isinstance(given, str) and given in known:
        mean = known[given].transforms().mean
        if tuple(mean) != IMAGENET_MEAN:
            raise ModelError(
                f"torchvision.{name}: {given} saw pixels of mean {mean}, which no `data.normalisation` makes"
            )
        return known[given]
    if given == "DEFAULT":
        hint = f"that changes with torchvision, and a trial would not be the same; now it is {members.DEFAULT.name}"
    else:
        near = difflib.get_close_matches(str(given).upper(), known, 1)
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
    raise ModelError(f"torchvision.{name} has no weights `{given}`; {hint}")


def _state(name: str, weights: Any) -> Any:
    """The file's tensors by name, with the versions of their modules."""
    from torch import hub

    file = Path(hub.get_dir(), "checkpoints", weights.url.rpartition("/")[2])
    try:
        _check_digest(file)
        with redirect_stdout(sys.stderr), _impatient():  # torch tells of a download, and would wait for ever
            return weights.get_state_dict(progress=False, check_hash=True, map_location="cpu", weights_only=True)
    except (OSError, HTTPException) as error:
        raise WeightsFileError(
            f"torchvision.{name}: the weights {weights.name} cannot be had from {weights.url} ({error}). Where there is no "
            f"network, put that file at {file}"
        ) from error
    except (RuntimeError, UnpicklingError, EOFError) as error:
        what = f"{file} is not what {weights.url} holds ({error}). Remove it and run again"
        if not file.exists():
            what = f"what came from {weights.url} was cut off or is not it ({error}). Run again, or put that file at {file}"
        raise WeightsFileError(f"torchvision.{name}: {what}") from error


@contextmanager
def _impatient() -> Iterator[None]:
    """A time limit for each wait of sockets that are made meanwhile."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALL_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _check_digest(file: Path) -> None:
    """Raise RuntimeError when a file's SHA-256 does not begin as its name says, as torch does of what it has just downloaded."""
    digits = HASHED.search(file.name)
    if not digits or not file.exists():
        return
    with file.open("rb") as content:
        if not hashlib.file_digest(content, "sha256").hexdigest().startswith(digits[1]):
            raise RuntimeError("its SHA-256 is not the one in its name")
