"""ResNet50 with squeeze-and-excitation, ADL's second network."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from timm.models.senet import legacy_seresnet50
from torch import nn

from wsolbench.models.backbones._carve import carve, outline
from wsolbench.models.backbones._residual import residual_stages
from wsolbench.models.backbones.base import Backbone

__all__ = ["ResNet50SE"]


class ResNet50SE(Backbone):
    """Hu et al. (CVPR 2018, arXiv 1709.01507), timm's ``legacy_seresnet50``: ``stem``, ``layer1_0`` to ``layer4_2``.

    Published for WSOL: ADL (arXiv 1908.10028), whose layers go behind the first block of layer3, the first of layer4
    and the last (the authors' code), with the last group at stride 1. The authors' own network squeezes to a
    quarter, and starts from a weight file of another framework; timm's squeezes to a sixteenth and has the stride in
    the first 1x1 convolution of a block, as the original release. Nobody published side points for it; they are
    those of ResNet50.

    Args:
        weights: timm's ``legacy_seresnet50`` state dict; None initialises convolutions after He.
        output_stride: 32 as the classifier has it, 16 or 8.
        dilate: dilate what follows a removed stride.
        keep_classifier: offer the file's own classifier to the method.

    Raises:
        WeightsError: the file's keys or shapes are not the network's.
        SettingsError: a classifier is asked for and there is none.
    """

    reference = "Hu et al., CVPR 2018, arXiv 1709.01507"

    def __init__(
        self,
        weights: Path | None = None,
        *,
        output_stride: Literal[8, 16, 32] = 16,
        dilate: bool = False,
        keep_classifier: bool = False,
    ) -> None:
        network = outline(legacy_seresnet50)
        layers = [network.layer1, network.layer2, network.layer3, network.layer4]
        stem = nn.Sequential(network.layer0, network.pool0)
        classifier = carve(network, [stem, *layers], weights, classifier="last_linear", keep_classifier=keep_classifier)
        stages, channels, stitched = residual_stages(stem, layers, output_stride, dilate=dilate)
        super().__init__(
            stages,
            channels,
            output_stride,
            erase_points=("layer3_0", "layer4_0", "layer4_2"),
            side_points=("layer3_0", "layer3_5"),
            erase_source="published",
            side_source="ours",
            new_stages=() if weights is not None else tuple(stages),
            stitched=stitched,
            pretrained_classifier=classifier,
        )
