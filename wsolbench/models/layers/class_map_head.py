"""Global average pooling and a linear classifier, whose weights also make the class maps."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from wsolbench.errors import SettingsError

__all__ = ["ClassMapHead"]


class ClassMapHead(nn.Module):
    """CAM's head: logits from pooled features, and the class map of one asked-for label per image.

    ``S_c = b_c + sum_k w_ck F_k`` with ``F_k`` the spatial mean of feature ``k``, and map
    ``M_c(x, y) = sum_k w_ck f_k(x, y)``, bias ignored (Zhou et al., Learning Deep Features for Discriminative
    Localization, CVPR 2016, arXiv 1512.04150). A 1x1 convolution to C channels before the pooling, as ACoL and SPG
    write it, gives the same logits and, up to the bias, the same maps, because both operations are linear. Pooling
    first, and making the asked-for map only, costs ``h * w`` times less arithmetic and C times less memory.

    Works in the weight's own precision, also under autocast: differences between neighbouring cells of a map would be
    lost in bfloat16. Initialised as ``nn.Linear`` is.
    """

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(in_channels, num_classes)

    @torch.no_grad()
    def adopt(self, weight: Tensor, bias: Tensor) -> None:
        """Take over a pretrained classifier's weight ``(C, K)`` and bias ``(C,)``.

        Raises:
            SettingsError: it is for another number of classes.
        """
        if weight.shape != self.classifier.weight.shape:
            raise SettingsError(
                f"backbone_args.keep_classifier: the pretrained classifier has {len(weight)} classes, the data set "
                f"{self.classifier.out_features}; remove keep_classifier"
            )
        self.classifier.weight.copy_(weight)
        self.classifier.bias.copy_(bias)

    def forward(self, features: Tensor) -> Tensor:
        """Turn features ``(B, K, h, w)`` into logits ``(B, C)``."""
        weight, bias = self.classifier.weight, self.classifier.bias
        with torch.autocast(features.device.type, enabled=False):
            return linear(features.mean((2, 3), dtype=weight.dtype), weight, bias)

    def maps(self, features: Tensor, labels: Tensor) -> Tensor:
        """Return each image's map of its label.

        Args:
            features: ``(B, K, h, w)``.
            labels: ``(B,)`` int64.

        Returns:
            ``(B, h, w)`` in the weight's type, any range.
        """
        weight = self.classifier.weight.index_select(0, labels)
        with torch.autocast(features.device.type, enabled=False):
            return torch.einsum("bkhw,bk->bhw", features.to(weight.dtype), weight)
