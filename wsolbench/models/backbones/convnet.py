"""A small convolutional network for the embedded data set, trained from scratch."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from wsolbench.config.ranges import Positive
from wsolbench.errors import WeightsError
from wsolbench.models.backbones.base import Backbone
from wsolbench.models.layers.convolutions import he_init

__all__ = ["ConvNet"]


class ConvNet(Backbone):
    """Four 3x3 convolutions in three stages, two poolings, and a 1x1 neck; every one with BN and ReLU.

    ``conv1`` (one convolution, pooling), ``conv2`` (two, pooling), ``conv3`` (one), ``neck`` (1x1): stride 4, so
    16 x 16 cells at 64 pixels, and a receptive field of 22 pixels. That is small on purpose: a field that covers the
    image makes every method's map a blob around the most discriminative part. The neck, which stands for the
    convolution that CAM adds to a classifier, is 1x1 for the same reason; it gives features that a method erases after
    ``conv3`` something to pass through before they are pooled. The network and its points are ours; nothing about it
    is published.

    Args:
        weights: must be None: there are no pretrained weights.
        width: channels of ``conv1``; ``conv2`` has twice, ``conv3`` four and ``neck`` eight times as many.

    Raises:
        WeightsError: a weight file is given.
    """

    reference = "ours"

    def __init__(self, weights: Path | None = None, *, width: Positive = 16) -> None:
        if weights is not None:
            raise WeightsError(f"convnet has no weights to load ({weights} was given); set the track's weights: null")
        channels = {"conv1": width, "conv2": 2 * width, "conv3": 4 * width, "neck": 8 * width}
        stages = {
            "conv1": nn.Sequential(*_conv(3, width), nn.MaxPool2d(2)),
            "conv2": nn.Sequential(*_conv(width, 2 * width), *_conv(2 * width, 2 * width), nn.MaxPool2d(2)),
            "conv3": nn.Sequential(*_conv(2 * width, 4 * width)),
            "neck": nn.Sequential(*_conv(4 * width, 8 * width, kernel=1)),
        }
        super().__init__(
            stages,
            channels,
            stride=4,
            erase_points=("conv3",),
            side_points=("conv2", "conv3"),
            neck="neck",
        )
        he_init(self)


def _conv(in_channels: int, out_channels: int, kernel: int = 3) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    ]
