"""LayerCAM: each cell weighed by its own gradient, at any depth of a trained network."""

from __future__ import annotations

import torch
from torch import Tensor

from wsolbench.config.ranges import PositiveFactor
from wsolbench.models.layers import read_stages, stage_name, upsample
from wsolbench.models.method import Choice, Method, Prediction, ReadOut, space

__all__ = ["LayerCAM"]


class LayerCAM(ReadOut):
    """Weighs every cell of every channel by the positive part of its own gradient.

    Paper: Jiang et al., LayerCAM: Exploring Hierarchical Class Activation Maps for Localization, IEEE TIP 2021. With
    features ``A`` and the gradient ``G`` of the label's logit, ``M = ReLU(sum_k ReLU(G_k) A_k)``, cell by cell, which
    stays meaningful at shallow stages. Several stages are fused by the cell-wise maximum at the finest one's
    resolution. Before that, maps of shallow stages, whose values are small, are scaled to ``tanh(scale M / max M)``;
    published: ``scale`` 2, for the first three of five blocks.

    Where sources are silent, and what we took: shallow is every stage but the last that is named; the map of that one
    is divided by its maximum before the fusion, so that all lie in [0, 1]; a map of zeros stays one. A stage that ends
    in a pooling has a smoother gradient than one right before it, which the authors' repository names: on VGG take
    ``pool4``, not ``conv4``.

    Args:
        method: the trained method.
        stages: names of the backbone's stages, or their places, shallow to deep; -1 is the last.
        scale: of shallow stages' maps, above 0.

    Raises:
        SettingsError: there is no such stage.
    """

    title = "LayerCAM"
    reference = "Jiang et al., IEEE TIP 2021"
    search_space = space(stages=Choice(((-1,), (-2,), (-2, -1), (-3, -2, -1))))

    def __init__(self, method: Method, stages: tuple[str | int, ...] = (-1,), scale: PositiveFactor = 2.0) -> None:
        super().__init__(method)
        self.stages = tuple(stage_name(method, stage) for stage in stages)
        self.scale = scale

    def predict(self, images: Tensor, labels: Tensor) -> Prediction:
        """Return the method's logits and the labels' maps, at the finest stage's resolution and not below 0."""
        logits, readings = read_stages(self.method, images, labels, self.stages)
        maps = [(gradient.relu() * features).sum(1).relu() for features, gradient in readings.values()]
        if len(maps) == 1:
            return Prediction(logits, maps[0])
        highest = [each.amax((1, 2), keepdim=True) for each in maps]
        maps = [each / top.clamp_min(torch.finfo(top.dtype).tiny) for each, top in zip(maps, highest, strict=True)]
        maps = [*(torch.tanh(self.scale * each) for each in maps[:-1]), maps[-1]]
        size = max(each.shape[1] for each in maps), max(each.shape[2] for each in maps)
        return Prediction(logits, torch.stack([upsample(each, size) for each in maps]).amax(0))
