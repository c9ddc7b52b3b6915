"""Hide-and-Seek: images with patches hidden at random, so that the network cannot rely on one part."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from wsolbench.config.ranges import Count, Fraction
from wsolbench.models.layers import ClassMapMethod, to_device
from wsolbench.models.method import CHOE2020, Backbone, Choice, Uniform, space

__all__ = ["HaS"]


class HaS(ClassMapMethod):
    """CAM's network, trained on images cut into a grid of patches of which some are hidden; nothing is hidden at test.

    Paper: Singh & Lee, Hide-and-Seek: Forcing a Network to be Meticulous for Weakly-supervised Object and Action
    Localization, ICCV 2017, arXiv 1704.04232. A training image is divided into squares of S x S pixels, from its
    upper left corner; each square is hidden with probability ``hide_rate``, independently and anew each time that the
    image is seen. Loss and map are CAM's.

    Published: ``hide_rate`` 0.5; S of 16, 32, 44 and 56 on 224 x 224 pixels, alone or mixed.

    Where sources differ, and what we took:

    - S: the authors' training code has 32 by default, which is ours. Their stand-alone script draws it for each image
      from 0 (nothing is hidden), 16, 32, 44 and 56: that is ``patch_sizes: [0, 16, 32, 44, 56]``. The port of Choe et
      al. calls S ``grid_size`` and has 4 by default, an eighth of what is published: ``patch_sizes: [4]``.
    - Hidden value: the paper's mean colour of the training images, which is zero after normalisation, as in the
      authors' script and the port. Zero here is the mean that the backbone's normalisation subtracts.
    - Squares at the right and lower border are cut off where S does not divide the side, as in the authors' script.
    - A draw is tested with "at most" in the authors' script and the port, so that a square may be hidden at
      ``hide_rate`` 0; ours is "less than". With ``hide_rate`` 0 it is CAM, exactly.

    Args:
        backbone: feature extractor.
        num_classes: number of classes.
        patch_sizes: sides of the squares in pixels of the network's input; each image draws one of them, all with the
            same probability; 0 hides nothing.
        hide_rate: probability that a square is hidden, in [0, 1].

    Raises:
        SettingsError: an argument is out of range.
    """

    title = "HaS"
    reference = "Singh & Lee, ICCV 2017, arXiv 1704.04232"
    search_space = space(
        patch_sizes=Choice(((16,), (32,), (44,), (56,), (0, 16, 32, 44, 56))),  # the sizes that the authors tried
        hide_rate=Uniform(0, 1, source=CHOE2020),
    )

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        patch_sizes: Annotated[tuple[Count, ...], Field(min_length=1)] = (32,),
        hide_rate: Fraction = 0.5,
    ) -> None:
        super().__init__(backbone, num_classes)
        self.patch_sizes = patch_sizes
        self.hide_rate = hide_rate

    def batch_transform(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Set the hidden squares to zero; see :meth:`wsolbench.models.method.Method.batch_transform`."""
        if self.hide_rate == 0:
            return images, targets
        height, width = images.shape[2:]
        hidden = torch.stack([self._hidden(height, width, generator) for _ in range(len(images))])
        return images.masked_fill(to_device(hidden[:, None], images.device), 0), targets

    def _hidden(self, height: int, width: int, generator: torch.Generator) -> Tensor:
        """Draw the hidden pixels ``(H, W)`` bool of one image."""
        size = self.patch_sizes[int(torch.randint(len(self.patch_sizes), (), generator=generator))]
        if size == 0:
            return torch.zeros(height, width, dtype=torch.bool)
        squares = torch.rand(-(-height // size), -(-width // size), generator=generator) < self.hide_rate
        return squares.repeat_interleave(size, 0).repeat_interleave(size, 1)[:height, :width]
