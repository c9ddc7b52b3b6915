"""MobileNetV1: depthwise separable convolutions, with TensorFlow's padding."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, cast

from torch import Tensor, nn
from torch.nn.functional import pad, relu6

from wsolbench.backbones._strict_load import load_strictly
from wsolbench.backbones.base import Backbone
from wsolbench.errors import SettingsError
from wsolbench.layers.he_init import he_init

__all__ = ["MobileNetV1", "PlainMobileNetV1"]

_STEM = 32
# channels and stride of the 13 separable blocks
_BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
_BN_EPS = 1e-3
_CLASSES = 1000  # of the weight files


class ConvBN(nn.Module):
    """Convolution, batch normalisation, ReLU6.

    Args:
        in_channels: input channels.
        out_channels: output channels.
        kernel: 3 or 1.
        stride: 1 or 2.
        groups: equal to the channels for a depthwise convolution.
        tf_padding: pad as TensorFlow's SAME does, which differs at stride 2.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1, *, tf_padding: bool
    ) -> None:
        super().__init__()
        self.pads = tf_padding and stride > 1
        padding = 0 if self.pads else kernel // 2
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=_BN_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in, H, W)`` to ``(B, out, ceil(H / stride), ceil(W / stride))``."""
        if self.pads:
            # SAME pads an even height by one row, at the bottom, and an odd one by two, one at each side.
            height, width = x.shape[2:]
            x = pad(x, (width % 2, 1, height % 2, 1))
        return relu6(self.bn(self.conv(x)), inplace=True)


class PlainMobileNetV1(nn.Module):
    """The classification network, with the key names of the weight files: ``features.{0..26}``, ``classifier``.

    Args:
        width: channel multiplier.
        output_stride: 32 as published; 16 and 8 set the stride of the last one or two strided convolutions to 1.
        tf_padding: see :class:`ConvBN`.
    """

    def __init__(self, width: float, output_stride: int, *, tf_padding: bool) -> None:
        super().__init__()
        channels = int(_STEM * width)
        layers = [ConvBN(3, channels, 3, 2, tf_padding=tf_padding)]
        reached = 2
        for wanted, block_stride in _BLOCKS:
            stride = block_stride if reached < output_stride else 1
            reached *= stride
            layers.append(ConvBN(channels, channels, 3, stride, groups=channels, tf_padding=tf_padding))
            layers.append(ConvBN(channels, int(wanted * width), 1, tf_padding=tf_padding))
            channels = int(wanted * width)
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, _CLASSES)
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
    1 without dilation, as the other networks' published changes. Batch normalisation has TensorFlow's epsilon, 1e-3.

    Args:
        weights: safetensors file with all of the network's keys; it may have the classifier, which is checked and
            left out. None initialises convolutions after He.
        width: channel multiplier; must be that of the file.
        output_stride: pixels per cell of the last stage.
        tf_padding: pad stride-2 convolutions as TensorFlow's SAME does, at the bottom and the right, which the
            weights were trained with; False pads all sides and displaces the map by about half a cell.

    Raises:
        WeightsError: the file's keys or shapes are not the network's.
        SettingsError: ``width`` leaves no channels.
    """

    def __init__(
        self,
        weights: Path | None = None,
        *,
        width: float = 1.0,
        output_stride: Literal[8, 16, 32] = 16,
        tf_padding: bool = True,
    ) -> None:
        if int(_STEM * width) < 1:
            raise SettingsError(f"width is {width}; it must be at least {1 / _STEM}")
        network = PlainMobileNetV1(width, output_stride, tf_padding=tf_padding)
        if weights is not None:
            hint = f"is backbone_args.width ({width:g}) that of the weights?"
            load_strictly(network, weights, optional="classifier.", hint=hint)
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
            points_source="ours",
            new_stages=tuple(stages) if weights is None else (),
        )
