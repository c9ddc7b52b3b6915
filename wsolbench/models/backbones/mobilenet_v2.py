"""MobileNetV2, with either padding that its weights were trained with."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

from torch import nn
from torchvision.models import mobilenet_v2

from wsolbench.errors import SettingsError
from wsolbench.models.backbones._carve import carve, out_channels, outline, remove_strides
from wsolbench.models.backbones._same_padding import pad_as_tensorflow
from wsolbench.models.backbones.base import Backbone

__all__ = ["MobileNetV2"]

_STRIDES = {"conv1": 2, "block2": 4, "block4": 8, "block7": 16, "block14": 32}
_NARROWEST = 1 / 16  # torchvision rounds channels up to 8, and keeps at least 90 %


class MobileNetV2(Backbone):
    """Sandler et al. (CVPR 2018, arXiv 1801.04381), torchvision's: ``conv1``, ``block1`` to ``block17``, ``conv18``.

    Nothing about it is published for WSOL; its points are ours, by analogy with ResNet50: layers go behind the first
    block at stride 16 (``block7``), the first of the last groups (``block14``) and the last convolution; side branches
    read the first and the last block at stride 16. There is no neck.

    Args:
        weights: state dict with torchvision's key names; None initialises convolutions after He.
        width: channel multiplier; must be that of the file.
        output_stride: 32 as the classifier has it, 16 or 8.
        dilate: dilate what follows a removed stride.
        tf_padding: pad as TensorFlow's SAME does, at the bottom and the right where the stride is 2; for weights
            from there.
        keep_classifier: offer the file's own classifier to the method.

    Raises:
        WeightsError: the file's keys or shapes are not the network's.
        SettingsError: a classifier is asked for and there is none, or ``width`` is too small.
    """

    reference = "Sandler et al., CVPR 2018, arXiv 1801.04381"

    def __init__(
        self,
        weights: Path | None = None,
        *,
        width: float = 1.0,
        output_stride: Literal[8, 16, 32] = 16,
        dilate: bool = False,
        tf_padding: bool = False,
        keep_classifier: bool = False,
    ) -> None:
        if width < _NARROWEST:
            raise SettingsError(f"width is {width}; it must be at least {_NARROWEST}")
        network = outline(partial(mobilenet_v2, width_mult=width))
        if tf_padding:
            pad_as_tensorflow(network)
        hint = f"is backbone_args.width ({width:g}) that of the weights?"
        classifier = carve(
            network,
            [network.features],
            weights,
            classifier="classifier.1",
            keep_classifier=keep_classifier,
            hint=hint,
        )
        layers = list(network.features)
        names = ["conv1", *(f"block{number}" for number in range(1, len(layers) - 1)), "conv18"]
        stages: dict[str, nn.Module] = dict(zip(names, layers, strict=True))
        super().__init__(
            stages,
            {name: out_channels(stage) for name, stage in stages.items()},
            output_stride,
            erase_points=("block7", "block14", "conv18"),
            side_points=("block7", "block13"),
            pretrained=weights is not None,
            stitched=remove_strides(stages, _STRIDES, output_stride, dilate=dilate),
            pretrained_classifier=classifier,
        )
