"""What `fit`'s epoch costs beyond its arithmetic: the same steps by a bare hand-written loop, measured side by side.

    python benchmarks/training_loop.py [--root shared/data/tiny-imagenet-10.zip] [--rounds 5]

Compact AlexNet, 64 px, batch 64, bfloat16, one thread, SGD with momentum. Each round trains an epoch of each over 640 images;
told is the median of the rounds' ratios. The bare loop indexes, normalises, goes forward and backward and takes a fused step,
and nothing else; so it is compared with an epoch without augmentation, and the augmented epoch is told beside it.
"""

import argparse
import statistics
import time

import torch
import torch.nn.functional as F

from models import build
from sweeper.data import Dataset, default_cache, prepare
from sweeper.data.split import Indices, split
from sweeper.experiment import Data, Settings, Train, named_of
from sweeper.store import Machine
from sweeper.training.loop import Trainer

MODEL = {"name": "alexnet", "compact": True}
TRAIN = Train(batch_size=64, lr=0.01, loss="cross_entropy", schedule="constant", precision="bfloat16")


class Bare:
    """The loop that one would write for this experiment alone."""

    def __init__(self, dataset: Dataset, indices: Indices) -> None:
        torch.manual_seed(0)
        self.images_NCHW, self.labels_N = (
            torch.from_numpy(dataset.images_NCHW),
            torch.from_numpy(dataset.labels_N.copy()),
        )
        self.train_N = torch.from_numpy(indices.train_N)
        arguments = {name: value for name, value in MODEL.items() if name != "name"}
        network = build("alexnet", arguments, len(dataset.classes), 64)
        self.network = network.to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.01, momentum=0.9, fused=True)
        self.mean_C11 = torch.tensor([0.485, 0.456, 0.406])[:, None, None] * 255
        self.scale_C11 = 1 / (torch.tensor([0.229, 0.224, 0.225])[:, None, None] * 255)

    def epoch(self) -> None:
        self.network.train()
        order_N = self.train_N[torch.randperm(len(self.train_N))]
        for at_N in order_N.split(64):
            images_NCHW = (self.images_NCHW[at_N] - self.mean_C11) * self.scale_C11
            with torch.autocast("cpu", torch.bfloat16):
                logits_NK = self.network(images_NCHW.to(memory_format=torch.channels_last))
            loss = F.cross_entropy(logits_NK.float(), self.labels_N[at_N])
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()


def trainer(dataset: Dataset, indices: Indices, data: Data) -> Trainer:
    machine = Machine("cpu", "", "bfloat16", threads=1, window=1)
    return Trainer(Settings(data, named_of(MODEL), TRAIN, 0), dataset, indices, machine)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default="shared/data/tiny-imagenet-10.zip", help="Tiny ImageNet, whole or cut")
    parser.add_argument("--rounds", type=int, default=12)
    options = parser.parse_args()
    data = Data("tiny-image10", root=options.root, augment=())
    dataset = prepare(data, default_cache())
    indices = split(dataset, data.split)
    indices = Indices(indices.train_N[::6][:640], indices.val_N, indices.test_N)
    plain = trainer(dataset, indices, data)
    augmented = trainer(dataset, indices, Data("tiny-image10", root=options.root))
    bare = Bare(dataset, indices)
    epochs = {
        "bare": bare.epoch,
        "fit": lambda: plain.train_epoch(1, ()),
        "fit with crops and flips": lambda: augmented.train_epoch(1, ()),
    }
    seconds: dict[str, list[float]] = {name: [] for name in epochs}
    for _ in range(options.rounds + 1):
        for name, epoch in epochs.items():
            start = time.perf_counter()
            epoch()
            seconds[name].append(time.perf_counter() - start)
    for name, times in seconds.items():
        median = statistics.median(times[1:])  # the first warms up
        ratio = statistics.median(one / other for one, other in zip(times[1:], seconds["bare"][1:], strict=True))
        rate = len(indices.train_N) / median
        print(f"{name:26} {median:6.2f} s an epoch   {rate:7,.0f} images/s   {ratio:.3f} of bare")


if __name__ == "__main__":
    main()
