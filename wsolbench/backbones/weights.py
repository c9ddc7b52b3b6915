"""Pinned pretrained weights: which files there are, and where they lie. Imports no torch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from wsolbench.data.index import file_sha256
from wsolbench.errors import WeightsError

__all__ = ["PINNED", "WEIGHTS_VARIABLE", "PinnedWeights", "default_weights", "find_weights"]

WEIGHTS_VARIABLE = "WSOLBENCH_WEIGHTS"


@dataclass(frozen=True)
class PinnedWeights:
    """A weight file that results may be reported for.

    Attributes:
        name: key in the backbone's table, ``tracks.*.weights`` in ``params.yaml``.
        file: file name.
        sha256: of the file, hex.
        bytes: size of the file.
        source: where the numbers come from, with the commit or sha256 of the original.
        licence: terms of the original, as far as known.
    """

    name: str
    file: str
    sha256: str
    bytes: int
    source: str
    licence: str


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
            "mobilenet_v1_0.75_224 (Keras MobileNet), with its classifier; needs backbone_args: {width: 0.75}"
        ),
        licence="none stated by the repository; the upstream models are Apache-2.0 or MIT",
    ),
)

# The first entry of a backbone is its default; a backbone without an entry is trained from scratch.
PINNED: dict[str, dict[str, PinnedWeights]] = {"mobilenet_v1": {pinned.name: pinned for pinned in _MOBILENET_V1}}


def default_weights(backbone: str) -> str | None:
    """Return the name of a backbone's default weights, or None for a backbone that is trained from scratch."""
    return next(iter(PINNED.get(backbone, {})), None)


def find_weights(pinned: PinnedWeights, root: Path | None) -> Path:
    """Find a pinned file in the directory that ``WSOLBENCH_WEIGHTS`` names, then in ``root``, and check it.

    Args:
        pinned: what is looked for.
        root: ``weights.root`` of ``params.yaml``.

    Returns:
        Path of a file whose size and sha256 are the pinned ones.

    Raises:
        WeightsError: it is in neither directory, or the first file found is not the pinned one.
    """
    named = os.environ.get(WEIGHTS_VARIABLE)
    places = [Path(place) for place in (named, root) if place]
    for place in places:
        path = place / pinned.file
        if path.is_file():
            _check(path, pinned)
            return path
    looked = f"it is not in {' nor in '.join(map(str, places))}" if places else "no directory to look in is set"
    raise WeightsError(
        f"{pinned.file} (weights '{pinned.name}', sha256 {pinned.sha256}): {looked}. Put the file into a directory and "
        f"name that in the variable {WEIGHTS_VARIABLE} or in weights.root of params.yaml. Source: {pinned.source}"
    )


def _check(path: Path, pinned: PinnedWeights) -> None:
    size = path.stat().st_size
    if size != pinned.bytes:
        raise WeightsError(f"{path} has {size} bytes, pinned are {pinned.bytes}; fetch it again from {pinned.source}")
    found = file_sha256(path)
    if found != pinned.sha256:
        raise WeightsError(f"{path}: sha256 is {found}, pinned is {pinned.sha256}; fetch it again from {pinned.source}")
