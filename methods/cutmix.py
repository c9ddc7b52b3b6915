"""CutMix: images with a rectangle of another one, and labels mixed by area."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Beta
from torch.nn.functional import one_hot

from wsolbench.config.ranges import Fraction, PositiveFactor
from wsolbench.models.layers import ClassMapMethod, to_device
from wsolbench.models.method import Backbone, LogUniform, Uniform, space

__all__ = ["CutMix"]


class CutMix(ClassMapMethod):
    """CAM's network, trained on pairs of images pasted into each other; nothing changes at test.

    Paper: Yun et al., CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features, ICCV 2019,
    arXiv 1905.04899, section 3.1. ``lambda`` is drawn from ``Beta(alpha, alpha)``. A rectangle of ``sqrt(1 - lambda)``
    times the image's sides, centred at a uniformly drawn pixel and cut off at the border, is replaced with that of
    another image of the batch. ``lambda`` then becomes the share of the image that is left, exactly. The loss is
    ``lambda * CE(own label) + (1 - lambda) * CE(other label)``, which is the cross-entropy with those class
    probabilities. The map is CAM's.

    Published: ``alpha`` 1 (section 3.1); box threshold 0.15 of the maximum and the recipes for CUB and ILSVRC in
    appendix B, which belong to tracks here. The authors' repository has no localization code.

    Where sources differ, and what we took:

    - ``probability`` of mixing a batch: 1 in the paper's formulas and in the port of Choe et al.; the authors' code has
      a switch that is 0 by default, 1 in its ImageNet command and 0.5 in its CIFAR commands.
    - One ``lambda``, one rectangle and one permutation for the whole batch, as in the authors' code; an image may meet
      itself.
    - Sides of the rectangle are rounded towards zero, its half side too, as in the authors' code.

    With ``probability`` 0 it is CAM, exactly.

    Args:
        backbone: feature extractor.
        num_classes: number of classes.
        alpha: both parameters of the Beta distribution, above 0.
        probability: that a batch is mixed, in [0, 1].

    Raises:
        SettingsError: an argument is out of range.
    """

    title = "CutMix"
    reference = "Yun et al., ICCV 2019, arXiv 1905.04899"
    search_space = space(alpha=LogUniform(0.1, 10), probability=Uniform(0, 1))

    def __init__(
        self, backbone: Backbone, num_classes: int, alpha: PositiveFactor = 1.0, probability: Fraction = 1.0
    ) -> None:
        super().__init__(backbone, num_classes)
        self.alpha = alpha
        self.probability = probability

    def batch_transform(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Paste a rectangle of each image's partner; see :meth:`wsolbench.models.method.Method.batch_transform`.

        Returns:
            Images, and ``(B, C)`` float32 class probabilities (the labels as they are for a batch that is not mixed).
        """
        if float(torch.rand((), generator=generator)) >= self.probability:
            return images, targets
        height, width = images.shape[2:]
        top, bottom, left, right = self._rectangle(height, width, generator)
        partner = to_device(torch.randperm(len(images), generator=generator), images.device)
        mixed = images.clone()
        mixed[:, :, top:bottom, left:right] = images[partner, :, top:bottom, left:right]
        own = 1 - (bottom - top) * (right - left) / (height * width)
        classes = one_hot(targets, self.num_classes).to(torch.float32)
        return mixed, own * classes + (1 - own) * classes[partner]

    def _rectangle(self, height: int, width: int, generator: torch.Generator) -> tuple[int, int, int, int]:
        """Draw top, bottom, left and right (half-open) of the rectangle that is replaced."""
        ratio = (1 - _draw_beta(self.alpha, generator)) ** 0.5
        top, bottom = _span(height, ratio, generator)
        return top, bottom, *_span(width, ratio, generator)


def _span(side: int, ratio: float, generator: torch.Generator) -> tuple[int, int]:
    half = int(side * ratio) // 2
    centre = int(torch.randint(side, (), generator=generator))
    return max(centre - half, 0), min(centre + half, side)


def _draw_beta(alpha: float, generator: torch.Generator) -> float:
    """Draw from ``Beta(alpha, alpha)`` with the generator, which torch's distributions cannot be given."""
    with torch.random.fork_rng(devices=()):
        torch.default_generator.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        return float(Beta(alpha, alpha).sample())
