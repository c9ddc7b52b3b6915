"""CALM: the place of the evidence is a hidden variable of the classifier."""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import nll_loss

from wsolbench.models.layers import maps_of
from wsolbench.models.method import Backbone, Method, Prediction

__all__ = ["CALM"]

_SMALLEST = 1e-6


class CALM(Method):
    """Classifies every cell, weighs cells by an attention that sums to one, and sums the probabilities.

    Paper: Kim et al., Keep CALM and Improve Visual Feature Attribution, ICCV 2021, arXiv 2106.07861. With ``s`` the
    softmax over classes of a 1x1 convolution and ``a`` the ReLU of another one with one channel, divided by its sum
    over the image's cells, ``p(y, x) = a(x) s(y | x)``: class ``y``, evidence in cell ``x``. No gradient passes through
    that sum. A class has probability ``p(y) = sum_x p(y, x)``, and its map is ``p(y, .)``.

    Objectives: ``"ml"`` is ``-log p(y)``; ``"em"`` is ``-sum_x q(x) log p(y, x)`` with the posterior
    ``q(x) = p(y, x) / p(y)`` of the present weights as a constant. In exact arithmetic a step has the same gradient by
    both (Fisher's identity), as a test shows: they differ in the value that is printed and in rounding, and
    there is nothing to search.

    Published: rate 0.01, ten times that for the head, weight decay 1e-4, 40 epochs, batch 64, a tenth from epoch 30 on,
    28x28 cells (``output_stride: 8``).

    Ours: a millionth is added to the ReLU, so that logarithms exist; all is computed in logarithms; the attention's
    bias starts at one, so that no image starts without any.

    Args:
        backbone: feature extractor.
        num_classes: number of classes.
        objective: ``"em"`` or ``"ml"``.
    """

    title = "CALM"
    reference = "Kim et al., ICCV 2021, arXiv 2106.07861"

    def __init__(self, backbone: Backbone, num_classes: int, objective: Literal["em", "ml"] = "em") -> None:
        super().__init__(backbone, num_classes)
        self.objective = objective
        self.classes = nn.Conv2d(backbone.out_channels, num_classes, 1)
        self.attention = nn.Conv2d(backbone.out_channels, 1, 1)
        nn.init.ones_(cast("nn.Parameter", self.attention.bias))

    def log_joint(self, images: Tensor) -> Tensor:
        """Return ``log p(y, x)`` of all classes and cells, ``(B, C, h, w)``."""
        features = self.backbone(images)
        with torch.autocast(features.device.type, enabled=False):
            features = features.to(self.classes.weight.dtype)
            attention = self.attention(features).relu() + _SMALLEST
            total = attention.sum((2, 3), keepdim=True).detach()
            joint: Tensor = self.classes(features).log_softmax(1) + attention.log() - total.log()
        return joint

    def losses(self, images: Tensor, targets: Tensor, progress: float) -> dict[str, Tensor]:
        """Return the objective; see :meth:`wsolbench.models.method.Method.losses`."""
        joint = self.log_joint(images)
        if self.objective == "ml":
            return {"likelihood": nll_loss(joint.logsumexp((2, 3)), targets)}
        own = maps_of(joint, targets).flatten(1)
        posterior = own.softmax(1).detach()
        return {"likelihood": -(posterior * own).sum(1).mean()}

    def predict(self, images: Tensor, labels: Tensor) -> Prediction:
        """Return ``log p(y)`` and ``p(label, .)``; see :meth:`wsolbench.models.method.Method.predict`."""
        joint = self.log_joint(images)
        return Prediction(joint.logsumexp((2, 3)), maps_of(joint, labels).exp())
