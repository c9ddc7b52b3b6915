"""Stages of a residual network with four groups of bottleneck blocks."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from wsolbench.models.backbones._carve import unstrided

__all__ = ["residual_stages"]

_STEM = 64
_EXPANDED = (256, 512, 1024, 2048)
_GROUP_STRIDES = (4, 8, 16, 32)


def residual_stages(
    stem: nn.Module, groups: Sequence[nn.Sequential], output_stride: int, *, dilate: bool
) -> tuple[dict[str, nn.Module], dict[str, int], tuple[str, ...]]:
    """Return stages ``stem`` and ``layer<group>_<block>``, their channels, and which of them are to be stitched.

    Args:
        stem: everything before the groups, of stride 4.
        groups: the four groups of blocks; changed in place where ``output_stride`` takes a stride away.
        output_stride: 8, 16 or 32.
        dilate: keep the stride in the block and stitch instead.
    """
    stages: dict[str, nn.Module] = {"stem": stem}
    channels = {"stem": _STEM}
    stitched: list[str] = []
    for number, (group, stride) in enumerate(zip(groups, _GROUP_STRIDES, strict=True), start=1):
        for position, block in enumerate(group):
            name = f"layer{number}_{position}"
            stages[name], channels[name] = block, _EXPANDED[number - 1]
            if position == 0 and stride > output_stride:
                if dilate:
                    stitched.append(name)
                else:
                    unstrided(block)
    return stages, channels, tuple(stitched)
