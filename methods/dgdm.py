"""Dual-attention guided dropblock: drops channels and contiguous regions by their attention (our reconstruction)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from wsolbench.config.ranges import Fraction, Odd
from wsolbench.errors import SettingsError
from wsolbench.models.layers import ClassMapMethod, DropLayer, SpatialDrop, insert_drop_layers
from wsolbench.models.method import CHOE2020, Backbone, Choice, Uniform, space

__all__ = ["DGDM"]


class DGDM(ClassMapMethod):
    """CAM's network with a channel-guided dropout and a spatially guided dropblock behind some stages.

    Paper: Yin et al., Dual-attention Guided Dropblock Module for Weakly Supervised Object Localization, ICPR 2020,
    arXiv 2003.04719. **A reconstruction**: no official code exists to our knowledge and only the paper's abstract
    was at hand. The abstract says that (1) CAGD ranks channel attentions, treats the top-k as important, and keeps
    some low-valued elements, so that they may grow if they become important; (2) SAGD erases contiguous regions of
    the most discriminative information instead of single pixels; (3) SAGD also tells foreground from background.
    Everything else is ours:

    - CAGD: the attention of a channel is its spatial mean. The ``ceil(keep_ratio * C)`` channels of an image with
      the largest one are kept, every other one with probability ``keep_low``, independently. That is targeted
      dropout (Gomez et al., arXiv 1905.13678), whose reason is the abstract's. With ``keep_ratio`` or ``keep_low`` 1
      it does, and draws, nothing.
    - SAGD: ADL's attention, coin and importance map. Cells from ``gamma`` times the maximum are seeds; a square of
      ``block_size`` around each is erased. ``sagd_seed="sampled"`` keeps each seed with DropBlock's probability
      ``(1 - block_keep) / b^2 * HW / ((H - b + 1)(W - b + 1))``. ``sagd_background`` is our reading of (3): the drop
      mask also hides cells below that share of the maximum, which are not widened to squares.
    - Order: the spatial attention is that of what CAGD leaves (``"channel_spatial"``), or both gates are computed
      from the same features and multiplied (``"parallel"``).
    - No rescaling; the identity at test; positions are ADL's (the backbone's ``erase_points``).

    Defaults: ``drop_rate`` and ``gamma`` are ADL's for VGG, ``block_size`` fits a 14x14 map, the others lie in the
    middle of what seemed sensible. None is published as far as we know: search them.

    Ablations: ``keep_ratio=1`` is SAGD alone; ``drop_rate=0`` with ``importance=False`` is CAGD alone. With
    ``keep_ratio=1``, ``block_size=1``, threshold seeds and no background side it is ADL, bit for bit.

    Args:
        backbone: feature extractor; layers are inserted into it.
        num_classes: number of classes.
        keep_ratio: r, share of channels that are always kept, in [0, 1].
        keep_low: q, probability that one of the others is kept, in [0, 1].
        drop_rate: p, probability of the spatial drop mask, in [0, 1].
        gamma: share of the maximal attention from which cells are seeds, in [0, 1].
        block_size: b, side in cells of what is erased around a seed; odd.
        importance: whether features are multiplied by the importance map when the drop mask is not taken.
        sagd_seed: ``"threshold"`` or ``"sampled"`` seeds.
        block_keep: DropBlock's keep probability, in [0, 1]; given with sampled seeds and only then.
        sagd_background: share of the maximal attention below which the drop mask hides background, in [0, 1], or None.
        order: ``"channel_spatial"`` or ``"parallel"``.
        erase_points: stages behind which layers go; None for the backbone's.

    Raises:
        SettingsError: an argument is out of range, or a stage unknown.
    """

    title = "DGDM (our reconstruction)"
    reference = "Yin et al., ICPR 2020, arXiv 2003.04719"
    status = "reconstruction"
    search_space = space(
        keep_ratio=Uniform(0.5, 1),
        keep_low=Uniform(0, 1),
        drop_rate=Uniform(0, 1, source=CHOE2020),  # that of the skeleton, attention-based dropout
        gamma=Uniform(0, 1, source=CHOE2020),
        block_size=Choice((1, 3, 5, 7)),
        sagd_background=Choice((None, 0.05, 0.1, 0.2)),
        order=Choice(("channel_spatial", "parallel")),
    )

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        keep_ratio: Fraction = 0.75,
        keep_low: Fraction = 0.5,
        drop_rate: Fraction = 0.75,
        gamma: Fraction = 0.8,
        block_size: Odd = 3,
        importance: bool = True,
        sagd_seed: Literal["threshold", "sampled"] = "threshold",
        block_keep: Fraction | None = None,
        sagd_background: Fraction | None = None,
        order: Literal["channel_spatial", "parallel"] = "channel_spatial",
        erase_points: tuple[str, ...] | None = None,
    ) -> None:
        super().__init__(backbone, num_classes)

        if (block_keep is None) == (sagd_seed == "sampled"):
            raise SettingsError('block_keep and sagd_seed: "sampled" belong together; neither has a meaning alone')

        def make() -> DropLayer:
            spatial = _SpatialGuidedDropblock(drop_rate, gamma, block_size, importance, block_keep, sagd_background)
            return _DualGuidedDropblock(_ChannelGuidedDropout(keep_ratio, keep_low), spatial, order == "parallel")

        insert_drop_layers(backbone, erase_points, make)


class _ChannelGuidedDropout(DropLayer):
    def __init__(self, keep_ratio: float, keep_low: float) -> None:
        super().__init__()
        self.keep_ratio = keep_ratio
        self.keep_low = keep_low

    def drop(self, features: Tensor) -> Tensor:
        batch, channels = features.shape[:2]
        # 0.55 * 100 is a little above 55 in floating point, and would keep 56 of 100 channels.
        always = math.ceil(self.keep_ratio * channels - 1e-9)
        if always == channels or self.keep_low == 1:
            return features
        attention = features.detach().mean((2, 3), dtype=torch.promote_types(features.dtype, torch.float32))
        rank = torch.argsort(attention, dim=1, descending=True, stable=True).argsort(1)
        kept = rank < always
        if self.keep_low > 0:
            kept |= torch.rand(batch, channels, device=features.device) < self.keep_low
        return features * kept.to(features.dtype)[:, :, None, None]


class _SpatialGuidedDropblock(SpatialDrop):
    def __init__(
        self,
        drop_rate: float,
        gamma: float,
        block_size: int,
        importance: bool,
        block_keep: float | None,
        background: float | None,
    ) -> None:
        super().__init__(drop_rate, importance=importance)
        self.gamma = gamma
        self.block_size = block_size
        self.block_keep = block_keep
        self.background = background

    def erased(self, attention: Tensor) -> Tensor:
        highest = attention.amax((2, 3), keepdim=True)
        seeds = attention >= self.gamma * highest
        if self.block_keep is not None:
            rate = _seed_rate(self.block_keep, self.block_size, *attention.shape[2:])
            seeds &= torch.rand(attention.shape, device=attention.device) < rate
        hidden = max_pool2d(seeds.to(attention.dtype), self.block_size, 1, self.block_size // 2) > 0
        return hidden if self.background is None else hidden | (attention < self.background * highest)


def _seed_rate(keep: float, block: int, height: int, width: int) -> float:
    """Return DropBlock's Bernoulli rate, with which independent squares of side ``block`` hide about ``1 - keep``."""
    room = max(height - block + 1, 1) * max(width - block + 1, 1)
    return (1 - keep) / block**2 * height * width / room


class _DualGuidedDropblock(DropLayer):
    def __init__(self, channel: _ChannelGuidedDropout, spatial: _SpatialGuidedDropblock, parallel: bool) -> None:
        super().__init__()
        self.channel = channel
        self.spatial = spatial
        self.parallel = parallel

    def drop(self, features: Tensor) -> Tensor:
        gated = self.channel.drop(features)
        return self.spatial.gated(gated, features if self.parallel else gated)
