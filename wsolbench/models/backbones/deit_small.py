"""DeiT-S, the transformer of most published tables."""

from __future__ import annotations

from functools import partial

from timm.models.deit import deit_small_patch16_224

from wsolbench.models.backbones._tokens import TimmTransformer

__all__ = ["DeiTSmall"]


class DeiTSmall(TimmTransformer):
    """Touvron et al. (ICML 2021, arXiv 2012.12877), timm's: 12 blocks of 384 channels and 6 heads, 16-pixel patches.

    Published for WSOL by TS-CAM and those that build on it (LCTR, SCM, SAT), at 224 pixels: 14x14 cells.
    """

    reference = "Touvron et al., ICML 2021, arXiv 2012.12877"
    published = partial(deit_small_patch16_224)
