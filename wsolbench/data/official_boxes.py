"""Boxes of published data sets, some of which reach beyond their images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wsolbench.dataset import Item, Truth
from wsolbench.errors import DataError

__all__ = ["OfficialBoxes"]


class OfficialBoxes:
    """Makes truth of annotated boxes, and counts those that reach beyond their image.

    The protocol ``pixel`` scores against a box clipped to its image, ``choe2020`` against the box as the lists of Choe
    et al. (CVPR 2020) have it. None of their 111,797 boxes reaches ``width`` or ``height``: what CUB's annotators drew
    beyond ends at the last pixel, ``width - 1`` or ``height - 1``, and the same is assumed of other data sets.

    Attributes:
        clipped: boxes so far that were clipped.
    """

    def __init__(self) -> None:
        self.clipped = 0

    def truth(self, boxes: NDArray[np.float64], item: Item, source: str, *, ends_at_last_pixel: bool = False) -> Truth:
        """Return the truth of an image.

        Args:
            boxes: ``(n, 4)`` ``x0, y0, x1, y1`` in pixels, as annotated.
            item: the image.
            source: file, and line where known, for the message.
            ends_at_last_pixel: whether in the published list also a box that ends with its image ends at its last
                pixel, as CUB's do.

        Raises:
            DataError: nothing is left of a box in its image; the image is named.
        """
        size = np.array([item.width, item.height] * 2, np.float64)
        inside = np.clip(boxes, 0, size)
        empty = (inside[:, 2:] <= inside[:, :2]).any(1)
        if empty.any():
            box = boxes[int(np.argmax(empty))].tolist()
            raise DataError(
                f"{source}: box {box} (x0, y0, x1, y1) of image '{item.id}' is empty or lies outside its "
                f"{item.width}x{item.height} pixels; correct it"
            )
        self.clipped += int((inside != boxes).any(1).sum())
        shortened = (boxes > size) | ends_at_last_pixel
        published = np.where(shortened, np.minimum(inside, size - 1), inside)
        return Truth(inside, published=None if np.array_equal(published, inside) else published)
