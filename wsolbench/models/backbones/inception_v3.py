"""InceptionV3 in the layout of SPG."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d
from torchvision.models import inception_v3
from torchvision.models.inception import InceptionB

from wsolbench.config.ranges import Fraction
from wsolbench.models.backbones._carve import carve, outline
from wsolbench.models.backbones.base import Backbone, Normalisation
from wsolbench.models.layers.convolutions import conv_relu

__all__ = ["InceptionV3"]

_CHANNELS = {"stem": 192, "mixed_5b": 256, "mixed_5c": 288, "mixed_5d": 288, "maxpool3": 288}
_LAST, _NECK = 768, 1024


class InceptionV3(Backbone):
    """Szegedy et al. (CVPR 2016, arXiv 1512.00567) up to Mixed_6e, with finer maps and SPG's two 3x3 convolutions.

    Stages ``stem``, ``mixed_5b`` to ``mixed_5d``, ``maxpool3``, ``mixed_6a`` to ``mixed_6e``, ``neck``. Published
    (Zhang et al., ECCV 2018, arXiv 1807.08902, the authors' code): padding 1 in the first convolution, the stem's
    poolings and Mixed_6a, which loses its stride; no Mixed_7; the neck is 3x3 to 1024, ReLU, 3x3 to 1024, ReLU, with
    dropout of 0.5 before each, 28x28 cells at 224 pixels. SPG's side branches read Mixed_5d and Mixed_6d. For 14x14
    cells the re-implementation of Choe et al. adds a pooling behind Mixed_5d (``maxpool3``). ADL's positions were
    never published; these are the re-implementation's: behind Mixed_5d, Mixed_6e and the neck. It has no dropout
    there with ADL (``neck_dropout: 0``).

    Where sources differ: torchvision's weights come from TensorFlow and expect inputs in [-1, 1], which is what
    torchvision feeds them and ``normalisation="half"`` does; the authors' scripts and the re-implementation feed
    ``"imagenet"``.

    Args:
        weights: torchvision's ``inception_v3`` state dict; None initialises convolutions after He.
        output_stride: 16, or 8 as SPG's authors have it.
        dilate: at output stride 8, dilate what follows ``maxpool3`` instead of leaving it out.
        neck_dropout: probability, before each convolution of the neck, in [0, 1].
        normalisation: of the input.

    Raises:
        WeightsError: the file's keys or shapes are not the network's.
    """

    reference = "Szegedy et al., CVPR 2016, arXiv 1512.00567"

    def __init__(
        self,
        weights: Path | None = None,
        *,
        output_stride: Literal[8, 16] = 16,
        dilate: bool = False,
        neck_dropout: Fraction = 0.5,
        normalisation: Normalisation = "half",
    ) -> None:
        network = outline(partial(inception_v3, init_weights=False, transform_input=False))
        network.Conv2d_1a_3x3.conv.padding = (1, 1)
        network.Mixed_6a = outline(_FineMixed6a)
        pool = partial(nn.MaxPool2d, 3, stride=2, padding=1)
        stem = nn.Sequential(
            network.Conv2d_1a_3x3,
            network.Conv2d_2a_3x3,
            network.Conv2d_2b_3x3,
            pool(ceil_mode=True),
            network.Conv2d_3b_1x1,
            network.Conv2d_4a_3x3,
            pool(ceil_mode=True),
        )
        stages: dict[str, nn.Module] = {"stem": stem}
        for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e"):
            stages[f"mixed_{name}"] = network.get_submodule(f"Mixed_{name}")
        carve(network, stages.values(), weights, classifier="fc")
        stitched = output_stride == 8 and dilate
        pooling = nn.Identity() if output_stride == 8 and not dilate else pool()
        items = list(stages.items())
        items.insert(4, ("maxpool3", pooling))
        items.append(("neck", _neck(neck_dropout)))
        names = [name for name, _ in items]
        super().__init__(
            dict(items),
            {name: _CHANNELS.get(name, _LAST) for name in names} | {"neck": _NECK},
            output_stride,
            erase_points=("mixed_5d", "mixed_6e", "neck"),
            side_points=("mixed_5d", "mixed_6d"),
            erase_source="port",
            side_source="published",
            pretrained=weights is not None,
            neck="neck",
            stitched=("maxpool3",) if stitched else (),
            normalisation=normalisation,
        )


class _FineMixed6a(InceptionB):  # type: ignore[misc]
    """Mixed_6a with stride 1 and padding 1, and the same parameters."""

    def __init__(self) -> None:
        super().__init__(_CHANNELS["mixed_5d"])
        for branch in (self.branch3x3, self.branch3x3dbl_3):
            branch.conv.stride, branch.conv.padding = (1, 1), (1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, h, w)`` to a map of the same size."""
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, max_pool2d(x, 3, 1, 1)], 1)


def _neck(dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Dropout(dropout), conv_relu(_LAST, _NECK), nn.Dropout(dropout), conv_relu(_NECK, _NECK))
