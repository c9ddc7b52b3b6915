"""He initialisation of convolutions."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

__all__ = ["he_init"]

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
