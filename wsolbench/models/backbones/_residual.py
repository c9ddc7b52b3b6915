"""Residual networks of four groups of bottleneck blocks, with a finer last map."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

from torch import nn

from wsolbench.models.backbones._carve import carve, out_channels, outline, remove_strides
from wsolbench.models.backbones.base import Backbone, PointsSource

__all__ = ["ResidualBackbone"]

_STRIDES = {"layer2_0": 8, "layer3_0": 16, "layer4_0": 32}


class ResidualBackbone(Backbone):
    """Stages ``stem`` and ``layer<group>_<block>``; layers go behind three of them, side branches read two.

    Args:
        weights: state dict of the published network; None initialises convolutions after He.
        output_stride: 32 as the classifier has it, 16 or 8.
        dilate: dilate what follows a removed stride.
        keep_classifier: offer the file's own classifier to the method.

    Attributes:
        published: makes the published network.
        stem: names of its layers before ``layer1``.
        classifier: name of its linear classifier.
        sources: who chose the erase points, and the side points.

    Raises:
        WeightsError: the file's keys or shapes are not the network's.
        SettingsError: a classifier is asked for and there is none.
    """

    published: ClassVar[partial[Any]]
    stem: ClassVar[tuple[str, ...]]
    classifier: ClassVar[str]
    sources: ClassVar[tuple[PointsSource, PointsSource]]

    def __init__(
        self,
        weights: Path | None = None,
        *,
        output_stride: Literal[8, 16, 32] = 16,
        dilate: bool = False,
        keep_classifier: bool = False,
    ) -> None:
        network = outline(self.published)
        stages: dict[str, nn.Module] = {"stem": nn.Sequential(*(network.get_submodule(name) for name in self.stem))}
        for group in ("layer1", "layer2", "layer3", "layer4"):
            blocks = network.get_submodule(group).named_children()
            stages |= {f"{group}_{position}": block for position, block in blocks}
        classifier = carve(
            network, stages.values(), weights, classifier=self.classifier, keep_classifier=keep_classifier
        )
        super().__init__(
            stages,
            {name: out_channels(stage) for name, stage in stages.items()},
            output_stride,
            erase_points=("layer3_0", "layer4_0", "layer4_2"),
            side_points=("layer3_0", "layer3_5"),
            erase_source=self.sources[0],
            side_source=self.sources[1],
            pretrained=weights is not None,
            stitched=remove_strides(stages, _STRIDES, output_stride, dilate=dilate),
            pretrained_classifier=classifier,
        )
