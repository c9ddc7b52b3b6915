"""Erasing integrated learning: the same network also classifies features without their most active cells."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy

from wsolbench.config.ranges import Fraction
from wsolbench.models.layers import ClassMapMethod, DropLayer, insert_drop_layers
from wsolbench.models.method import Backbone, Uniform, space

__all__ = ["EIL"]


class EIL(ClassMapMethod):
    """CAM's network, trained on features as they are and with the most active cells erased; nothing is erased at test.

    Paper: Mai et al., Erasing Integrated Learning, CVPR 2020; read in the first author's summary. Behind one stage the
    mean over channels is compared with a threshold, and cells above it are set to zero. What follows classifies both
    the unerased and the erased features, with the same weights. The two cross-entropies are added, with a weight.

    Ours, because the paper's numbers were not at hand: the threshold is relative to each image's maximum; the weight
    is the erased one's; both defaults; the stage is the last of the backbone's ``erase_points``; two passes, so that
    batch normalisation sees the two apart.

    Args:
        backbone: feature extractor; one layer is inserted into it.
        num_classes: number of classes.
        gamma: share of the maximal mean activation above which cells are erased, in [0, 1].
        erased_weight: of the erased features' loss, in [0, 1].
        erase_point: the stage behind which cells are erased; None for the backbone's last erase point.

    Raises:
        SettingsError: the stage is unknown.
    """

    title = "EIL"
    reference = "Mai et al., CVPR 2020"
    search_space = space(gamma=Uniform(0, 1), erased_weight=Uniform(0, 1))

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        gamma: Fraction = 0.8,
        erased_weight: Fraction = 0.5,
        erase_point: str | None = None,
    ) -> None:
        super().__init__(backbone, num_classes)
        self.erased_weight = erased_weight
        self.eraser = _Eraser(gamma)
        insert_drop_layers(backbone, [erase_point or backbone.erase_points[-1]], lambda: self.eraser)

    def losses(self, images: Tensor, targets: Tensor, progress: float) -> dict[str, Tensor]:
        """Return both passes' cross-entropies; see :meth:`wsolbench.models.method.Method.losses`."""
        unerased = super().losses(images, targets, progress)["classification"]
        self.eraser.erasing = True
        erased = cross_entropy(self.head(self.backbone(images)), targets)
        self.eraser.erasing = False
        return {"unerased": unerased, "erased": self.erased_weight * erased}


class _Eraser(DropLayer):
    def __init__(self, gamma: float) -> None:
        super().__init__()
        self.gamma = gamma
        self.erasing = False

    def drop(self, features: Tensor) -> Tensor:
        if not self.erasing:
            return features
        attention = features.detach().float().mean(1, keepdim=True)
        shown = attention <= self.gamma * attention.amax((2, 3), keepdim=True)
        return features * shown.to(features.dtype)
