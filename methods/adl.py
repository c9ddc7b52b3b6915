"""Attention-based dropout layer: hides the most discriminative part, or stresses what is informative."""

from __future__ import annotations

from torch import Tensor

from wsolbench.config.ranges import Fraction
from wsolbench.models.layers import ClassMapMethod, SpatialDrop, insert_drop_layers
from wsolbench.models.method import CHOE2020, Backbone, Uniform, space

__all__ = ["ADL"]


class ADL(ClassMapMethod):
    """CAM's network with a self-attention dropout layer behind some stages; nothing changes at test.

    Paper: Choe & Shim, Attention-based Dropout Layer for Weakly Supervised Object Localization, CVPR 2019, arXiv
    1908.10028. Attention ``A`` is the mean over channels. The drop mask is 1 where ``A < gamma * max(A)`` of the image,
    else 0; the importance map is ``sigmoid(A)``. One draw per layer call, shared by the batch, takes the drop mask with
    probability ``drop_rate`` and the importance map otherwise; the features are multiplied by it, without rescaling.

    Published: ``drop_rate`` 0.75 for every backbone; ``gamma`` 0.80 for VGG-GAP and InceptionV3, 0.90 for ResNet50-SE,
    0.95 for MobileNetV1. Careful with the authors' code: its keep probability of 0.25 means ``drop_rate`` 0.75, and its
    command line's own defaults (0.5, 0.25) are not the paper's.

    Where sources differ, and what we took:

    - Positions: VGG after pool3, pool4 and conv5_3 and ResNet50-SE after layer3.0, layer4.0 and layer4 are in the
      authors' code; Choe et al.'s re-implementation has VGG's second one before pool4. Those of InceptionV3 and
      MobileNetV1 were never published. Each backbone says which it offers (``erase_points``, ``erase_source``).
    - ``A`` all zero: ``A < 0`` holds nowhere and the mask hides everything, as the formula says; the features are zero
      anyway. A constant positive map, likewise, is hidden as a whole.
    - The class map is CAM's: the authors' gradient-weighted sum is the same for a network with global average pooling.

    With ``drop_rate=0`` and ``importance=False`` it is CAM, exactly.

    Args:
        backbone: feature extractor; layers are inserted into it.
        num_classes: number of classes.
        drop_rate: probability of the drop mask, in [0, 1].
        gamma: share of the maximal attention from which cells are hidden, in [0, 1].
        importance: whether features are multiplied by the importance map when they are not dropped.
        erase_points: stages behind which layers go; None for the backbone's.

    Raises:
        SettingsError: an argument is out of range, or a stage unknown.
    """

    title = "ADL"
    reference = "Choe & Shim, CVPR 2019, arXiv 1908.10028"
    search_space = space(drop_rate=Uniform(0, 1, source=CHOE2020), gamma=Uniform(0, 1, source=CHOE2020))

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        drop_rate: Fraction = 0.75,
        gamma: Fraction = 0.8,
        importance: bool = True,
        erase_points: tuple[str, ...] | None = None,
    ) -> None:
        super().__init__(backbone, num_classes)
        insert_drop_layers(backbone, erase_points, lambda: _AttentionDropout(drop_rate, gamma, importance))


class _AttentionDropout(SpatialDrop):
    def __init__(self, drop_rate: float, gamma: float, importance: bool) -> None:
        super().__init__(drop_rate, importance=importance)
        self.gamma = gamma

    def erased(self, attention: Tensor) -> Tensor:
        return attention >= self.gamma * attention.amax((2, 3), keepdim=True)
