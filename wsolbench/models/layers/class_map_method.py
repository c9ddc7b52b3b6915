"""Methods whose network at test time is CAM's: backbone, pooling, linear classifier."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy

from wsolbench.models.backbones.base import Backbone
from wsolbench.models.layers.class_map_head import ClassMapHead
from wsolbench.models.method import Method, Prediction

__all__ = ["ClassMapMethod"]


class ClassMapMethod(Method):
    """Trains a classifier with cross-entropy and localizes with its class maps.

    What makes a subclass a method is what it inserts into the backbone, does to the batch, or adds to the losses.
    """

    def __init__(self, backbone: Backbone, num_classes: int) -> None:
        super().__init__(backbone, num_classes)
        self.head = ClassMapHead(backbone.out_channels, num_classes)
        pretrained = backbone.take_classifier()
        if pretrained is not None:
            self.head.adopt(*pretrained)

    def losses(self, images: Tensor, targets: Tensor, progress: float) -> dict[str, Tensor]:
        """Return the cross-entropy, as ``classification``; see :meth:`wsolbench.models.method.Method.losses`."""
        return {"classification": cross_entropy(self.head(self.backbone(images)), targets)}

    def predict(self, images: Tensor, labels: Tensor) -> Prediction:
        """Return the logits and the labels' class maps; see :meth:`wsolbench.models.method.Method.predict`."""
        features = self.backbone(images)
        return Prediction(self.head(features), self.head.maps(features, labels))
