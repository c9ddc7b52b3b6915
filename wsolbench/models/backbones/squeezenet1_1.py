"""SqueezeNet 1.1."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from torch import nn
from torchvision.models import squeezenet1_1

from wsolbench.models.backbones._carve import carve, outline
from wsolbench.models.backbones.base import Backbone

__all__ = ["SqueezeNet"]

_NAMES = ("pool1", "fire2", "fire3", "pool3", "fire4", "fire5", "pool5", "fire6", "fire7", "fire8", "fire9")
_CHANNELS = {"1": 64, "2": 128, "3": 128, "4": 256, "5": 256, "6": 384, "7": 384, "8": 512, "9": 512}


class SqueezeNet(Backbone):
    """Iandola et al. (arXiv 1602.07360), torchvision's version 1.1: ``conv1``, ``pool1``, ``fire2``, ..., ``fire9``.

    13x13 cells at 224 pixels: its convolutions and poolings of stride 2 do not pad. Nothing about it is published
    for WSOL; its points are ours: layers go behind ``pool3``, ``pool5`` and ``fire9``, as VGG's behind its last
    poolings and convolution; side branches read ``fire7`` and ``fire9``. It has no ``keep_classifier``: the
    published classifier pools behind a ReLU, so that its logits are no linear function of pooled features, and a
    class map is not CAM's.

    Args:
        weights: torchvision's ``squeezenet1_1`` state dict; None initialises convolutions after He.
        output_stride: 16, or 8 without the last pooling's stride.
        dilate: at output stride 8, dilate what follows that pooling.

    Raises:
        WeightsError: the file's keys or shapes are not the network's.
    """

    reference = "Iandola et al., 2016, arXiv 1602.07360"

    def __init__(
        self, weights: Path | None = None, *, output_stride: Literal[8, 16] = 16, dilate: bool = False
    ) -> None:
        network = outline(squeezenet1_1)
        carve(network, [network.features], weights, classifier="classifier.1")
        layers = list(network.features)
        stages: dict[str, nn.Module] = {"conv1": nn.Sequential(*layers[:2])}
        stages |= dict(zip(_NAMES, layers[2:], strict=True))
        removed = output_stride == 8
        if removed and not dilate:
            stages["pool5"] = nn.MaxPool2d(3, 1, 1)
        super().__init__(
            stages,
            {name: _CHANNELS[name[-1]] for name in stages},
            output_stride,
            erase_points=("pool3", "pool5", "fire9"),
            side_points=("fire7", "fire9"),
            pretrained=weights is not None,
            stitched=("pool5",) if removed and dilate else (),
        )
