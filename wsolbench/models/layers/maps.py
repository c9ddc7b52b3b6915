"""Per-image normalisation of maps, and bilinear interpolation as two matrix products."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

__all__ = ["min_max", "upsample"]


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


def upsample(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize maps bilinearly, as ``interpolate`` with ``align_corners=False`` does up to rounding.

    That function has no deterministic gradient on CUDA but by a slow way; a matrix product has. Never in less than
    float32, also under autocast: rounding to bfloat16 would make plateaus of equal values.

    Args:
        maps: ``(B, h, w)``, any floating type.
        size: height and width of the result.

    Returns:
        ``(B, *size)``, at least float32.
    """
    maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
    rows, columns = (_weights(old, new, maps) for old, new in zip(maps.shape[1:], size, strict=True))
    with torch.autocast(maps.device.type, enabled=False):
        return rows.mT @ maps @ columns


def _weights(old: int, new: int, like: Tensor) -> Tensor:
    """Return the share of each of ``old`` cells in each of ``new`` ones, ``(old, new)``."""
    with torch.no_grad():
        cells = torch.eye(old, dtype=like.dtype, device=like.device)
        return interpolate(cells[None], new, mode="linear", align_corners=False)[0]
