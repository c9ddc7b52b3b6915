"""Maps as interleaved phases: what a filter of dilation n sees is every n-th cell, one phase at a time."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

__all__ = ["merge_phases", "shifted", "split_phases"]


def split_phases(x: Tensor, distance: int) -> Tensor:
    """Turn ``(B, C, n h, n w)`` into ``(n n B, C, h, w)``: every n-th cell from each of n x n origins, row by row."""
    if distance == 1:
        return x
    return torch.cat([x[:, :, i::distance, j::distance] for i in range(distance) for j in range(distance)])


def merge_phases(x: Tensor, distance: int) -> Tensor:
    """Undo :func:`split_phases`."""
    if distance == 1:
        return x
    phases, (channels, height, width) = distance * distance, x.shape[1:]
    grid = x.view(distance, distance, len(x) // phases, channels, height, width)
    return grid.permute(2, 3, 4, 0, 5, 1).reshape(-1, channels, height * distance, width * distance)


def shifted(x: Tensor) -> Tensor:
    """Return ``x`` moved up and left by 0 or 1 cell, ``(4 B, C, H, W)``; what comes in at the end is zero.

    A layer of stride 2 turns them into the phases of what it would give at stride 1.
    """
    height, width = x.shape[2:]
    wider = pad(x, (0, 1, 0, 1))
    return torch.cat([wider[:, :, i : i + height, j : j + width] for i in (0, 1) for j in (0, 1)])
