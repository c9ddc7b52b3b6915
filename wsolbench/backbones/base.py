"""A backbone is a sequence of named stages that methods can tap and insert layers into."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from wsolbench.errors import nearest

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "Backbone"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Backbone(nn.Module):
    """Feature extractor of named stages.

    Args:
        stages: modules by stage name, applied in order.
        channels: output channels of each stage, by the same names.
        stride: pixels per cell of the last stage's output.
        erase_points: stages after which drop layers go, shallow to deep.
        side_points: stages that side branches read, shallow to deep.
        points_source: ``"published"`` or ``"ours"``: who chose the two lists above.
        new_stages: stages without pretrained weights (the published neck, or all of them).
        neck: the last stage, of stride 1, where it is what CAM adds to the classifier (VGG's conv6, Inception's two
            3x3 convolutions); None where the published network has none.
        mean: per-channel mean of the input normalisation, RGB in [0, 1].
        std: per-channel standard deviation of the input normalisation.
    """

    def __init__(
        self,
        stages: Mapping[str, nn.Module],
        channels: Mapping[str, int],
        stride: int,
        *,
        erase_points: Sequence[str],
        side_points: Sequence[str],
        points_source: str,
        new_stages: Sequence[str] = (),
        neck: str | None = None,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        self.stages = nn.Sequential(OrderedDict(stages))
        self.channels = dict(channels)
        self.stride = stride
        self.erase_points = tuple(erase_points)
        self.side_points = tuple(side_points)
        self.points_source = points_source
        self.new_stages = tuple(new_stages)
        self.neck = neck
        self.out_channels = self.channels[list(stages)[-1]]
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    @property
    def stage_names(self) -> list[str]:
        """Names of the backbone's own stages, in order, without inserted modules."""
        return list(self.channels)

    def normalise(self, images: Tensor) -> Tensor:
        """Turn uint8 RGB ``(B, 3, H, W)`` into the normalised float input of the first stage."""
        mean, std = cast("Tensor", self.mean), cast("Tensor", self.std)
        return (images.to(mean.dtype) / 255.0 - mean) / std

    def insert_after(self, stage: str, module: nn.Module) -> None:
        """Insert ``module`` behind ``stage``; its output must have its input's shape.

        Raises:
            KeyError: there is no such stage, or something already stands behind it.
        """
        self._check(stage)
        name = f"{stage}_then"
        if name in dict(self.stages.named_children()):
            raise KeyError(f"something was already inserted after stage '{stage}'")
        items: list[tuple[str, nn.Module]] = []
        for key, child in self.stages.named_children():
            items.append((key, child))
            if key == stage:
                items.append((name, module))
        self.stages = nn.Sequential(OrderedDict(items))

    def remove_neck(self) -> None:
        """Remove the neck, if there is one, for a method that brings its own layers in its place.

        Points that name the neck go with it. Call it before anything is inserted.
        """
        if self.neck is None:
            return
        name, self.neck = self.neck, None
        self.stages = self.stages[:-1]
        del self.channels[name]
        self.out_channels = self.channels[self.stage_names[-1]]
        self.erase_points = tuple(point for point in self.erase_points if point != name)
        self.side_points = tuple(point for point in self.side_points if point != name)
        self.new_stages = tuple(stage for stage in self.new_stages if stage != name)

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised images ``(B, 3, H, W)`` to the last stage's features ``(B, C, h, w)``."""
        return cast("Tensor", self.stages(x))

    def forward_taps(self, x: Tensor, names: Sequence[str]) -> tuple[Tensor, dict[str, Tensor]]:
        """Like :meth:`forward`, and also return the features behind the named stages.

        A tap reads what the next stage reads, that is, behind an inserted module.

        Raises:
            KeyError: an unknown stage is named.
        """
        for name in names:
            self._check(name)
        taps: dict[str, Tensor] = {}
        for key, child in self.stages.named_children():
            x = child(x)
            owner = key.removesuffix("_then")
            if owner in names:
                taps[owner] = x
        return x, taps

    def new_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parameters of the stages that start without pretrained weights."""
        for key, child in self.stages.named_children():
            if key in self.new_stages or key.endswith("_then"):
                yield from child.parameters()

    def _check(self, stage: str) -> None:
        if stage not in self.channels:
            raise KeyError(f"backbone has no stage '{stage}'; {nearest(stage, self.channels)}")
