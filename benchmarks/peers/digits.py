"""The training of the peers in `benchmarks.faults`: a network of one hidden layer on small images, in NumPy, with checkpoints.

NumPy because Ray starts a process for each trial: importing torch in each would take far longer than the training. Images are
read when they are first used. The order of an epoch's images is drawn from its number, so that a trial that goes
on from its checkpoint can end with an undisturbed run's numbers. Each training batch is noted, eight bytes with the process's
id, in the file named by FAULTS_JOURNAL: how much was trained, and by whom, is then known without asking any tool.
"""

import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

JOURNAL, NOTE_BYTES = "FAULTS_JOURNAL", 8
IMAGE_SIZE, BATCH, HIDDEN = 16, 32, 64
Array = NDArray[np.float32]
State = dict[str, Array]
Report = Callable[[int, Mapping[str, float], State], None]


def note_batch() -> None:
    if JOURNAL in os.environ:
        journal = os.open(os.environ[JOURNAL], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(journal, b"%07d\n" % os.getpid())
        os.close(journal)


def read(files: list[Path]) -> tuple[Array, NDArray[np.int64]]:
    """Pixels in [0, 1], shape (N, 768), and labels, which are the folders' names."""
    return np.stack([pixels_of(file) for file in files]), np.array([int(file.parent.name) for file in files])


@cache
def pixels_of(file: Path) -> Array:
    return np.asarray(Image.open(file).convert("RGB"), np.float32).ravel() / np.float32(255)


def beginning() -> State:
    """Weights by He's initialisation, and their velocities."""
    random = np.random.default_rng(0)
    inputs = 3 * IMAGE_SIZE**2
    first, second = random.normal(0, (2 / inputs) ** 0.5, (inputs, HIDDEN)), random.normal(0, 0.1, (HIDDEN, 10))
    weights = {"first": first.astype(np.float32), "second": second.astype(np.float32)}
    still = {f"{name}_velocity": np.zeros_like(values) for name, values in weights.items()}
    return {**weights, **still, "epoch": np.zeros((), np.float32)}


def forward(state: State, pixels_NP: Array, labels_N: Any) -> tuple[float, Array, Array]:
    """The mean cross-entropy, the hidden activations, and the loss's gradient with respect to the logits."""
    hidden_NH = np.maximum(pixels_NP @ state["first"], 0)
    logits_NK = hidden_NH @ state["second"]
    exponents_NK = np.exp(logits_NK - logits_NK.max(1, keepdims=True))
    chances_NK = exponents_NK / exponents_NK.sum(1, keepdims=True)
    loss = -float(np.log(chances_NK[np.arange(len(labels_N)), labels_N]).mean())
    chances_NK[np.arange(len(labels_N)), labels_N] -= 1
    return loss, hidden_NH, chances_NK / len(labels_N)


def step(state: State, files: list[Path], lr: float, momentum: float) -> None:
    """One step of SGD with momentum (Polyak, 1964) on a batch."""
    pixels_NP, labels_N = read(files)
    _, hidden_NH, slopes_NK = forward(state, pixels_NP, labels_N)
    note_batch()
    back_NH = (slopes_NK @ state["second"].T) * (hidden_NH > 0)
    for name, gradient in (("second", hidden_NH.T @ slopes_NK), ("first", pixels_NP.T @ back_NH)):
        state[f"{name}_velocity"] = momentum * state[f"{name}_velocity"] + gradient
        state[name] = state[name] - lr * state[f"{name}_velocity"]


def train(settings: Mapping[str, float], images: Path, epochs: int, report: Report, state: State | None = None) -> None:
    """Train a trial from its beginning or from a state that was reported; tell of every epoch and the state after it."""
    files = sorted(images.glob("*/*.png"))
    order_N = np.random.default_rng(0).permutation(len(files)).tolist()
    cut = len(files) * 4 // 5
    validation = read([files[place] for place in order_N[cut:]])
    state = dict(state) if state else beginning()
    for epoch in range(int(state["epoch"]) + 1, epochs + 1):
        shuffled = np.random.default_rng(epoch).permutation(order_N[:cut]).tolist()
        for start in range(0, cut, BATCH):
            batch = [files[place] for place in shuffled[start : start + BATCH]]
            step(state, batch, settings["lr"], settings["momentum"])
        state["epoch"] = np.array(epoch, np.float32)
        report(epoch, {"epoch": epoch, "val_loss": forward(state, *validation)[0]}, state)
