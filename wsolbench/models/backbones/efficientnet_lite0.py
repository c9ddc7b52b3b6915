"""EfficientNet-Lite0, whose ImageNet weights come as a Python package."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from timm.models.efficientnet import tf_efficientnet_lite0
from torch import nn

from wsolbench.models.backbones._carve import carve, out_channels, outline, remove_strides
from wsolbench.models.backbones.base import Backbone, Normalisation

__all__ = ["EfficientNetLite0"]

_STRIDES = {"conv1": 2, "block2": 4, "block4": 8, "block6": 16, "block12": 32}
_GROUPS = (1, 2, 2, 3, 3, 4, 1)  # blocks
_BLOCK = re.compile(r"_blocks\.(\d+)\._(\w+?)\.(.+)")
_FIRST = {"depthwise_conv": "conv_dw", "bn1": "bn1", "project_conv": "conv_pw", "bn2": "bn2"}
_LATER = {
    "expand_conv": "conv_pw",
    "bn0": "bn1",
    "depthwise_conv": "conv_dw",
    "bn1": "bn2",
    "project_conv": "conv_pwl",
    "bn2": "bn3",
}
_OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}


class EfficientNetLite0(Backbone):
    """Tan & Le (ICML 2019, arXiv 1905.11946), timm's Lite0: ``conv1``, ``block1`` to ``block16``, ``conv17``.

    It has no squeeze-and-excitation. Nothing about it is published for WSOL; its points are MobileNetV2's, by the
    strides: layers go behind the first block at stride 16 (``block6``), the first of the last groups (``block12``) and
    the last convolution; side branches read the first and the last block at stride 16. There is no neck. Strided
    convolutions pad as TensorFlow's SAME does.

    Args:
        weights: state dict with timm's key names or those of the package; None initialises convolutions after He.
        output_stride: 32 as the classifier has it, 16 or 8.
        dilate: dilate what follows a removed stride.
        normalisation: of the input.
        keep_classifier: offer the file's own classifier to the method.

    Raises:
        WeightsError: the file's keys or shapes are not the network's.
        SettingsError: a classifier is asked for and there is none.
    """

    reference = "Tan & Le, ICML 2019, arXiv 1905.11946"

    def __init__(
        self,
        weights: Path | None = None,
        *,
        output_stride: Literal[8, 16, 32] = 16,
        dilate: bool = False,
        normalisation: Normalisation = "half",
        keep_classifier: bool = False,
    ) -> None:
        network = outline(tf_efficientnet_lite0)
        stem = nn.Sequential(network.conv_stem, network.bn1)
        head = nn.Sequential(network.conv_head, network.bn2)
        classifier = carve(
            network,
            [stem, network.blocks, head],
            weights,
            classifier="classifier",
            keep_classifier=keep_classifier,
            rename=to_timm,
        )
        blocks = [block for group in network.blocks for block in group]
        stages = {"conv1": stem} | {f"block{number}": block for number, block in enumerate(blocks, start=1)}
        stages["conv17"] = head
        super().__init__(
            stages,
            {name: out_channels(stage) for name, stage in stages.items()},
            output_stride,
            erase_points=("block6", "block12", "conv17"),
            side_points=("block6", "block11"),
            pretrained=weights is not None,
            stitched=remove_strides(stages, _STRIDES, output_stride, dilate=dilate),
            pretrained_classifier=classifier,
            normalisation=normalisation,
        )


def to_timm(key: str) -> str:
    """Return timm's name of a parameter of the package's file; other names are left alone."""
    found = _BLOCK.fullmatch(key)
    if found is None:
        layer, _, rest = key.partition(".")
        return f"{_OUTSIDE.get(layer, layer)}.{rest}"
    number, layer, rest = int(found[1]), found[2], found[3]
    group = 0
    while number >= _GROUPS[group]:
        number -= _GROUPS[group]
        group += 1
    return f"blocks.{group}.{number}.{(_LATER if group else _FIRST)[layer]}.{rest}"
