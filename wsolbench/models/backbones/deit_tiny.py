"""DeiT-Ti, a quarter of DeiT-S."""

from __future__ import annotations

from functools import partial

from timm.models.deit import deit_tiny_patch16_224

from wsolbench.models.backbones._tokens import TimmTransformer

__all__ = ["DeiTTiny"]


class DeiTTiny(TimmTransformer):
    """Touvron et al. (ICML 2021, arXiv 2012.12877), timm's: 12 blocks of 192 channels and 3 heads, 16-pixel patches."""

    reference = "Touvron et al., ICML 2021, arXiv 2012.12877"
    published = partial(deit_tiny_patch16_224)
