"""A small vision transformer for the embedded data set, trained from scratch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field
from timm.models.vision_transformer import Block
from torch import nn

from wsolbench.config.ranges import Fraction
from wsolbench.errors import WeightsError
from wsolbench.models.backbones._tokens import Embedding, TokenBackbone
from wsolbench.models.layers.convolutions import he_init

__all__ = ["ViTEmbedded"]

_CELLS, _PATCH, _DEPTH, _HEAD = 16, 4, 3, 12
_STD = 0.02


class ViTEmbedded(TokenBackbone):
    """Three blocks with heads of 12 channels on 16x16 patch tokens at 64 pixels. The network is ours.

    Its patches come from two 3x3 convolutions of stride 2 with BN and ReLU, and a 1x1 one, instead of a single one of
    stride 4 (Xiao et al., Early Convolutions Help Transformers See Better, NeurIPS 2021, arXiv 2106.14881): a thousand
    images teach no transformer what an edge is.

    Args:
        weights: must be None: there are no pretrained weights.
        width: channels of tokens; what exceeds a multiple of 12 is left off.
        drop_path: probability that the last block is left out in training; it rises linearly from 0 at the first.

    Raises:
        WeightsError: a weight file is given.
    """

    reference = "ours"

    def __init__(
        self,
        weights: Path | None = None,
        *,
        width: Annotated[int, Field(ge=_HEAD)] = 48,
        drop_path: Fraction = 0.0,
    ) -> None:
        if weights is not None:
            raise WeightsError(
                f"vit_embedded has no weights to load ({weights} was given); set the track's weights: null"
            )
        heads = width // _HEAD
        width = heads * _HEAD
        positions = nn.Parameter(torch.zeros(1, 1 + _CELLS * _CELLS, width))
        embedding = Embedding(_stem(width), nn.Parameter(torch.zeros(1, 1, width)), positions, (_CELLS, _CELLS), _PATCH)
        rates = [drop_path * number / (_DEPTH - 1) for number in range(_DEPTH)]
        blocks = [Block(width, heads, mlp_ratio=2.0, qkv_bias=True, drop_path=rate) for rate in rates]
        super().__init__(embedding, blocks, nn.LayerNorm(width, eps=1e-6), pretrained=False)
        for weight in (embedding.cls_token, positions, *(each.weight for each in _linear(blocks))):
            nn.init.normal_(weight, std=_STD)
        for layer in _linear(blocks):
            nn.init.zeros_(layer.bias)


def _linear(blocks: list[Block]) -> list[nn.Linear]:
    return [layer for block in blocks for layer in block.modules() if isinstance(layer, nn.Linear)]


def _stem(width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in ((3, width // 2), (width // 2, width)):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return he_init(nn.Sequential(*layers, nn.Conv2d(width, width, 1)))
