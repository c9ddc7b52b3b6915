"""ResNet50 with squeeze-and-excitation, ADL's second network."""

from __future__ import annotations

from functools import partial

from timm.models.senet import legacy_seresnet50

from wsolbench.models.backbones._residual import ResidualBackbone

__all__ = ["ResNet50SE"]


class ResNet50SE(ResidualBackbone):
    """Hu et al. (CVPR 2018, arXiv 1709.01507), timm's ``legacy_seresnet50``: ``stem``, ``layer1_0`` to ``layer4_2``.

    Published for WSOL: ADL (arXiv 1908.10028), whose layers go behind the first block of layer3, the first of layer4
    and the last (the authors' code), with the last group at stride 1. The authors' own network squeezes to a
    quarter, and starts from a weight file of another framework; timm's squeezes to a sixteenth and has the stride in
    the first 1x1 convolution of a block, as the original release. Nobody published side points for it; they are
    those of ResNet50.
    """

    reference = "Hu et al., CVPR 2018, arXiv 1709.01507"
    published = partial(legacy_seresnet50)
    stem = ("layer0", "pool0")
    classifier = "last_linear"
    sources = ("published", "ours")
