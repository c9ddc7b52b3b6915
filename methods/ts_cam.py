"""TS-CAM: a transformer's class maps, times where its class token looks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from wsolbench.models.method import Backbone, Method, Prediction

__all__ = ["TSCAM"]

_STD = 0.02


class TSCAM(Method):
    """Patch tokens are classified by a convolution; their class maps are multiplied by the class token's attention.

    Paper: Gao et al., TS-CAM: Token Semantic Coupled Attention Map for Weakly Supervised Object Localization, ICCV
    2021, arXiv 2103.14862. Behind the last normalisation, a 3x3 convolution (padding 1) turns patch tokens into ``C``
    class maps, whose spatial means are the logits; the loss is their cross-entropy. The class token has no classifier.
    Of each block's attention the row of the class token at the patches is averaged over heads and summed over blocks;
    the map of a class is that sum times its class map.

    Published (the authors' code): DeiT-S, drop path 0.1, AdamW with weight decay 0.05; CUB at rate 5e-5, batch 128, 60
    epochs, a tenth every 30; ILSVRC at 5e-4, batch 256, 20 epochs; boxes at 0.1 (CUB) and 0.12 of the maximum. It takes
    the epoch that is best on test; here the track's ``selection`` decides, for all methods alike.

    Ours: the weights' normal distribution, of deviation 0.02, is not cut off; the authors' is, at a hundred deviations.
    The bias starts as PyTorch's does. There is no argument, so that a search draws the recipe alone.

    Args:
        backbone: a transformer.
        num_classes: number of classes.
    """

    title = "TS-CAM"
    reference = "Gao et al., ICCV 2021, arXiv 2103.14862"
    needs_tokens = True

    def __init__(self, backbone: Backbone, num_classes: int) -> None:
        super().__init__(backbone, num_classes)
        self.classes = nn.Conv2d(backbone.out_channels, num_classes, 3, padding=1)
        nn.init.normal_(self.classes.weight, std=_STD)
        blocks = [stage for stage in backbone.stage_names if stage.startswith("block")]
        self.attention_taps = [f"{block}.attention" for block in blocks]

    def losses(self, images: Tensor, targets: Tensor, progress: float) -> dict[str, Tensor]:
        """Return the cross-entropy, as ``classification``; see :meth:`wsolbench.models.method.Method.losses`."""
        return {"classification": cross_entropy(self.classes(self.backbone(images)).mean((2, 3)), targets)}

    def predict(self, images: Tensor, labels: Tensor) -> Prediction:
        """Return the logits and the coupled maps; see :meth:`wsolbench.models.method.Method.predict`."""
        attention, semantic = self.factors(images)
        own = semantic[torch.arange(len(labels), device=labels.device), labels]
        return Prediction(semantic.mean((2, 3)), attention * own)

    def factors(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the attention ``(B, h, w)``, which knows no class, and all class maps ``(B, C, h, w)``."""
        patches, taps = self.backbone.forward_taps(images, self.attention_taps)
        attention = torch.stack([taps[name].mean(1) for name in self.attention_taps]).sum(0)
        return attention, self.classes(patches)
