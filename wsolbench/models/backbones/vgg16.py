"""VGG16-GAP: VGG16 without its fully connected layers, and a new convolution before the pooling."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from torch import nn
from torchvision.models import vgg16

from wsolbench.models.backbones._carve import carve, outline
from wsolbench.models.backbones.base import Backbone
from wsolbench.models.layers.convolutions import conv_relu

__all__ = ["VGG16"]

_BLOCKS = (64, 128, 256, 512, 512)
_NECK = 1024


class VGG16(Backbone):
    """Simonyan & Zisserman (ICLR 2015, arXiv 1409.1556) as CAM's VGG-GAP: ``conv1``, ``pool1``, ..., ``conv6``.

    ``conv<k>`` is a block of convolutions with ReLU. Published (Zhou et al., CVPR 2016): no pool5, and a new 3x3
    convolution of 1024 units with ReLU, ``conv6``, before the global pooling; 14x14 cells at 224 pixels. ADL's
    layers go behind ``pool3``, ``pool4`` and ``conv5`` (the authors' code); the re-implementation of Choe et al.
    puts the second one before pool4: ``erase_points: [pool3, conv4, conv5]``. SPG has no VGG of its own; that
    re-implementation's side branches read the fourth and the fifth block.

    Where sources differ: CAM's released ``conv6`` has two groups and dropout behind the pooling; that of the
    re-implementation, which ours follows, has neither. For 28x28 cells the re-implementation leaves pool4 out, as
    ``layout="gap"`` does; ACoL's authors (``layout="overlapping"``) pool by 3x3 windows with padding throughout,
    keep pool4 and pool5 at stride 1, and end with a 3x3 average pooling of stride 1.

    Args:
        weights: torchvision's ``vgg16`` state dict; None initialises convolutions after He.
        output_stride: 16, or 8 without pool4's stride.
        dilate: at output stride 8, dilate what follows pool4 instead of leaving pool4 out.
        layout: ``"gap"`` or ``"overlapping"``.

    Raises:
        WeightsError: the file's keys or shapes are not the network's.
    """

    reference = "Simonyan & Zisserman, ICLR 2015, arXiv 1409.1556"

    def __init__(
        self,
        weights: Path | None = None,
        *,
        output_stride: Literal[8, 16] = 16,
        dilate: bool = False,
        layout: Literal["gap", "overlapping"] = "gap",
    ) -> None:
        network = outline(vgg16)
        carve(network, [network.features], weights, classifier="classifier.6")
        stages = _blocks(network.features)
        removed = output_stride == 8
        if layout == "overlapping":
            for number in range(1, 5):
                stages[f"pool{number}"] = nn.MaxPool2d(3, 1 if number == 4 and removed and not dilate else 2, 1)
            stages["pool5"] = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.AvgPool2d(3, 1, 1))
        elif removed and not dilate:
            stages["pool4"] = nn.Identity()
        stages["conv6"] = conv_relu(_BLOCKS[-1], _NECK)
        channels = {name: _BLOCKS[int(name[-1]) - 1] if name != "conv6" else _NECK for name in stages}
        super().__init__(
            stages,
            channels,
            output_stride,
            erase_points=("pool3", "pool4", "conv5"),
            side_points=("conv4", "conv5"),
            erase_source="published",
            side_source="port",
            pretrained=weights is not None,
            neck="conv6",
            stitched=("pool4",) if removed and dilate else (),
        )


def _blocks(features: nn.Sequential) -> dict[str, nn.Module]:
    """Split torchvision's flat list into blocks and poolings; pool5 is left out."""
    stages: dict[str, nn.Module] = {}
    block: list[nn.Module] = []
    number = 1
    for layer in features:
        if isinstance(layer, nn.MaxPool2d):
            stages[f"conv{number}"] = nn.Sequential(*block)
            if number < len(_BLOCKS):
                stages[f"pool{number}"] = layer
            block, number = [], number + 1
        else:
            block.append(layer)
    return stages
