"""Gradients of a trained network's scores, for maps that are read from them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from wsolbench.models.layers.points import chosen_points
from wsolbench.models.method import Method

__all__ = ["Reading", "read_stages", "stage_name"]

Reading = tuple[Tensor, Tensor]
"""Features behind a stage and the gradient of the label's logit with respect to them, each ``(B, K, h, w)``."""


def stage_name(method: Method, stage: str | int) -> str:
    """Return a stage by its name or place, counted from the last one if negative.

    Raises:
        SettingsError: there is no such stage.
    """
    names = method.backbone.stage_names
    if isinstance(stage, int) and -len(names) <= stage < len(names):
        return names[stage]
    return chosen_points(method.backbone, "stage", (str(stage),), ())[0]


def read_stages(
    method: Method, images: Tensor, labels: Tensor, stages: Sequence[str]
) -> tuple[Tensor, dict[str, Reading]]:
    """Run a trained network, and back from the logits of the asked-for labels; no graph is kept.

    In evaluation mode images do not meet, so that one pass serves the batch.

    Args:
        method: its parameters need no gradient, so that the way back ends at the first of the stages.
        images: ``(B, 3, H, W)``, normalised.
        labels: ``(B,)`` int64.
        stages: names of stages; see :meth:`~wsolbench.models.backbones.base.Backbone.watched`.

    Returns:
        Logits ``(B, C)``, and a :data:`Reading` by stage.
    """
    with torch.enable_grad(), method.backbone.watched(stages) as features:
        logits = method.predict(images, labels).logits
        score = logits.gather(1, labels[:, None]).sum()
        gradients = torch.autograd.grad(score, [features[stage] for stage in stages])
    readings = zip(stages, gradients, strict=True)
    return logits.detach(), {stage: (features[stage].detach(), gradient) for stage, gradient in readings}
