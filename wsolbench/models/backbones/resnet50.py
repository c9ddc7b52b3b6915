"""ResNet50 with a finer last map."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from torch import nn
from torchvision.models import resnet50

from wsolbench.models.backbones._carve import carve, outline
from wsolbench.models.backbones._residual import residual_stages
from wsolbench.models.backbones.base import Backbone

__all__ = ["ResNet50"]


class ResNet50(Backbone):
    """He et al. (CVPR 2016, arXiv 1512.03385), torchvision's, as stages ``stem``, ``layer1_0`` to ``layer4_2``.

    Published for WSOL (CutMix, arXiv 1905.04899, appendix B; Choe et al., arXiv 2001.07437): layer4 at stride 1,
    without dilation, 14x14 cells at 224 pixels; 28x28 with layer3 at stride 1, too. There is no neck. ADL's layers
    go behind the first block of layer3, the first of layer4 and the last; its authors published that for
    ResNet50-SE, and the re-implementation of Choe et al. takes them here. The side points are that
    re-implementation's: SPG's authors have no ResNet. It also trains all of layer4 at the rate of new layers; here
    only what is new has that rate.

    Args:
        weights: torchvision's ``resnet50`` state dict; None initialises convolutions after He.
        output_stride: 32 as the classifier has it, 16 or 8.
        dilate: dilate what follows a removed stride.
        keep_classifier: offer the file's own classifier to the method.

    Raises:
        WeightsError: the file's keys or shapes are not the network's.
        SettingsError: a classifier is asked for and there is none.
    """

    reference = "He et al., CVPR 2016, arXiv 1512.03385"

    def __init__(
        self,
        weights: Path | None = None,
        *,
        output_stride: Literal[8, 16, 32] = 16,
        dilate: bool = False,
        keep_classifier: bool = False,
    ) -> None:
        network = outline(resnet50)
        layers = [network.layer1, network.layer2, network.layer3, network.layer4]
        stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
        classifier = carve(network, [stem, *layers], weights, classifier="fc", keep_classifier=keep_classifier)
        stages, channels, stitched = residual_stages(stem, layers, output_stride, dilate=dilate)
        super().__init__(
            stages,
            channels,
            output_stride,
            erase_points=("layer3_0", "layer4_0", "layer4_2"),
            side_points=("layer3_0", "layer3_5"),
            erase_source="port",
            side_source="port",
            new_stages=() if weights is not None else tuple(stages),
            stitched=stitched,
            pretrained_classifier=classifier,
        )
