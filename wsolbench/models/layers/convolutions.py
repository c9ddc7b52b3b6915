"""Convolutions of heads, side branches and maps, and how they are initialised."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

__all__ = ["MapConv", "conv_relu", "he_init", "maps_of"]

M = TypeVar("M", bound=nn.Module)


def he_init(module: M) -> M:
    """Draw every convolution's weight from N(0, 2 / fan_in), set its bias to zero, and return the module.

    The fan is the input's, which keeps the forward variance of depthwise convolutions right too. Draws from torch's
    global generator.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return module


def conv_relu(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return a 3x3 convolution with bias, stride 1, padding 1, He-initialised, followed by a ReLU."""
    return he_init(nn.Sequential(nn.Conv2d(in_channels, out_channels, 3, padding=1), nn.ReLU(inplace=True)))


class MapConv(nn.Conv2d):
    """A convolution in its weight's precision, also under autocast: rounding would make plateaus of equal values."""

    def forward(self, features: Tensor) -> Tensor:
        """Turn features ``(B, K, h, w)`` into maps ``(B, C, h, w)``."""
        with torch.autocast(features.device.type, enabled=False):
            return super().forward(features.to(self.weight.dtype))


def maps_of(maps: Tensor, labels: Tensor) -> Tensor:
    """Return each image's map of its label, ``(B, h, w)``, of maps ``(B, C, h, w)`` and labels ``(B,)`` int64."""
    return maps[torch.arange(len(maps), device=maps.device), labels]
