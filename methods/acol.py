"""Adversarial complementary learning: a second classifier on what the first did not look at."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from wsolbench.config.ranges import Factor, Positive
from wsolbench.models.layers import ClassMapHead, conv_relu, min_max
from wsolbench.models.method import CHOE2020, Backbone, Method, Prediction, Uniform, space

__all__ = ["ACoL"]


class ACoL(Method):
    """Two parallel classifiers on one feature map; the second sees it without the first one's most active regions.

    Paper: Zhang et al., Adversarial Complementary Learning for Weakly Supervised Object Localization, CVPR 2018. Each
    branch is 3x3 to 1024, ReLU, 3x3 to 1024, ReLU, 1x1 to the classes, global average pooling. Branch A's map of the
    image's label is min-max normalised; where it reaches ``erase_threshold`` the features are set to zero for branch B.
    No gradient passes through the mask. Loss: cross-entropy of A plus that of B, equally weighted. The map is the
    pointwise maximum of both branches' normalised maps; the logits are A's.

    Where sources differ, and what we took:

    - ``erase_threshold``: 0.6, as the authors' scripts for CUB and ILSVRC; the re-implementation of Choe et al. has
      0.7.
    - The label that erases at test: the authors' validation code feeds the ground truth (its argmax is commented out).
      A map here is always asked for a given label, and that label erases, too. Branch B's map therefore depends on
      the true label wherever the harness asks for the true label's map, as in the authors' code. The logits do not.
    - Branches replace the backbone's neck, as the authors' do (VGG's heads follow pool5, not a conv6). The authors' 3x3
      average pool of stride 1 before the VGG heads belongs to that network, not to the method.
    - Branches on other backbones, which the authors do not have, read the last feature map, as Choe et al.'s.
    - Rates: heads ``head_lr_mult`` times the backbone's (10 in the authors' code), biases twice their layer's (so 2 and
      20), the same weight decay for all.
    - A constant map of A points nowhere and erases nothing.

    Args:
        backbone: feature extractor; its neck is removed.
        num_classes: number of classes.
        erase_threshold: normalised activation from which branch B sees nothing; above 1, B sees everything.
        head_channels: of the branches' 3x3 convolutions. None is the published 1024, but at most twice the features'
            channels, so that a small backbone does not carry heads a hundred times its size (ours).
        bias_lr_mult: learning-rate factor of biases.

    Raises:
        SettingsError: an argument is out of range.
    """

    title = "ACoL"
    reference = "Zhang et al., CVPR 2018"
    search_space = space(erase_threshold=Uniform(0, 1, source=CHOE2020))

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        erase_threshold: Factor = 0.6,
        head_channels: Positive | None = None,
        bias_lr_mult: Factor = 2.0,
    ) -> None:
        backbone.remove_neck()
        super().__init__(backbone, num_classes)
        self.erase_threshold = erase_threshold
        self.bias_lr_mult = bias_lr_mult
        channels = backbone.out_channels
        width = min(1024, 2 * channels) if head_channels is None else head_channels
        self.convs_a = nn.Sequential(conv_relu(channels, width), conv_relu(width, width))
        self.convs_b = nn.Sequential(conv_relu(channels, width), conv_relu(width, width))
        self.head_a = ClassMapHead(width, num_classes)
        self.head_b = ClassMapHead(width, num_classes)

    def losses(self, images: Tensor, targets: Tensor, progress: float) -> dict[str, Tensor]:
        """Return each branch's cross-entropy, as ``branch_a`` and ``branch_b``.

        ``targets`` are ``(B,)`` int64; see :meth:`wsolbench.models.method.Method.losses`.
        """
        features = self.backbone(images)
        seen_a = self.convs_a(features)
        with torch.no_grad():
            map_a = min_max(self.head_a.maps(seen_a, targets))
        seen_b = self.convs_b(self.erase(features, map_a))
        return {
            "branch_a": cross_entropy(self.head_a(seen_a), targets),
            "branch_b": cross_entropy(self.head_b(seen_b), targets),
        }

    def predict(self, images: Tensor, labels: Tensor) -> Prediction:
        """Return branch A's logits and the larger of both branches' normalised maps of the labels, in [0, 1]."""
        features = self.backbone(images)
        seen_a = self.convs_a(features)
        map_a = min_max(self.head_a.maps(seen_a, labels))
        map_b = min_max(self.head_b.maps(self.convs_b(self.erase(features, map_a)), labels))
        return Prediction(self.head_a(seen_a), map_a.maximum(map_b))

    def erase(self, features: Tensor, normalised_map: Tensor) -> Tensor:
        """Set features to zero where the map reaches the threshold.

        Args:
            features: ``(B, K, h, w)``.
            normalised_map: ``(B, h, w)`` in [0, 1].
        """
        return features * (normalised_map < self.erase_threshold).unsqueeze(1).to(features.dtype)
