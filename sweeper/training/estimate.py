"""What a model costs on this machine: parameters, FLOPs, memory and seconds, from a few steps that change nothing."""

import math
import time

from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from sweeper.costs import Cost
from sweeper.data import Dataset
from sweeper.data.split import Indices
from sweeper.experiment import Settings
from sweeper.store import Machine
from sweeper.training.feed import Batch
from sweeper.training.loop import Trainer
from sweeper.training.memory import peak_memory_mib

MEASURED_SECONDS = 1.0


def measure(settings: Settings, dataset: Dataset, indices: Indices, machine: Machine) -> Cost:
    """Time training steps on real images for about a second after a warm-up step."""
    trainer = Trainer(settings, dataset, indices, machine)
    at_N = trainer.feed.train_N[: settings.train.batch_size].to(trainer.feed.home)
    batch = Batch(trainer.feed.seen(at_N), trainer.feed.labels_of(at_N))
    trainer.network.train()
    with FlopCounterMode(display=False) as counter:
        trainer.step(batch, settings.train.lr)
    steps, more, seconds, start = 0, 1, 0.0, time.perf_counter()
    while not steps or seconds < MEASURED_SECONDS:
        last_2 = [trainer.step(batch, settings.train.lr) for _ in range(more)][-1]
        last_2.tolist()  # waits for the device: as seldom as may be, for training never does
        steps, seconds = steps + more, time.perf_counter() - start
        more = min(2 * more, math.ceil(steps * (MEASURED_SECONDS / seconds - 1)))
    parameters = sum(parameter.numel() for parameter in trainer.network.parameters())
    peak_mib = peak_memory_mib(trainer.device) if trainer.device.type == "cuda" else _held_mib(trainer)
    return Cost(parameters, counter.get_total_flops() / len(at_N) / 1e9, peak_mib, steps * len(at_N) / seconds)


def _held_mib(trainer: Trainer) -> float:
    """Weights, gradients, what the optimiser keeps of each weight, and the average of the weights."""
    weights = list(trainer.network.parameters())
    held = [*weights, *(weight.grad for weight in weights if weight.grad is not None)]
    held += [kept for state in trainer.optimizer.state.values() for kept in state.values() if isinstance(kept, Tensor)]
    held += trainer.average.network.parameters() if trainer.average else ()
    return sum(tensor.nbytes for tensor in held) / 2**20
