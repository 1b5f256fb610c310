"""Images a second that reach the network: this project's feed against torchvision's ImageFolder and DataLoader.

    python -m benchmarks.loader [--root PATH] [--rounds 5]

Both sides go through the same 4,000 training images of Tiny Image10 at 64 px in batches of 64, with random crops of images
padded by 8 pixels, flips and normalisation, until every batch lies in memory as float32; nothing trains.

- sweeper: the trainer's own feed over the memory-mapped uint8 arrays, in this process with as many threads as the peer
  has workers, and with the one thread that a trial has by default. What is paid once before, decoding all 5,500 images
  out of the archive into an empty cache, is timed and told apart.
- torchvision: ImageFolder over the same JPEGs as files, RandomCrop, RandomHorizontalFlip, ToTensor and Normalize in
  workers that persist from epoch to epoch.

The sides take turns; told is the median. Target: ten times or more after the first decode.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from benchmarks.images import ROOT_HELP, Images, prepared, write_folders
from benchmarks.peers.training import training_transform
from benchmarks.sides import in_turns, ratio, timed, verdict
from sweeper.training.feed import Feed

BATCH, TARGET = 64, 10.0


def our_epoch(feed: Feed, threads: int) -> None:
    torch.set_num_threads(threads)
    for batch in feed.epoch(feed.slices(BATCH), torch.Generator().manual_seed(0)):
        assert batch.images_NCHW.dtype == torch.float32


def peer_epoch(loader: "DataLoader[tuple[torch.Tensor, torch.Tensor]]") -> None:
    for images_NCHW, _ in loader:
        assert images_NCHW.dtype == torch.float32


def peer_loader(folder: Path, workers: int) -> "DataLoader[tuple[torch.Tensor, torch.Tensor]]":
    images = ImageFolder(str(folder / "train"), training_transform())
    return DataLoader(images, BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0)


def sides(images: Images, folder: Path, workers: int) -> dict[str, Callable[[], None]]:
    feed = Feed(images.data, images.dataset, images.indices, torch.device("cpu"))
    return {
        "torchvision": partial(peer_epoch, peer_loader(folder, workers)),
        "sweeper": partial(our_epoch, feed, max(1, workers)),
        "sweeper, one thread": partial(our_epoch, feed, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", help=ROOT_HELP)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2, help="the DataLoader's")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        cache, folder = Path(temporary, "cache"), Path(temporary, "folder")
        first_seconds = timed(lambda: prepared(options.root, cache))
        again_seconds = timed(lambda: prepared(options.root, cache))
        images = prepared(options.root, cache)
        write_folders(images, folder)
        seconds = in_turns(sides(images, folder, options.workers), options.rounds)
    decoded = len(images.dataset.labels_N)
    print(f"first decode of {decoded:,} images: {first_seconds:.2f} s, {decoded / first_seconds:,.0f} images/s")
    print(f"opened again: {again_seconds * 1000:.1f} ms")
    for name, times in seconds.items():
        rate = len(images.indices.train_N) / statistics.median(times)
        print(f"{name:20} {rate:8,.0f} images/s   {ratio(seconds, 'torchvision', name):5.1f} times torchvision's")
    print(verdict("sweeper / torchvision", ratio(seconds, "torchvision", "sweeper"), TARGET, at_least=True))


if __name__ == "__main__":
    main()
