"""Per-image normalisation of maps."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["min_max"]


def min_max(maps: Tensor) -> Tensor:
    """Scale each map linearly so that its minimum becomes 0 and its maximum 1.

    Args:
        maps: ``(B, h, w)``, any floating type and range.

    Returns:
        ``(B, h, w)`` in [0, 1], at least float32. A constant map, which has no scale, becomes all 0: it points nowhere.
    """
    maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
    low = maps.amin((1, 2), keepdim=True)
    span = maps.amax((1, 2), keepdim=True) - low
    return (maps - low) / torch.where(span > 0, span, torch.ones_like(span))
