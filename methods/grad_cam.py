"""Grad-CAM and its kin: maps from the gradient of the label's logit, read out of any trained network."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from wsolbench.models.layers import read_stages, stage_name
from wsolbench.models.method import Choice, Method, Prediction, ReadOut, space

__all__ = ["GradCAM"]


class GradCAM(ReadOut):
    """Weighs the channels of a stage by the gradient that the label's logit has there.

    With features ``A_k`` and ``G_k = dS/dA_k`` of the logit before the softmax, the map is ``ReLU(sum_k w_k A_k)``:

    - ``plain``, Grad-CAM: ``w_k`` is the mean of ``G_k`` over the cells. On the last stage of a network with global
      average pooling and a linear classifier it is ReLU(CAM), up to a positive factor. Selvaraju et al., Grad-CAM,
      ICCV 2017, arXiv 1610.02391, equations 1 and 2.
    - ``++``, Grad-CAM++: ``w_k = sum a_k ReLU(G_k)`` with ``a_k = G_k^2 / (2 G_k^2 + G_k^3 sum A_k)``, 0 where ``G_k``
      is. Chattopadhyay et al., WACV 2018, arXiv 1710.11063, equation 19, where the logit is the class score; an
      exponential of it, as in the paper, is a factor per image.
    - ``xgrad``, XGrad-CAM: ``w_k = sum G_k A_k / sum A_k``. Fu et al., Axiom-based Grad-CAM, BMVC 2020, arXiv
      2008.02312.
    - ``hires``, HiResCAM: ``ReLU(sum_k G_k A_k)``, the gradient of each cell in place of its mean. Draelos & Carin,
      arXiv 2011.08891.

    What is ours: the denominators' 1e-6 (``++``) and 1e-7 (``xgrad``), which public implementations have, too; any
    stage may be read, by its name or its place from the end.

    Args:
        method: the trained method.
        variant: one of the four above.
        stage: name of the backbone's stage, or its place; -1 is the last.

    Raises:
        SettingsError: there is no such stage.
    """

    title = "Grad-CAM"
    reference = "Selvaraju et al., ICCV 2017, arXiv 1610.02391"
    search_space = space(variant=Choice(("plain", "++", "xgrad", "hires")), stage=Choice((-1, -2)))

    def __init__(
        self, method: Method, variant: Literal["plain", "++", "xgrad", "hires"] = "plain", stage: str | int = -1
    ) -> None:
        super().__init__(method)
        self.variant = variant
        self.stage = stage_name(method, stage)

    def predict(self, images: Tensor, labels: Tensor) -> Prediction:
        """Return the method's logits and the labels' maps, at the stage's resolution and not below 0."""
        logits, readings = read_stages(self.method, images, labels, (self.stage,))
        features, gradient = readings[self.stage]
        weights = gradient if self.variant == "hires" else self.weights(features, gradient)
        return Prediction(logits, (weights * features).sum(1).relu())

    def weights(self, features: Tensor, gradient: Tensor) -> Tensor:
        """Return the weight of each channel, ``(B, K, 1, 1)``, of features and gradient ``(B, K, h, w)``."""
        if self.variant == "plain":
            return gradient.mean((2, 3), keepdim=True)
        total = features.sum((2, 3), keepdim=True)
        if self.variant == "xgrad":
            return (gradient * features / (total + 1e-7)).sum((2, 3), keepdim=True)
        square = gradient.square()
        share = square / (2 * square + square * gradient * total + 1e-6)
        return (share * (gradient != 0) * gradient.relu()).sum((2, 3), keepdim=True)
