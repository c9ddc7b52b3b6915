"""DINOv2's ViT-S/14, self-supervised."""

from __future__ import annotations

from pathlib import Path

from timm.models.vision_transformer import vit_small_patch14_dinov2

from wsolbench.config.ranges import Fraction
from wsolbench.models.backbones._tokens import TimmTransformer

__all__ = ["DINOv2Small"]

_PIXELS = 518  # of the published position embeddings


class DINOv2Small(TimmTransformer):
    """Oquab et al. (TMLR 2024, arXiv 2304.07193), timm's: 12 blocks of 384 channels and 6 heads, 14-pixel patches.

    Published for WSOL by TriLite, frozen: 16x16 cells at 224 pixels in training, 32x32 at 448 in test. The authors'
    own code resizes position embeddings without antialiasing and by a scale that is a tenth of a cell larger; timm's
    way is taken here.

    Args:
        weights: the authors' state dict, whose mask token is left out; None initialises as timm does.
        drop_path: probability that the last block is left out in training; it rises linearly from 0 at the first.

    Raises:
        WeightsError: the file's keys or shapes are not the network's.
    """

    reference = "Oquab et al., TMLR 2024, arXiv 2304.07193"

    def __init__(self, weights: Path | None = None, *, drop_path: Fraction = 0.0) -> None:
        network = vit_small_patch14_dinov2(img_size=_PIXELS, num_classes=0, drop_path_rate=drop_path)
        super().__init__(network, weights, ignored=("mask_token",))
