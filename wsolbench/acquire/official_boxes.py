"""Boxes of data sets, some of which reach beyond their images, and images of another size than is stated."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wsolbench.data.boxes import NOT_TURNED, Turned
from wsolbench.data.dataset import Item, Truth
from wsolbench.data.images import summarised
from wsolbench.errors import DataError

__all__ = ["TOLERATED", "Listing", "OfficialBoxes", "check_sizes"]

_log = logging.getLogger("wsolbench.prepare")

_FEW = 10
TOLERATED = 0.05
"""Share of a published data set's boxes, masks or images that may be odd; CUB's annotators drew 0.5 % too far."""

Listing = Literal["as written", "inside", "to the last pixel"]


class OfficialBoxes:
    """Makes truth of annotated boxes, and counts those that reach beyond their image.

    The protocol ``pixel`` scores against a box clipped to its image, ``choe2020`` against the box as it stands in the
    lists of Choe et al. (CVPR 2020), or in others of their format. None of their 111,797 boxes reaches ``width`` or
    ``height``: what annotators drew beyond ends at the last pixel, ``width - 1`` or ``height - 1``.

    Attributes:
        clipped: boxes so far that were clipped.
    """

    def __init__(self) -> None:
        self.clipped = 0
        self._all = 0

    def truth(
        self, boxes: NDArray[np.float64], item: Item, source: str | Path, listing: Listing = "as written"
    ) -> Truth:
        """Return the truth of an image.

        Args:
            boxes: ``(n, 4)`` ``x0, y0, x1, y1`` in pixels, as annotated.
            item: the image.
            source: file, and line where known, for the message.
            listing: how the published list has them: ``as written``, where this is the list; ``inside``, where what
                reaches beyond the image ends at its last pixel; or ``to the last pixel``, where so does what ends with
                the image, as in the list of CUB.

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
        self._all += len(boxes)
        published = boxes
        if listing != "as written":
            shortened = (boxes > size) | (listing == "to the last pixel")
            published = np.where(shortened, np.minimum(inside, size - 1), inside)
        return Truth(inside, published=None if np.array_equal(published, inside) else published)

    def check(self, why: str = "the images seem to be resized: take the original files") -> None:
        """Refuse a data set of which too many boxes were clipped, after the last of them.

        Raises:
            DataError: so it is.
        """
        if self.clipped > max(_FEW, TOLERATED * self._all):
            raise DataError(
                f"{self.clipped} of {self._all} boxes reach beyond their images, more than any annotator's; {why}"
            )


def check_sizes(
    source: Path,
    stated: Sequence[tuple[Item, tuple[int, int]]],
    turned: Turned = NOT_TURNED,
    tolerated: float = TOLERATED,
) -> None:
    """Compare images with the sizes (0 where unknown) that ``source`` states; warn where a few differ.

    Raises:
        DataError: more differ, so that their boxes would not fit; the first ones are named.
    """
    differing = [(item, size) for item, size in stated if 0 not in size and size != (item.width, item.height)]
    if not differing:
        return
    guess = ""
    if all((item.height, item.width) == size for item, size in differing):
        guess = turned.hint(item.id for item, _ in differing) or " (h,w? Width comes first)"
    lines = [
        f"{item.id}: {item.width}x{item.height} pixels, not {width}x{height}" for item, (width, height) in differing
    ]
    message = (
        f"{source}: {len(differing)} of {len(stated)} images have another size, so their boxes may not fit{guess}; "
        f"restore the original images, or correct the annotations:\n{summarised(lines)}"
    )
    if len(differing) > tolerated * len(stated):
        raise DataError(message)
    _log.warning("%s", message)
