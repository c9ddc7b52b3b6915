"""DINOv2's ViT-S/14, self-supervised."""

from __future__ import annotations

from functools import partial

from timm.models.vision_transformer import vit_small_patch14_dinov2

from wsolbench.models.backbones._tokens import TimmTransformer

__all__ = ["DINOv2Small"]


class DINOv2Small(TimmTransformer):
    """Oquab et al. (TMLR 2024, arXiv 2304.07193), timm's: 12 blocks of 384 channels and 6 heads, 14-pixel patches.

    Published for WSOL, frozen, in arXiv 2602.23120: 16x16 cells at 224 pixels in training, 32x32 at 448 in test. Its
    own code resizes position embeddings without antialiasing and by a scale that is a tenth of a cell larger; timm's
    way is taken here.
    """

    reference = "Oquab et al., TMLR 2024, arXiv 2304.07193"
    published = partial(vit_small_patch14_dinov2, img_size=518, num_classes=0)
    ignored = ("mask_token",)
