"""The skeleton that ADL and DGDM's spatial half share: one self-attention map, two gates, one coin."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from wsolbench.models.layers.drop_layer import DropLayer, coin

__all__ = ["SpatialDrop"]


class SpatialDrop(DropLayer):
    """Multiplies all channels by one spatial gate: a drop mask (with some probability) or an importance map.

    The attention is the mean over channels. One coin is tossed per call, for the whole batch. Nothing is rescaled.
    Gates are computed in float32, also under autocast. The gradient flows through the importance map, as the product
    rule has it; the drop mask, a comparison, has none.

    Args:
        drop_rate: probability of the drop mask; at 0 and 1 no coin is tossed.
        importance: without the drop mask, multiply by ``sigmoid(attention)``; if False, leave the features alone.
    """

    def __init__(self, drop_rate: float, *, importance: bool) -> None:
        super().__init__()
        self.drop_rate = drop_rate
        self.importance = importance

    @abstractmethod
    def erased(self, attention: Tensor) -> Tensor:
        """Return the cells ``(B, 1, H, W)`` bool that the drop mask hides, of an attention of the same shape."""

    def drop(self, features: Tensor) -> Tensor:
        """Gate ``(B, C, H, W)`` features by their own attention."""
        return self.gated(features, features)

    def gated(self, features: Tensor, attended: Tensor) -> Tensor:
        """Gate ``features`` by the attention of ``attended``; both ``(B, C, H, W)``."""
        if self.drop_rate == 0 and not self.importance:
            return features
        return features * self._gate(attended).to(features.dtype)

    def _gate(self, attended: Tensor) -> Tensor:
        attention = attended.mean(1, keepdim=True, dtype=torch.promote_types(attended.dtype, torch.float32))
        kept = torch.sigmoid(attention) if self.importance else torch.ones_like(attention)
        if self.drop_rate == 0:
            return kept
        mask = (~self.erased(attention.detach())).to(kept.dtype)
        return mask if self.drop_rate == 1 else torch.where(coin(self.drop_rate, mask.device), mask, kept)
