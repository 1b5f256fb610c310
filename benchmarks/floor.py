"""What a device can do at best, and what a network asks of it: FLOPs count a multiply-add as two."""

import math
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from sweeper.experiment import Named
from sweeper.models import build

SECONDS = 0.5
SIDES = {"cpu": (512, 1024, 2048), "cuda": (4096, 8192)}
Work = tuple[Callable[[], object], int]
"""What to do, and its FLOPs."""


def peak_tflops(dtype: torch.dtype, device: torch.device) -> float:
    """The best rate seen in plain matrix products of some sizes and in a 3 x 3 convolution, half a second each."""
    works = [product(side, dtype, device) for side in SIDES[device.type]]
    return max(_best_tflops(*work, device) for work in [*works, convolution(dtype, device)])


def product(side: int, dtype: torch.dtype, device: torch.device) -> Work:
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return lambda: left @ right, 2 * side**3


def convolution(dtype: torch.dtype, device: torch.device) -> Work:
    images_NCHW, kernels = torch.randn(64, 256, 16, 16), torch.randn(256, 256, 3, 3)
    images, weights = (x.to(device, dtype).to(memory_format=torch.channels_last) for x in (images_NCHW, kernels))
    return lambda: F.conv2d(images, weights, padding=1), 2 * images_NCHW.numel() * kernels[:, 0].numel()


def _best_tflops(action: Callable[[], object], flop: int, device: torch.device) -> float:
    action()
    wait(device)
    best, end = math.inf, time.perf_counter() + SECONDS
    while (start := time.perf_counter()) < end:
        action()
        wait(device)
        best = min(best, time.perf_counter() - start)
    return flop / best / 1e12


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def gflop_an_image(model: Named, size: int, classes: int, batch: int) -> tuple[float, float]:
    """GFLOP an image: of a forward pass, and of forward and backward."""
    network = build(model.name, model.arguments, classes, size)
    images_NCHW, labels_N = torch.zeros(batch, 3, size, size), torch.zeros(batch, dtype=torch.int64)
    with FlopCounterMode(display=False) as forward:
        loss = F.cross_entropy(network(images_NCHW), labels_N)
    with FlopCounterMode(display=False) as backward:
        loss.backward()  # type: ignore[no-untyped-call]
    once = forward.get_total_flops() / batch / 1e9
    return once, once + backward.get_total_flops() / batch / 1e9
