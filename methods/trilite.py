"""TriLite: a frozen self-supervised transformer, and a head that tells object, background and neither."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from wsolbench.config.ranges import Fraction, PositiveFactor
from wsolbench.models.method import Backbone, Choice, LogUniform, Method, OptimRecipe, ParamGroup, Prediction, space

__all__ = ["TriLite"]

_NO_MASS, _CERTAIN = 1e-6, 1e-7


class TriLite(Method):
    """Trains a classifier of the class token and a three-channel head of the patch tokens; the backbone stays frozen.

    Paper: TriLite, CVPR 2026, arXiv 2602.23120, as its public code states it. Tokens are those before the last
    normalisation. The class token is classified behind dropout by one linear layer. The head is a 3x3 convolution
    without bias, batch normalisation and a softmax over three channels: object, background, neither. The patch tokens'
    means, weighted by the first and by the second channel, are classified behind dropout by one other linear layer for
    both. Losses: the cross-entropy of the class token; that of the object's mean; and ``background_weight`` times
    ``-log(1 - p + 1e-7)`` with ``p`` the label's probability by the background's mean. No loss acts on the third
    channel itself. The map is the object's channel, which knows no class.

    Published (the authors' code), DINOv2 ViT-S/14 at 224 pixels in training and 448 in test, AdamW, weight decay 0.01,
    constant rate: CUB at rate 5e-5 and ten times that for the class token's classifier (here ``head_lr_mult``), batch
    128, weight 100, dropout 0.5; ILSVRC at 5e-6 and fifty times that, batch 256, weight 500, dropout 0.25.

    Ours: one checkpoint, by the track's ``selection``, where the authors join the class token's classifier of the epoch
    that classifies ``val`` best and the head of the one that localizes best; a fixed number of epochs, where theirs end
    ten after the best; maps enlarged bilinearly, as for all methods, not bicubically.

    Args:
        backbone: a transformer; all of it is frozen.
        num_classes: number of classes.
        background_weight: of the background's loss, above 0.
        token_dropout: of the class token, in [0, 1].
        region_dropout: of the weighted means, in [0, 1].
    """

    title = "TriLite"
    reference = "CVPR 2026, arXiv 2602.23120"
    class_agnostic = True
    needs_tokens = True
    search_space = space(
        background_weight=LogUniform(1, 1000),
        token_dropout=Choice((0.0, 0.25, 0.5)),
        region_dropout=Choice((0.25, 0.5)),
    )

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        background_weight: PositiveFactor = 100.0,
        token_dropout: Fraction = 0.5,
        region_dropout: Fraction = 0.5,
    ) -> None:
        super().__init__(backbone, num_classes)
        self.background_weight = background_weight
        self.token_dropout = nn.Dropout(token_dropout)
        self.region_dropout = nn.Dropout(region_dropout)
        backbone.freeze(backbone.stage_names)
        self.last_block = backbone.stage_names[-2]
        width = backbone.channels[self.last_block]
        self.token_classifier = nn.Linear(width, num_classes)
        self.regions = nn.Sequential(nn.Conv2d(width, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3))
        self.region_classifier = nn.Linear(width, num_classes)

    def losses(self, images: Tensor, targets: Tensor, progress: float) -> dict[str, Tensor]:
        """Return ``token``, ``object`` and ``background``; see :meth:`wsolbench.models.method.Method.losses`."""
        patches, token = self.tokens(images)
        return {
            "token": cross_entropy(self.token_classifier(self.token_dropout(token)), targets),
            **self.region_losses(patches, self.channels(patches), targets),
        }

    def region_losses(self, patches: Tensor, channels: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return the losses of patch tokens ``(B, K, h, w)`` and channels ``(B, 3, h, w)``."""
        seen, hidden = (
            self.region_classifier(self.region_dropout(_weighted_mean(patches, channels[:, index]))) for index in (0, 1)
        )
        own = hidden.softmax(1, dtype=channels.dtype).gather(1, targets[:, None])
        background = -(1 - own + _CERTAIN).log().mean()
        return {"object": cross_entropy(seen, targets), "background": self.background_weight * background}

    def predict(self, images: Tensor, labels: Tensor) -> Prediction:
        """Return the class token's logits and the object's channel."""
        patches, token = self.tokens(images)
        return Prediction(self.token_classifier(token), self.channels(patches)[:, 0])

    def tokens(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return patch tokens ``(B, K, h, w)`` and the class token ``(B, K)``, before the last normalisation."""
        token = f"{self.last_block}.class_token"
        _, taps = self.backbone.forward_taps(images, [self.last_block, token])
        return taps[self.last_block], taps[token]

    def channels(self, patches: Tensor) -> Tensor:
        """Return the shares of object, background and neither in each cell, ``(B, 3, h, w)``."""
        scores: Tensor = self.regions(patches)
        return scores.softmax(1, dtype=torch.promote_types(scores.dtype, torch.float32))

    def param_groups(self, recipe: OptimRecipe) -> list[ParamGroup]:
        """Train the class token's classifier ``head_lr_mult`` times faster than the rest."""
        classifier = list(self.token_classifier.parameters())
        rest = [*self.regions.parameters(), *self.region_classifier.parameters()]
        return [{"params": rest, "lr": recipe.lr}, {"params": classifier, "lr": recipe.lr * recipe.head_lr_mult}]


def _weighted_mean(patches: Tensor, weights: Tensor) -> Tensor:
    """Return the mean of tokens ``(B, K, h, w)`` by weights ``(B, h, w)``, ``(B, K)``."""
    total = weights.sum((1, 2))[:, None] + _NO_MASS
    return torch.einsum("bkhw,bhw->bk", patches.to(weights.dtype), weights) / total
