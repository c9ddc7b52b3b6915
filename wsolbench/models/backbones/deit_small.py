"""DeiT-S, the transformer of most published tables."""

from __future__ import annotations

from pathlib import Path

from timm.models.deit import deit_small_patch16_224

from wsolbench.config.ranges import Fraction
from wsolbench.models.backbones._tokens import TimmTransformer

__all__ = ["DeiTSmall"]


class DeiTSmall(TimmTransformer):
    """Touvron et al. (ICML 2021, arXiv 2012.12877), timm's: 12 blocks of 384 channels and 6 heads, 16-pixel patches.

    Published for WSOL by TS-CAM and those that build on it (LCTR, SCM, SAT), at 224 pixels: 14x14 cells.

    Args:
        weights: the authors' state dict; None initialises as timm does.
        drop_path: probability that the last block is left out in training; it rises linearly from 0 at the first.

    Raises:
        WeightsError: the file's keys or shapes are not the network's.
    """

    reference = "Touvron et al., ICML 2021, arXiv 2012.12877"

    def __init__(self, weights: Path | None = None, *, drop_path: Fraction = 0.0) -> None:
        super().__init__(deit_small_patch16_224(drop_path_rate=drop_path), weights)
