"""A backbone is a sequence of named stages that methods can tap and insert layers into."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ClassVar, Literal, Self, cast

import torch
from torch import Tensor, nn

from wsolbench.errors import nearest
from wsolbench.models.backbones._phases import merge_phases, shifted, split_phases
from wsolbench.models.detached import call_apart

__all__ = ["NORMALISATIONS", "Backbone", "Classifier", "Normalisation", "PointsSource"]

Normalisation = Literal["imagenet", "half"]
NORMALISATIONS: Mapping[Normalisation, tuple[Sequence[float], Sequence[float]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
"""Mean and standard deviation per RGB channel in [0, 1]: torchvision's, and TensorFlow's."""

PointsSource = Literal["published", "port", "ours"]
"""Who chose a backbone's points: a paper or its code; the re-implementation of Choe et al.; or nobody before us."""

Classifier = tuple[Tensor, Tensor]
"""Weight ``(classes, channels)`` and bias ``(classes,)`` of a linear classifier on pooled features."""


class Backbone(nn.Module):
    """Feature extractor of named stages.

    Args:
        stages: modules by stage name, applied in order.
        channels: output channels of each stage, by the same names.
        stride: pixels per cell of the last stage's output.
        erase_points: stages after which drop layers go, shallow to deep.
        side_points: stages that side branches read, shallow to deep.
        erase_source: who chose ``erase_points``.
        side_source: who chose ``side_points``.
        pretrained: whether all stages but the neck have been loaded from a file.
        neck: the last stage, of stride 1, where it is what CAM adds to the classifier (VGG's conv6, Inception's two
            3x3 convolutions); None where the published network has none.
        stitched: stages that halve the resolution and whose stride the output stride takes away by shift-and-stitch
            (Long et al., CVPR 2015, arXiv 1411.4038, section 3.2): they and all later stages see every phase of
            their input, which is what removing the stride and dilating all later filters computes, with the same
            parameters. Without, a stage whose stride is removed is simply given stride 1, as published for WSOL.
        pretrained_classifier: the weight file's own classifier on the pooled features, where the network has one and it
            was asked for; a method takes it with :meth:`take_classifier`.
        normalisation: of the input; what the weights were trained with.

    Attributes:
        reference: paper, venue, year and arXiv number of the network; ``"ours"`` where there is none.
        new_stages: stages without pretrained weights: the published neck, or all of them.
        frozen: stages that are not trained; see :meth:`freeze`.
        tokens: whether it is a transformer, whose class token and attention can be tapped, too.
    """

    reference: ClassVar[str]
    tokens: ClassVar[bool] = False

    def __init__(
        self,
        stages: Mapping[str, nn.Module],
        channels: Mapping[str, int],
        stride: int,
        *,
        erase_points: Sequence[str],
        side_points: Sequence[str],
        erase_source: PointsSource = "ours",
        side_source: PointsSource = "ours",
        pretrained: bool = False,
        neck: str | None = None,
        stitched: Collection[str] = (),
        pretrained_classifier: Classifier | None = None,
        normalisation: Normalisation = "imagenet",
    ) -> None:
        super().__init__()
        self.stages = nn.Sequential(OrderedDict(stages))
        self.channels = dict(channels)
        self.stride = stride
        self.erase_points, self.side_points = tuple(erase_points), tuple(side_points)
        self.erase_source, self.side_source = erase_source, side_source
        self.new_stages = tuple(stages) if not pretrained else () if neck is None else (neck,)
        self.neck = neck
        self.out_channels = self.channels[list(stages)[-1]]
        self.pretrained_classifier = pretrained_classifier
        self.frozen: tuple[str, ...] = ()
        self._watched: tuple[Sequence[str], dict[str, Tensor]] = (), {}
        self._stitched = frozenset(stitched)
        self._phases = _phases(list(stages), self._stitched)
        mean, std = NORMALISATIONS[normalisation]
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    @property
    def stage_names(self) -> list[str]:
        """Names of the backbone's own stages, in order, without inserted modules."""
        return list(self.channels)

    def normalise(self, images: Tensor) -> Tensor:
        """Turn uint8 RGB ``(B, 3, H, W)`` into the normalised float input of the first stage, in its memory format."""
        mean, std = cast("Tensor", self.mean), cast("Tensor", self.std)
        return torch.div(images, 255.0).to(mean.dtype).sub_(mean).div_(std)

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

    def freeze(self, stages: Sequence[str]) -> None:
        """Keep stages as they are: without gradient, out of the optimiser, and in evaluation mode for good.

        What is inserted behind them is not frozen.

        Raises:
            KeyError: an unknown stage is named.
        """
        for name in stages:
            self._check(name)
            self.stages.get_submodule(name).requires_grad_(False).eval()
        self.frozen = tuple(stages)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all stages but the frozen ones."""
        super().train(mode)
        for name in self.frozen:
            self.stages.get_submodule(name).eval()
        return self

    def take_classifier(self) -> Classifier | None:
        """Hand over the pretrained classifier, once; None where there is none."""
        taken, self.pretrained_classifier = self.pretrained_classifier, None
        return taken

    def forward(self, x: Tensor, first: str | None = None) -> Tensor:
        """Map normalised images ``(B, 3, H, W)`` to the last stage's features ``(B, C, h, w)``.

        With ``first``, ``x`` is what that stage reads: see :meth:`forward_from`.
        """
        return self._forward(x, (), first)[0]

    def forward_from(self, stage: str, x: Tensor, *, detached: bool = False, running_stats: bool = False) -> Tensor:
        """Run the network from a stage on, as often in a step as a method likes.

        Args:
            stage: the first that runs.
            x: what it reads: features behind the stage before it, of that one's channels.
            detached: take the present weights as constants; gradients reach ``x`` alone.
            running_stats: whether running statistics count this pass; without, they stay as they are.

        Returns:
            The last stage's features ``(B, C, h, w)``.

        Raises:
            KeyError: there is no such stage.
        """
        found: Tensor = call_apart(self, x, stage, detached=detached, running_stats=running_stats)
        return found

    def forward_taps(self, x: Tensor, names: Sequence[str]) -> tuple[Tensor, dict[str, Tensor]]:
        """Like :meth:`forward`, and also return the features behind the named stages.

        A tap reads what the next stage reads, that is, behind an inserted module.

        Raises:
            KeyError: an unknown stage is named.
        """
        return self._forward(x, names, None)

    @contextmanager
    def watched(self, stages: Sequence[str]) -> Iterator[dict[str, Tensor]]:
        """Note what is behind stages whenever somebody else runs the network; of several times, the first.

        What needs no gradient of its own is made to need one there: a gradient is computed back to the first of the
        stages, and no further.

        Yields:
            Features by stage, filled in as the network runs.

        Raises:
            KeyError: an unknown stage is named.
        """
        for name in stages:
            self._check(name)
        self._watched = stages, {}
        try:
            yield self._watched[1]
        finally:
            self._watched = (), {}

    def new_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parameters of the stages that start without pretrained weights."""
        for key, child in self.stages.named_children():
            if key in self.new_stages or key.endswith("_then"):
                yield from child.parameters()

    def _forward(self, x: Tensor, names: Sequence[str], first: str | None) -> tuple[Tensor, dict[str, Tensor]]:
        for name in [*names, *([] if first is None else [first])]:
            self._check(name)
        taps: dict[str, Tensor] = {}
        (watched, seen), children = self._watched, dict(self.stages.named_children())
        for key, child in children.items():
            if first in {None, key}:
                first = None
                x = self._run(key, child, x)
                owner = key.removesuffix("_then")
                if owner in names:
                    taps[owner] = x
                if owner in watched and owner not in seen and f"{key}_then" not in children:
                    seen[owner] = x = x if x.requires_grad else x.detach().requires_grad_()
        return x, taps

    def _run(self, key: str, stage: nn.Module, x: Tensor) -> Tensor:
        phases = self._phases.get(key, 1)  # an inserted module sees the whole map
        x = split_phases(x, phases)
        x = merge_phases(stage(shifted(x)), 2) if key in self._stitched else stage(x)
        return merge_phases(x, phases)

    def _check(self, stage: str) -> None:
        if stage not in self.channels:
            raise KeyError(f"backbone has no stage '{stage}'; {nearest(stage, self.channels)}")


def _phases(stages: Sequence[str], stitched: Collection[str]) -> dict[str, int]:
    """Return, by stage, the distance in cells of the phases that it sees one by one."""
    found, distance = {}, 1
    for stage in stages:
        found[stage] = distance
        distance *= 2 if stage in stitched else 1
    return found
