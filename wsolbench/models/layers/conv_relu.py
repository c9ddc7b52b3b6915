"""The 3x3 convolution that heads and side branches are made of."""

from __future__ import annotations

from torch import nn

from wsolbench.models.layers.he_init import he_init

__all__ = ["conv_relu"]


def conv_relu(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return a 3x3 convolution with bias, stride 1, padding 1, He-initialised, followed by a ReLU."""
    return he_init(nn.Sequential(nn.Conv2d(in_channels, out_channels, 3, padding=1), nn.ReLU(inplace=True)))
