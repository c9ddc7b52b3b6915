"""Score-CAM: channels weighed by the score of the image that each of them lets through; no gradient."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from wsolbench.config.ranges import Positive
from wsolbench.models.layers import min_max, stage_name, upsample
from wsolbench.models.method import Choice, Method, Prediction, ReadOut, space

__all__ = ["ScoreCAM"]


class ScoreCAM(ReadOut):
    """Multiplies the image by each channel of a stage, and weighs the channel by the label's logit that is left.

    Paper: Wang et al., Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks, CVPR Workshops
    2020, arXiv 1910.01279, algorithm 1. With ``H_k`` the channel, upsampled to the image and scaled to [0, 1], the
    weights are ``softmax_k S(X H_k)`` and the map is ``ReLU(sum_k w_k A_k)``. The paper subtracts the score of a
    baseline image, which a softmax over channels does not see.

    Each image costs as many forward passes as the stage has channels.

    Where sources differ, and what we took: the paper (and pytorch-grad-cam) scale after the upsampling, torch-cam
    before (``scaled="before"``). Upsampling is bilinear and does not align corners, as torch-cam's. A constant channel,
    which has no scale, lets nothing through.

    Args:
        method: the trained method.
        stage: name of the backbone's stage, or its place; -1 is the last.
        scaled: whether channels are scaled to [0, 1] before or after they are upsampled.
        chunk: masked images per forward pass; changes no number but by rounding.

    Raises:
        SettingsError: there is no such stage.
    """

    title = "Score-CAM"
    reference = "Wang et al., CVPR Workshops 2020, arXiv 1910.01279"
    search_space = space(stage=Choice((-1, -2)))

    def __init__(
        self,
        method: Method,
        stage: str | int = -1,
        scaled: Literal["before", "after"] = "after",
        chunk: Positive = 32,
    ) -> None:
        super().__init__(method)
        self.stage = stage_name(method, stage)
        self.scaled = scaled
        self.chunk = chunk

    def predict(self, images: Tensor, labels: Tensor) -> Prediction:
        """Return the method's logits and the labels' maps, at the stage's resolution and not below 0."""
        with torch.no_grad():
            with self.backbone.watched((self.stage,)) as seen:
                logits = self.method.predict(images, labels).logits
            features = seen[self.stage].detach()
            scores = torch.stack([self._scores(*each) for each in zip(images, labels, features, strict=True)])
            weights = scores.softmax(1)
            return Prediction(logits, torch.einsum("bk,bkhw->bhw", weights, features).relu())

    def _scores(self, image: Tensor, label: Tensor, channels: Tensor) -> Tensor:
        """Return the label's logit ``(K,)`` of an image ``(3, H, W)`` behind each channel ``(K, h, w)``."""
        size, found = (image.shape[1], image.shape[2]), []
        for part in torch.split(channels, self.chunk):
            masks = upsample(min_max(part), size) if self.scaled == "before" else min_max(upsample(part, size))
            masked = image * masks[:, None].to(image.dtype)
            logits = self.method.predict(masked, label.expand(len(masked))).logits
            found.append(logits.gather(1, label.expand(len(masked), 1))[:, 0])
        return torch.cat(found)
