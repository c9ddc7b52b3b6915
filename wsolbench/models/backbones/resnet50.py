"""ResNet50 with a finer last map."""

from __future__ import annotations

from functools import partial

from torchvision.models import resnet50

from wsolbench.models.backbones._residual import ResidualBackbone

__all__ = ["ResNet50"]


class ResNet50(ResidualBackbone):
    """He et al. (CVPR 2016, arXiv 1512.03385), torchvision's, as stages ``stem``, ``layer1_0`` to ``layer4_2``.

    Published for WSOL (CutMix, arXiv 1905.04899, appendix B; Choe et al., arXiv 2001.07437): layer4 at stride 1,
    without dilation, 14x14 cells at 224 pixels; 28x28 with layer3 at stride 1, too. There is no neck. ADL's layers
    go behind the first block of layer3, the first of layer4 and the last; its authors published that for
    ResNet50-SE, and the re-implementation of Choe et al. takes them here. The side points are that
    re-implementation's: SPG's authors have no ResNet. It also trains all of layer4 at the rate of new layers; here
    only what is new has that rate.
    """

    reference = "He et al., CVPR 2016, arXiv 1512.03385"
    published = partial(resnet50)
    stem = ("conv1", "bn1", "relu", "maxpool")
    classifier = "fc"
    sources = ("port", "port")
