"""Self-produced guidance: pixels that are surely object or background teach side branches, stage by stage."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from wsolbench.config.ranges import Count, Factor, Fraction, Positive
from wsolbench.errors import SettingsError
from wsolbench.models.layers import ClassMapMethod, chosen_points, conv_relu, he_init, min_max, upsample
from wsolbench.models.method import Backbone, Choice, Uniform, space

__all__ = ["SPG"]

_NEEDED_POINTS = 2


class SPG(ClassMapMethod):
    """Classifier A whose attention supervises side branch B2, which supervises B1; both supervise C. The map is A's.

    Paper: Zhang et al., Self-produced Guidance for Weakly-supervised Object Localization, ECCV 2018, arXiv
    1807.08902. B1 and B2 read two stages of the backbone, C its last features: 3x3 to 512, ReLU; then B1 and B2
    share a 3x3 of 512, ReLU and a 1x1 to one channel, C has its own 1x1. Their logits are brought to the input's
    resolution. A guidance mask is 1 where a map exceeds a high threshold, 0 where it is below a low one, and ignored
    elsewhere; where fewer than ``min_seed_pixels`` exceed the high one, it becomes ``fallback`` times the image's
    maximum:

    - B2 learns from A's map of the label, min-max normalised (``thresholds_b2``);
    - B1 learns from sigmoid(B2) (``thresholds_b1``);
    - C learns from the mean of sigmoid(B1) and sigmoid(B2) (``thresholds_c``).

    Loss: cross-entropy of A plus, for each branch, the binary cross-entropy averaged over all pixels of the batch
    that are not ignored, all with weight 1. No gradient passes through the masks.

    Where sources differ, and what we took:

    - ``thresholds_b2``: (0.7, 0.05) as the authors' code; the re-implementation of Choe et al. has (0.7, 0.01).
    - Fallback per image; in the authors' code it stays for the rest of the batch, which its purpose cannot be.
    - Dropout of 0.5 before the classifier, in training only; the authors' call names no mode, so that its effect at
      test depends on the library's version. Those before their other two convolutions of A are the business of the
      backbone's neck, which these are.
    - Masks are made at the resolution of the input, 224 in the authors' code; upsampling is bilinear (ours). Only
      the label's map is upsampled. A pixel that is both above the fallback and below the low threshold is foreground
      (ours).
    - Side branches off InceptionV3, the authors' only backbone, read the backbone's ``side_points``.
    - Rates: everything new ``head_lr_mult`` times the backbone's, as the authors' script sets up; in effect their group
      of ten times the rate is empty, since no parameter has the name that it looks for. Biases have twice the rate, all
      the same weight decay.

    Args:
        backbone: feature extractor with two side points.
        num_classes: number of classes.
        thresholds_b2: (high, low) on A's normalised map, in [0, 1].
        thresholds_b1: (high, low) on sigmoid(B2), in [0, 1].
        thresholds_c: (high, low) on the fused map, in [0, 1].
        min_seed_pixels: fewest pixels above the high threshold without fallback.
        fallback: share of the maximum that then is the high threshold, in [0, 1].
        dropout: probability, before the classifier.
        branch_channels: of the branches' 3x3 convolutions. None is the published 512, but at most the channels of the
            deeper side point, so that a small backbone does not carry branches many times its size (ours).
        bias_lr_mult: learning-rate factor of biases.
        side_points: the two stages that B1 and B2 read, shallow to deep; None for the backbone's.

    Raises:
        SettingsError: an argument is out of range, or a stage unknown.
    """

    title = "SPG"
    reference = "Zhang et al., ECCV 2018, arXiv 1807.08902"
    search_space = space(
        thresholds_b2=Choice(((0.7, 0.05), (0.7, 0.01), (0.7, 0.1), (0.5, 0.05))),
        thresholds_b1=Choice(((0.5, 0.05), (0.5, 0.1), (0.7, 0.05))),
        thresholds_c=Choice(((0.7, 0.1), (0.7, 0.05), (0.5, 0.1))),
        fallback=Uniform(0.5, 0.9),
    )

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        thresholds_b2: tuple[Fraction, Fraction] = (0.7, 0.05),
        thresholds_b1: tuple[Fraction, Fraction] = (0.5, 0.05),
        thresholds_c: tuple[Fraction, Fraction] = (0.7, 0.1),
        min_seed_pixels: Count = 30,
        fallback: Fraction = 0.7,
        dropout: Fraction = 0.5,
        branch_channels: Positive | None = None,
        bias_lr_mult: Factor = 2.0,
        side_points: tuple[str, ...] | None = None,
    ) -> None:
        super().__init__(backbone, num_classes)
        self.thresholds_b2 = _pair("thresholds_b2", thresholds_b2)
        self.thresholds_b1 = _pair("thresholds_b1", thresholds_b1)
        self.thresholds_c = _pair("thresholds_c", thresholds_c)
        self.min_seed_pixels = min_seed_pixels
        self.fallback = fallback
        self.bias_lr_mult = bias_lr_mult
        self.side_points = chosen_points(backbone, "side_points", side_points, backbone.side_points, _NEEDED_POINTS)
        side1, side2 = (backbone.channels[point] for point in self.side_points)
        width = min(512, side2) if branch_channels is None else branch_channels
        self.dropout = nn.Dropout(dropout)
        self.branch_b1 = conv_relu(side1, width)
        self.branch_b2 = conv_relu(side2, width)
        self.shared_b = nn.Sequential(conv_relu(width, width), he_init(nn.Conv2d(width, 1, 1)))
        self.branch_c = nn.Sequential(conv_relu(backbone.out_channels, width), he_init(nn.Conv2d(width, 1, 1)))

    def losses(self, images: Tensor, targets: Tensor, progress: float) -> dict[str, Tensor]:
        """Return ``classification``, ``b1``, ``b2`` and ``c``.

        ``targets`` are ``(B,)`` int64; see :meth:`wsolbench.models.method.Method.losses`.
        """
        last, taps = self.backbone.forward_taps(images, self.side_points)
        dropped = self.dropout(last)
        size = (images.shape[2], images.shape[3])
        point1, point2 = self.side_points
        b1 = upsample(self.shared_b(self.branch_b1(taps[point1]))[:, 0], size)
        b2 = upsample(self.shared_b(self.branch_b2(taps[point2]))[:, 0], size)
        c = upsample(self.branch_c(last)[:, 0], size)
        with torch.no_grad():
            attention = upsample(min_max(self.head.maps(dropped, targets)), size)
            fused = (b1.sigmoid() + b2.sigmoid()) / 2
        return {
            "classification": cross_entropy(self.head(dropped), targets),
            "b1": self.guidance_loss(b1, b2.detach().sigmoid(), self.thresholds_b1),
            "b2": self.guidance_loss(b2, attention, self.thresholds_b2),
            "c": self.guidance_loss(c, fused, self.thresholds_c),
        }

    def guidance_loss(self, logits: Tensor, maps: Tensor, thresholds: tuple[float, float]) -> Tensor:
        """Return the mean binary cross-entropy over the pixels that the maps are sure about, 0 where there are none.

        Args:
            logits: ``(B, H, W)`` of a branch.
            maps: ``(B, H, W)`` in [0, 1], without gradient.
            thresholds: (high, low).
        """
        foreground, background = self.guidance(maps, thresholds)
        sure = foreground | background
        each = binary_cross_entropy_with_logits(logits, foreground.to(logits.dtype), reduction="none")
        return (each * sure).sum() / sure.sum().clamp(min=1)

    def guidance(self, maps: Tensor, thresholds: tuple[float, float]) -> tuple[Tensor, Tensor]:
        """Return the pixels that are surely object and surely background, ``(B, H, W)`` bool each, of such maps."""
        high, low = thresholds
        too_few = (maps > high).sum((1, 2), keepdim=True) < self.min_seed_pixels
        lowered = self.fallback * maps.amax((1, 2), keepdim=True)
        foreground = maps > torch.where(too_few, lowered, high)
        return foreground, (maps < low) & ~foreground


def _pair(name: str, thresholds: tuple[float, float]) -> tuple[float, float]:
    high, low = thresholds
    if low > high:
        raise SettingsError(f"{name}: {high} is below {low}; the higher threshold comes first")
    return high, low
