"""Class activation mapping: the baseline that every other method is measured against."""

from __future__ import annotations

from wsolbench.models.layers import ClassMapMethod
from wsolbench.models.method import Backbone

__all__ = ["CAM"]


class CAM(ClassMapMethod):
    """Classifier with global average pooling; the map of a class is its weights' sum of the last features.

    Paper: Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016, arXiv 1512.04150: feature
    ``F_k`` is the mean of map ``f_k``, logit ``S_c = sum_k w_ck F_k``, map ``M_c(x, y) = sum_k w_ck f_k(x, y)``, bias
    ignored. The loss is the cross-entropy of the logits.

    Published with it: a 3x3 convolution of 1024 units (the backbone's neck) on a map enlarged by leaving out the last
    convolutions (the backbone's output stride), and boxes at 20 % of the map's maximum. The released box tool takes
    three absolute grey levels (20, 100, 110 of 255) and the released maps are averages over 10 crops; thresholds and
    crops belong to the harness here and are the same for all methods. The released VGG network has dropout before a
    classifier without bias; ours has no dropout and a bias, which the map ignores, as the paper's definition does.

    Args:
        backbone: feature extractor.
        num_classes: number of classes.
    """

    title = "CAM"
    reference = "Zhou et al., CVPR 2016, arXiv 1512.04150"

    def __init__(self, backbone: Backbone, num_classes: int) -> None:
        super().__init__(backbone, num_classes)
