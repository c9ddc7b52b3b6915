"""Background activation suppression: a mask is good if what it leaves out no longer shows the class."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, cross_entropy

from wsolbench.config.ranges import Factor, Positive
from wsolbench.models.layers import MapConv, call_apart, conv_relu, maps_of
from wsolbench.models.method import Backbone, Exempt, LogUniform, Method, Prediction, Uniform, space

__all__ = ["BAS"]


class BAS(Method):
    """A classifier, and a generator of a foreground mask per class on the features of an earlier stage.

    Paper: Wu et al., Background Activation Suppression for Weakly Supervised Object Localization, CVPR 2022, arXiv
    2112.00580, and the authors' public code. With ``F`` the features of an earlier stage, ``Z`` the class maps of the
    whole network (two 3x3 convolutions, a 1x1 one, ReLU), ``S = GAP(Z)`` the scores, and ``M`` the sigmoid of a 3x3
    convolution on ``F``, of the label's channel:

    - The rest of the network also sees ``F (1 - M)``, with its present weights as constants, so that gradients reach
      ``M`` alone, and with the statistics of these features, of which nothing stays. Its score of the label is
      ``S_bg``.
    - ``suppression``: mean over images of ``S_bg / (S + 1e-8)``, with ``S`` as a constant, and 0 where ``S_bg >= S``.
    - ``area``: ``area_weight`` times the mean of ``M``, without which the mask would cover all.
    - ``classification``: cross-entropy of ``S``; ``foreground``: ``foreground_weight`` times that of ``GAP(Z M)``.

    Published, for CUB and ILSVRC: ``area_weight`` 0.7 and 1 with VGG16, 1.2 and 2 with ResNet50, 1 and 2.5 with
    InceptionV3, 1.5 with MobileNetV1; ``foreground_weight`` 0.5 (VGG16 on CUB 0, on ILSVRC 0.05; else 1, 1 and 0.5
    there); Nesterov, rate 0.001, new layers ten times that, biases twice their layer's, weight decay 5e-4; CUB 100
    epochs of batch 32, a tenth from 80 on. VGG16 reads ``F`` in front of its fourth pooling, as here.

    Ours: the map is the mask of the asked-for class. The authors average those of the 80 (VGG16) or 200 (others, CUB)
    most probable classes, whatever the label. With other networks ``F`` is the backbone's first side point, and no
    pooling is added behind it. Heads of small networks are narrower, as ACoL's here.

    Args:
        backbone: feature extractor; its neck is removed.
        num_classes: number of classes.
        area_weight: alpha.
        foreground_weight: lambda.
        head_channels: of the classifier's 3x3 convolutions; None is 1024, but at most twice the features' channels.
        mask_point: the stage whose output is ``F``; None for the backbone's first side point.
        bias_lr_mult: learning-rate factor of biases.
    """

    title = "BAS"
    reference = "Wu et al., CVPR 2022, arXiv 2112.00580"
    exempt = Exempt(rounding="whether the background scores less than the whole may change with the last bit")
    refuses_tokens = "the class token would carry what the mask hides"
    search_space = space(area_weight=LogUniform(0.3, 3), foreground_weight=Uniform(0, 1))

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        area_weight: Factor = 1.0,
        foreground_weight: Factor = 0.5,
        head_channels: Positive | None = None,
        mask_point: str | None = None,
        bias_lr_mult: Factor = 2.0,
    ) -> None:
        backbone.remove_neck()
        super().__init__(backbone, num_classes)
        self.area_weight, self.foreground_weight, self.bias_lr_mult = area_weight, foreground_weight, bias_lr_mult
        self.mask_point = mask_point or backbone.side_points[0]
        stages = backbone.stage_names
        self.after_mask = stages[stages.index(self.mask_point) + 1]
        channels = backbone.out_channels
        width = head_channels or min(1024, 2 * channels)
        self.class_maps = nn.Sequential(
            conv_relu(channels, width), conv_relu(width, width), MapConv(width, num_classes, 1)
        )
        self.generator = MapConv(backbone.channels[self.mask_point], num_classes, 3, padding=1)

    def losses(self, images: Tensor, targets: Tensor, progress: float) -> dict[str, Tensor]:
        """Return the four losses, weighted; see the class.

        ``targets`` are ``(B,)`` int64; see :meth:`wsolbench.models.method.Method.losses`.
        """
        last, taps = self.backbone.forward_taps(images, (self.mask_point,))
        features, maps = taps[self.mask_point], self.class_maps(last).relu()
        mask = self.mask(features, targets)
        scores = maps.mean((2, 3))
        foreground = (maps * _pooled(mask, maps)).mean((2, 3))
        return {
            "classification": cross_entropy(scores, targets),
            "foreground": self.foreground_weight * cross_entropy(foreground, targets),
            "suppression": self.suppression(features, mask, scores, targets),
            "area": self.area_weight * mask.mean(),
        }

    def suppression(self, features: Tensor, mask: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
        """Return how much of the label's score the background keeps, mean over images, 0 to 1.

        Args:
            features: ``F``, ``(B, K, h, w)``.
            mask: ``M``, ``(B, 1, h, w)`` in [0, 1].
            scores: ``S``, ``(B, C)``.
            labels: ``(B,)`` int64.
        """
        background = self.backbone.forward_from(self.after_mask, features.detach() * (1 - mask), detached=True)
        erased = call_apart(self.class_maps, background).relu().mean((2, 3)).gather(1, labels[:, None])
        whole = scores.detach().gather(1, labels[:, None])
        kept: Tensor = (erased / (whole + 1e-8)).where(erased < whole, 0)
        return kept.mean()

    def mask(self, features: Tensor, labels: Tensor) -> Tensor:
        """Return ``M`` of the labels, ``(B, 1, h, w)`` in [0, 1], from ``F``."""
        return maps_of(self.generator(features), labels).sigmoid()[:, None]

    def predict(self, images: Tensor, labels: Tensor) -> Prediction:
        """Return the scores and the labels' masks; see :meth:`wsolbench.models.method.Method.predict`."""
        last, taps = self.backbone.forward_taps(images, (self.mask_point,))
        return Prediction(self.class_maps(last).relu().mean((2, 3)), self.mask(taps[self.mask_point], labels)[:, 0])


def _pooled(mask: Tensor, maps: Tensor) -> Tensor:
    """Return the mask averaged to the cells of ``maps``, whose sides divide its own."""
    height, width = (mask.shape[axis] // maps.shape[axis] for axis in (2, 3))
    return avg_pool2d(mask, (height, width)) if height * width > 1 else mask
