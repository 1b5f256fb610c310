"""The training that both peers share: plain PyTorch as it is commonly written, in float32, over ImageFolder and DataLoader.

It knows nothing of the project but the network, which has to be the same on both sides.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from sweeper.models import build

IMAGE_SIZE, BATCH, STEP_SIZE = 64, 64, 1
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Loader = DataLoader[tuple[Tensor, Tensor]]
Report = Callable[[int, Mapping[str, float]], None]


def training_transform() -> transforms.Compose:
    steps = [
        transforms.RandomCrop(IMAGE_SIZE, padding=IMAGE_SIZE // 8),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, DEVIATION),
    ]
    return transforms.Compose(steps)


def loaders(images: Path, workers: int) -> tuple[Loader, Loader, Loader]:
    """Of training, validation and test images. Workers persist over the epochs of a trial."""
    plain = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, DEVIATION)])
    train = ImageFolder(str(images / "train"), training_transform())
    return (
        DataLoader(train, BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0),
        DataLoader(ImageFolder(str(images / "val"), plain), 256, num_workers=workers, persistent_workers=workers > 0),
        DataLoader(ImageFolder(str(images / "test"), plain), 256),
    )


def train(settings: Mapping[str, float], images: Path, epochs: int, workers: int, report: Report) -> dict[str, float]:
    """Train a trial, tell of every epoch, and return its best validation and its last test accuracy."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    train_loader, val_loader, test_loader = loaders(images, workers)
    classes = len(train_loader.dataset.classes)  # type: ignore[attr-defined]
    network = build("alexnet", {"compact": True}, classes, IMAGE_SIZE)
    optimizer = torch.optim.SGD(network.parameters(), lr=settings["lr"], momentum=settings["momentum"])
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, STEP_SIZE, settings["gamma"])
    best = 0.0
    for epoch in range(1, epochs + 1):
        metrics = train_epoch(network, train_loader, optimizer)
        metrics["val_top1"] = accuracy(network, val_loader)
        best = max(best, metrics["val_top1"])
        report(epoch, metrics)
        scheduler.step()
    return {"val_top1": best, "test_top1": accuracy(network, test_loader)}


def train_epoch(network: nn.Module, loader: Loader, optimizer: torch.optim.Optimizer) -> dict[str, float]:
    network.train()
    criterion = nn.CrossEntropyLoss()
    loss_sum, hits, seen = 0.0, 0, 0
    for images_NCHW, labels_N in loader:
        optimizer.zero_grad()
        logits_NK = network(images_NCHW)
        loss = criterion(logits_NK, labels_N)
        loss.backward()
        optimizer.step()
        loss_sum += loss.item() * len(labels_N)
        hits += int((logits_NK.argmax(1) == labels_N).sum().item())
        seen += len(labels_N)
    return {"train_loss": loss_sum / seen, "train_top1": hits / seen}


@torch.no_grad()
def accuracy(network: nn.Module, loader: Loader) -> float:
    network.eval()
    hits = seen = 0
    for images_NCHW, labels_N in loader:
        hits += int((network(images_NCHW).argmax(1) == labels_N).sum().item())
        seen += len(labels_N)
    return hits / seen
