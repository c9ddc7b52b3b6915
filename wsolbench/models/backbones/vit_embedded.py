"""A small vision transformer for the embedded data set, trained from scratch."""

from __future__ import annotations

from pathlib import Path

from timm.models.vision_transformer import VisionTransformer
from torch import nn

from wsolbench.errors import WeightsError
from wsolbench.models.backbones._tokens import TokenBackbone
from wsolbench.models.layers.argument_checks import at_least
from wsolbench.models.layers.he_init import he_init

__all__ = ["ViTEmbedded"]

_PIXELS, _PATCH, _DEPTH, _HEAD = 64, 4, 4, 16


class ViTEmbedded(TokenBackbone):
    """Four blocks with heads of 16 channels on 16x16 tokens at 64 pixels. The network is ours.

    Its patches come from two 3x3 convolutions of stride 2 with BN and ReLU, and a 1x1 one, instead of a single one of
    stride 4 (Xiao et al., Early Convolutions Help Transformers See Better, NeurIPS 2021, arXiv 2106.14881): a thousand
    images teach no transformer what an edge is.

    Args:
        weights: must be None: there are no pretrained weights.
        width: channels of tokens, a multiple of 16.
        drop_path: probability that the last block is left out in training; it rises linearly from 0 at the first.

    Raises:
        WeightsError: a weight file is given.
        SettingsError: ``width`` is below 16.
    """

    reference = "ours"

    def __init__(self, weights: Path | None = None, *, width: int = 64, drop_path: float = 0.0) -> None:
        if weights is not None:
            raise WeightsError(
                f"vit_embedded has no weights to load ({weights} was given); set the track's weights: null"
            )
        heads = at_least("width", width, _HEAD) // _HEAD
        network = VisionTransformer(
            img_size=_PIXELS,
            patch_size=_PATCH,
            num_classes=0,
            global_pool="",
            embed_dim=heads * _HEAD,
            depth=_DEPTH,
            num_heads=heads,
            mlp_ratio=2.0,
            drop_path_rate=drop_path,
        )
        network.patch_embed.proj = _stem(heads * _HEAD)
        super().__init__(network, None)


def _stem(width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in ((3, width // 2), (width // 2, width)):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return he_init(nn.Sequential(*layers, nn.Conv2d(width, width, 1)))
