"""MobileNetV1: depthwise separable convolutions, with TensorFlow's padding."""

from __future__ import annotations

import re
from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import Literal, cast

from torch import Tensor, nn

from wsolbench.errors import SettingsError
from wsolbench.models.backbones._carve import carve, outline
from wsolbench.models.backbones._same_padding import pad_as_tensorflow
from wsolbench.models.backbones.base import Backbone, Normalisation
from wsolbench.models.layers.convolutions import he_init

__all__ = ["MobileNetV1", "PlainMobileNetV1", "from_timm"]

_STEM = 32
# channels and stride of the 13 separable blocks
_BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
_BN_EPS = 1e-3
_NATIVE_STRIDE = 32
_LATE_STRIDES = {"block6": 16, "block12": 32}
_TIMM_GROUPS = (1, 2, 2, 6, 2)  # blocks
_TIMM_BLOCK = re.compile(r"blocks\.(\d+)\.(\d+)\.(conv_dw|conv_pw|bn(?=[12]))([12]?)\.(.+)")
_CLASSES = 1000  # of the weight files


def _conv_bn(in_channels: int, out_channels: int, kernel: int, stride: int, groups: int, eps: float) -> nn.Module:
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    bn = nn.BatchNorm2d(out_channels, eps=eps)
    return nn.Sequential(OrderedDict(conv=conv, bn=bn, relu=nn.ReLU6(inplace=True)))


class PlainMobileNetV1(nn.Module):
    """The classification network, with the key names of the weight files: ``features.{0..26}``, ``classifier``."""

    def __init__(self, width: float, output_stride: int, *, tf_padding: bool, bn_eps: float = _BN_EPS) -> None:
        super().__init__()
        channels = int(_STEM * width)
        layers = [_conv_bn(3, channels, 3, 2, 1, bn_eps)]
        reached = 2
        for wanted, block_stride in _BLOCKS:
            stride = block_stride if reached < output_stride else 1
            reached *= stride
            layers.append(_conv_bn(channels, channels, 3, stride, channels, bn_eps))
            layers.append(_conv_bn(channels, int(wanted * width), 1, 1, 1, bn_eps))
            channels = int(wanted * width)
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, _CLASSES)
        if tf_padding:
            pad_as_tensorflow(self.features)
        he_init(self.features)

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised images ``(B, 3, H, W)`` to ImageNet logits ``(B, 1000)``."""
        return cast("Tensor", self.classifier(self.features(x).mean((2, 3))))


class MobileNetV1(Backbone):
    """Howard et al., MobileNets, arXiv 1704.04861, as stages ``conv1``, ``block1`` to ``block13``.

    A block is a depthwise and a pointwise convolution.

    Published for WSOL with this network: ADL's figures, without positions, code or neck. Its points here are ours,
    by analogy with ResNet50, where they are published: layers go behind the first block at stride 16 (``block6``),
    behind the first of the last group (``block12``) and behind the last; side branches read the first and the last
    block of the 512-channel group. There is no neck. ``output_stride`` 16 gives 14x14 cells at 224 pixels, by stride
    1 without dilation, as the other networks' published changes.

    Args:
        weights: safetensors file with all of the network's keys, or timm's ``mobilenetv1_100``; the classifier may be
            left out. None initialises convolutions after He.
        width: channel multiplier; must be that of the file.
        output_stride: pixels per cell of the last stage.
        dilate: dilate what follows a removed stride.
        tf_padding: pad stride-2 convolutions as TensorFlow's SAME does, at the bottom and the right, which weights from
            there were trained with; False pads all sides and displaces the map by about half a cell.
        bn_eps: of batch normalisation; TensorFlow's is 1e-3, PyTorch's 1e-5.
        normalisation: of the input.
        keep_classifier: offer the file's own classifier to the method.

    Raises:
        WeightsError: the file's keys or shapes are not the network's.
        SettingsError: ``width`` leaves no channels, or a classifier is asked for and there is none.
    """

    reference = "Howard et al., 2017, arXiv 1704.04861"

    def __init__(
        self,
        weights: Path | None = None,
        *,
        width: float = 1.0,
        output_stride: Literal[8, 16, 32] = 16,
        dilate: bool = False,
        tf_padding: bool = True,
        bn_eps: float = _BN_EPS,
        normalisation: Normalisation = "imagenet",
        keep_classifier: bool = False,
    ) -> None:
        if int(_STEM * width) < 1:
            raise SettingsError(f"width is {width}; it must be at least {1 / _STEM}")
        built_stride = _NATIVE_STRIDE if dilate else output_stride
        network = outline(partial(PlainMobileNetV1, width, built_stride, tf_padding=tf_padding, bn_eps=bn_eps))
        classifier = carve(
            network,
            [network.features],
            weights,
            classifier="classifier",
            keep_classifier=keep_classifier,
            hint=f"is backbone_args.width ({width:g}) that of the weights?",
            rename=from_timm,
        )
        layers = list(network.features)
        stages: dict[str, nn.Module] = {"conv1": layers[0]}
        channels = {"conv1": int(_STEM * width)}
        for number, (wanted, _) in enumerate(_BLOCKS, start=1):
            stages[f"block{number}"] = nn.Sequential(layers[2 * number - 1], layers[2 * number])
            channels[f"block{number}"] = int(wanted * width)
        super().__init__(
            stages,
            channels,
            output_stride,
            erase_points=("block6", "block12", "block13"),
            side_points=("block6", "block11"),
            pretrained=weights is not None,
            stitched=[name for name, stride in _LATE_STRIDES.items() if stride > output_stride] if dilate else (),
            pretrained_classifier=classifier,
            normalisation=normalisation,
        )


def from_timm(key: str) -> str:
    """Return this network's name of a parameter of timm's ``mobilenetv1_100``; other names are left alone."""
    if key.startswith(("conv_stem.", "bn1.")):
        return key.replace("conv_stem.", "features.0.conv.").replace("bn1.", "features.0.bn.")
    found = _TIMM_BLOCK.fullmatch(key)
    if found is None:
        return key
    group, block, layer, number, rest = found.groups()
    before = sum(_TIMM_GROUPS[: int(group)]) + int(block)
    pointwise = number == "2" or layer == "conv_pw"
    return f"features.{2 * before + 1 + pointwise}.{'bn' if number else 'conv'}.{rest}"
