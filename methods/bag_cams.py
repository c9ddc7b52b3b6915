"""BagCAMs: a bag of regional localizers, derived from a trained classifier."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from wsolbench.models.layers import read_stages, stage_name
from wsolbench.models.method import Choice, Method, Prediction, ReadOut, space

__all__ = ["BagCAMs"]


class BagCAMs(ReadOut):
    """Takes each cell's gradient as a localizer of its own, and averages what all of them say.

    Paper: Zhu et al., Bagging Regional Classification Activation Maps for Weakly Supervised Object Localization, ECCV
    2022, arXiv 2207.07818. With features ``A`` of an intermediate stage and ``G`` the gradient of ``log S`` of the
    label's logit, ``T = G A``, ``u_k`` is the mean of ``T_k + 1`` over the cells, and ``M = sum_k ReLU(u_k T_k)``. On
    the way back every ReLU is guided: it stops negative gradients, too. Published: ResNet's ``layer3``.

    Where sources are silent or undefined, and what we took:

    - ``log S`` is not defined for a logit that is not positive, and the public code gives NaN there. Its derivative is
      ``1/S dS/dA``; ours is ``1/(|S| + 1e-8) dS/dA``, the same for every positive logit.
    - The stage of other backbones is the deepest that side branches read (``side_points``).
    - Guided are functions and modules of ReLU; other activations have no such rule and stay as they are.

    Args:
        method: the trained method.
        stage: name of the backbone's stage, or its place; None for the deepest of ``side_points``.
        guided: whether ReLUs are guided.

    Raises:
        SettingsError: there is no such stage.
    """

    title = "BagCAMs"
    reference = "Zhu et al., ECCV 2022, arXiv 2207.07818"
    search_space = space(guided=Choice((True, False)))

    def __init__(self, method: Method, stage: str | int | None = None, guided: bool = True) -> None:
        super().__init__(method)
        self.stage = stage_name(method, method.backbone.side_points[-1] if stage is None else stage)
        self.guided = guided

    def predict(self, images: Tensor, labels: Tensor) -> Prediction:
        """Return the method's logits and the labels' maps, at the stage's resolution and not below 0."""
        if self.guided:
            with _GuidedReLUs():
                logits, readings = read_stages(self.method, images, labels, (self.stage,))
        else:
            logits, readings = read_stages(self.method, images, labels, (self.stage,))
        features, gradient = readings[self.stage]
        scores = logits.gather(1, labels[:, None])[:, :, None, None]
        localizers = gradient / (scores.abs() + 1e-8) * features
        bag = (localizers + 1).mean((2, 3), keepdim=True)
        return Prediction(logits, (bag * localizers).relu().sum(1))


class _GuidedReLU(torch.autograd.Function):
    """A ReLU that stops negative gradients on the way back."""

    @staticmethod
    def forward(context: Any, features: Tensor) -> Tensor:
        found = features.relu()
        context.save_for_backward(found)
        return found

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        positive: Tensor = context.saved_tensors[0] > 0
        return gradients[0].relu() * positive


class _GuidedReLUs(TorchFunctionMode):
    """Puts guided ReLUs in the place of all that are called while it is open, as functions or by modules."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _RELUS:
            return _GuidedReLU.apply(args[0])
        return func(*args, **(kwargs or {}))


_RELUS = {functional.relu, functional.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_}
