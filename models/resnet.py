"""Residual networks (He et al. 2016), as torchvision builds them; the small stem is for images of 32-64 px.

Legend: N images, S pixels a side, K classes, C channels out of the last stage (512, in ResNet-50 2048).
    imagenet stem, 7 x 7 stride 2 and a pool: images (N, 3, S, S) -> (N, 64, S/4, S/4) -> (N, C, S/32, S/32)
    small stem, 3 x 3 stride 1:               images (N, 3, S, S) -> (N, 64, S, S)     -> (N, C, S/8, S/8)
    averaged to (N, C) -> logits (N, K)
"""

from typing import Literal

from torch import Tensor, nn

from sweeper.models.layers import convolution

Stem = Literal["imagenet", "small"]


def resnet18(classes: int, *, stem: Stem = "imagenet") -> nn.Module:
    """ResNet-18; 11.7 M parameters for 1,000 classes. No image is too small for it."""
    return ResNet(Basic, (2, 2, 2, 2), classes, stem)


def resnet34(classes: int, *, stem: Stem = "imagenet") -> nn.Module:
    """ResNet-34; 21.8 M parameters for 1,000 classes. No image is too small for it."""
    return ResNet(Basic, (3, 4, 6, 3), classes, stem)


def resnet50(classes: int, *, stem: Stem = "imagenet") -> nn.Module:
    """ResNet-50, version 1.5; 25.6 M parameters for 1,000 classes. No image is too small for it."""
    return ResNet(Bottleneck, (3, 4, 6, 3), classes, stem)


class Basic(nn.Module):
    """Two 3 x 3 convolutions and what goes past them; `downsample` brings that to the same shape."""

    expansion = 1

    def __init__(self, channels_in: int, channels: int, stride: int, downsample: nn.Module | None) -> None:
        super().__init__()
        self.conv1, self.bn1 = convolution(channels_in, channels, 3, stride), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = convolution(channels, channels, 3), nn.BatchNorm2d(channels)
        self.relu, self.downsample = nn.ReLU(inplace=True), downsample

    def forward(self, inputs_NCHW: Tensor) -> Tensor:
        outputs_NCHW = self.relu(self.bn1(self.conv1(inputs_NCHW)))
        outputs_NCHW = self.bn2(self.conv2(outputs_NCHW))
        past_NCHW = inputs_NCHW if self.downsample is None else self.downsample(inputs_NCHW)
        joined_NCHW: Tensor = self.relu(outputs_NCHW + past_NCHW)
        return joined_NCHW


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions, the last to four times the channels; the stride is the second's."""

    expansion = 4

    def __init__(self, channels_in: int, channels: int, stride: int, downsample: nn.Module | None) -> None:
        super().__init__()
        self.conv1, self.bn1 = convolution(channels_in, channels, 1), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = convolution(channels, channels, 3, stride), nn.BatchNorm2d(channels)
        self.conv3, self.bn3 = convolution(channels, 4 * channels, 1), nn.BatchNorm2d(4 * channels)
        self.relu, self.downsample = nn.ReLU(inplace=True), downsample

    def forward(self, inputs_NCHW: Tensor) -> Tensor:
        outputs_NCHW = self.relu(self.bn1(self.conv1(inputs_NCHW)))
        outputs_NCHW = self.relu(self.bn2(self.conv2(outputs_NCHW)))
        outputs_NCHW = self.bn3(self.conv3(outputs_NCHW))
        past_NCHW = inputs_NCHW if self.downsample is None else self.downsample(inputs_NCHW)
        joined_NCHW: Tensor = self.relu(outputs_NCHW + past_NCHW)
        return joined_NCHW


class ResNet(nn.Module):
    """A stem, four stages of `blocks` blocks, an average over all positions and a linear map; named as in torchvision."""

    def __init__(self, block: type[Basic | Bottleneck], blocks: tuple[int, int, int, int], classes: int, stem: Stem):
        super().__init__()
        is_small = stem == "small"
        self.conv1 = convolution(3, 64, 3) if is_small else convolution(3, 64, 7, stride=2)
        self.bn1, self.relu = nn.BatchNorm2d(64), nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if is_small else nn.MaxPool2d(3, stride=2, padding=1)
        wide = block.expansion
        self.layer1 = _stage(block, 64, 64, blocks[0], stride=1)
        self.layer2 = _stage(block, 64 * wide, 128, blocks[1], stride=2)
        self.layer3 = _stage(block, 128 * wide, 256, blocks[2], stride=2)
        self.layer4 = _stage(block, 256 * wide, 512, blocks[3], stride=2)
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(512 * wide, classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images_NCHW: Tensor) -> Tensor:
        features_NCHW = self.maxpool(self.relu(self.bn1(self.conv1(images_NCHW))))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            features_NCHW = stage(features_NCHW)
        logits_NK: Tensor = self.fc(self.avgpool(features_NCHW).flatten(1))
        return logits_NK


def _stage(block: type[Basic | Bottleneck], channels_in: int, channels: int, count: int, stride: int) -> nn.Sequential:
    channels_out = channels * block.expansion
    downsample = None
    if stride != 1 or channels_in != channels_out:
        downsample = nn.Sequential(convolution(channels_in, channels_out, 1, stride), nn.BatchNorm2d(channels_out))
    first = block(channels_in, channels, stride, downsample)
    return nn.Sequential(first, *(block(channels_out, channels, 1, None) for _ in range(count - 1)))
