"""Structure preserving activation: class maps kept flat inside the object, and spread at test along similar cells."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, cross_entropy, normalize

from wsolbench.config.ranges import Factor, Fraction, Positive
from wsolbench.models.layers import MapConv, conv_relu, maps_of, min_max
from wsolbench.models.method import Backbone, Exempt, LogUniform, Method, Prediction, Uniform, space

__all__ = ["SPA"]


class SPA(Method):
    """CAM's classifier with a loss that tells object from background cells, and self-correlation at test.

    Paper: Pan et al., Unveiling the Potential of Structure Preserving for Weakly Supervised Object Localization, CVPR
    2021, arXiv 2103.04523, and the authors' public code (MIT). Two 3x3 convolutions and a 1x1 one give class maps;
    their means are the logits.

    - ``restricted_activation``, from ``start`` on: with ``v`` the variance over classes of each cell's softmax,
      min-max normalised per image, cells with ``v < background_below`` are background and those with ``v >
      background_below + gap`` object. ``activation_weight`` times the mean of ``sigmoid(map) background + (1 -
      sigmoid(map)) object``, for the label's map.
    - At test, for each of two stages, first-order correlation of two cells is the ReLU of their features' cosine (0
      below ``first_order_from``, columns normalised), second-order the square of that without its diagonal (0 below
      ``second_order_from / cells``); the larger of the first and ``second_order_weight`` times the second counts, and
      stages are added. Seeds are the cells of the normalised map of at least ``object_from`` and of at most
      ``background_to``. A cell's score is its mean correlation with object seeds minus that with background seeds,
      cut at 0.

    Published: 0.5, and for CUB start 20 of 100 epochs, 0.1, gap 0.2, seeds 0.1 and 0.05, correlations 0.1, 0.5,
    weight 2; for ILSVRC start 5 of 20 epochs, 0.4, gap 0.1, correlations 0.2, 0.2, weight 1; rate 0.001, new layers
    ten times that, biases twice their layer's.

    Ours: an image without an object or a background seed keeps its map; heads of small networks are narrower, as
    ACoL's here; the stages are the backbone's first side point, brought to the cells of the last stage by averaging,
    and the last stage. VGG16 has the fourth and fifth, as published.

    Args:
        backbone: feature extractor; its neck is removed.
        num_classes: number of classes.
        activation_weight: of the restricted activation.
        start: share of the training after which it counts, in [0, 1].
        background_below: threshold of the variance, in [0, 1].
        gap: between the two thresholds, in [0, 1].
        first_order_from: least cosine that counts, in [0, 1].
        second_order_from: least second-order correlation that counts, in shares of an even one.
        second_order_weight: of the second order.
        object_from: least normalised activation of an object's seed, in [0, 1].
        background_to: largest of a background's, in [0, 1].
        head_channels: of the 3x3 convolutions; None is 1024, but at most twice the features' channels.
        bias_lr_mult: learning-rate factor of biases.
    """

    title = "SPA"
    reference = "Pan et al., CVPR 2021, arXiv 2103.04523"
    exempt = Exempt(rounding="a cell near a threshold may change sides with the last bit")
    search_space = space(
        activation_weight=LogUniform(0.1, 2),
        background_below=Uniform(0.05, 0.5),
        gap=Uniform(0, 0.3),
        object_from=Uniform(0.1, 0.5),
    )

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        activation_weight: Factor = 0.5,
        start: Fraction = 0.2,
        background_below: Fraction = 0.1,
        gap: Fraction = 0.2,
        first_order_from: Fraction = 0.1,
        second_order_from: Factor = 0.5,
        second_order_weight: Factor = 2.0,
        object_from: Fraction = 0.1,
        background_to: Fraction = 0.05,
        head_channels: Positive | None = None,
        bias_lr_mult: Factor = 2.0,
    ) -> None:
        backbone.remove_neck()
        super().__init__(backbone, num_classes)
        self.activation_weight, self.start, self.bias_lr_mult = activation_weight, start, bias_lr_mult
        self.background_below, self.gap = background_below, gap
        self.orders = (first_order_from, second_order_from, second_order_weight)
        self.object_from, self.background_to = object_from, background_to
        channels = backbone.out_channels
        width = head_channels or min(1024, 2 * channels)
        self.class_maps = nn.Sequential(
            conv_relu(channels, width), conv_relu(width, width), MapConv(width, num_classes, 1)
        )

    def losses(self, images: Tensor, targets: Tensor, progress: float) -> dict[str, Tensor]:
        """Return the cross-entropy and the restricted activation, which is 0 before its start.

        ``targets`` are ``(B,)`` int64; see :meth:`wsolbench.models.method.Method.losses`.
        """
        maps = self.class_maps(self.backbone(images))
        logits = maps.mean((2, 3))
        restricted = self.restricted_activation(maps, targets) if progress >= self.start else logits.new_zeros(())
        return {
            "classification": cross_entropy(logits, targets),
            "restricted_activation": self.activation_weight * restricted,
        }

    def restricted_activation(self, maps: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of the labels' maps, of all class maps ``(B, C, h, w)`` and labels ``(B,)``."""
        with torch.no_grad():
            spread = min_max(maps.softmax(1).var(1))
            background = (spread < self.background_below).to(maps.dtype)
            thing = (spread > self.background_below + self.gap).to(maps.dtype)
        own = maps_of(maps, labels).sigmoid()
        return (own * background + (1 - own) * thing).mean()

    def predict(self, images: Tensor, labels: Tensor) -> Prediction:
        """Return the logits and the labels' maps, spread by self-correlation; see the class."""
        earlier = self.backbone.side_points[0]
        last, taps = self.backbone.forward_taps(images, (earlier,))
        maps = self.class_maps(last)
        own = min_max(maps_of(maps, labels).relu())
        size = (own.shape[1], own.shape[2])
        return Prediction(maps.mean((2, 3)), self.spread(own, [adaptive_avg_pool2d(taps[earlier], size), last]))

    def spread(self, own: Tensor, features: Sequence[Tensor]) -> Tensor:
        """Return maps spread along correlated cells.

        Args:
            own: normalised maps, ``(B, h, w)`` in [0, 1].
            features: of each stage, ``(B, K, h, w)``.

        Returns:
            ``(B, h, w)`` in [0, 1].
        """
        correlation = torch.stack([self_correlation(each.float(), *self.orders) for each in features]).sum(0)
        cells = own.flatten(1)
        thing, background = (cells >= self.object_from).float(), (cells <= self.background_to).float()
        score = _mean_with(correlation, thing) - _mean_with(correlation, background)
        seeded = (thing.sum(1) * background.sum(1) > 0)[:, None, None]
        return torch.where(seeded, min_max(score.relu().view_as(own)), own)


def self_correlation(features: Tensor, first_from: float, second_from: float, weight: float) -> Tensor:
    """Return how much each cell says about each other one, ``(B, n, n)`` for the ``n`` cells of ``(B, K, h, w)``."""
    cells = normalize(features.flatten(2), dim=1)
    cosine = (cells.transpose(1, 2) @ cells).relu()
    first = cosine.where(cosine >= first_from, 0)
    apart = _columns(first * (1 - torch.eye(first.shape[1], device=first.device)))
    second = _columns(apart @ apart)
    second = second.where(second >= second_from / first.shape[1], 0)
    return torch.maximum(_columns(first), weight * second)


def _columns(matrix: Tensor) -> Tensor:
    """Return the matrix with columns that sum to one."""
    return matrix / (matrix.sum(1, keepdim=True) + 1e-5)


def _mean_with(correlation: Tensor, seeds: Tensor) -> Tensor:
    """Return each cell's mean correlation with the seeds, ``(B, n)``."""
    return (correlation @ seeds[:, :, None]).squeeze(2) / seeds.sum(1, keepdim=True).clamp(min=1)
