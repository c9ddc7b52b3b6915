"""Maps of all classes by a convolution, and the one of a label."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["MapConv", "maps_of"]


class MapConv(nn.Conv2d):
    """A convolution in its weight's precision, also under autocast: rounding would make plateaus of equal values."""

    def forward(self, features: Tensor) -> Tensor:
        """Turn features ``(B, K, h, w)`` into maps ``(B, C, h, w)``."""
        with torch.autocast(features.device.type, enabled=False):
            return super().forward(features.to(self.weight.dtype))


def maps_of(maps: Tensor, labels: Tensor) -> Tensor:
    """Return each image's map of its label, ``(B, h, w)``, of maps ``(B, C, h, w)`` and labels ``(B,)`` int64."""
    return maps[torch.arange(len(maps), device=maps.device), labels]
