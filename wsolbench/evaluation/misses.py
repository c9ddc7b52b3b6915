"""What is wrong with a wrong box, and how large the object was.

The definitions are this project's own: no source fixes them. The kinds follow the discussion of failures in Choe et al.
(CVPR 2020) and Singh and Lee (Hide-and-Seek, ICCV 2017): too little, too much, several objects in one, something else.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wsolbench.evaluation.protocols import Boxes, TrueBoxes

__all__ = ["MISSES", "SIZES", "kinds_of_misses", "sizes_of"]

MISSES = ("multi_instance", "part", "more", "background", "other")
"""Kinds of miss, in the order in which they are tried."""

SIZES = ("small", "medium", "large")
"""Object sizes: less than 0.1 of the image, up to 0.4, and above."""

_HIT, _COVERED, _INSIDE, _NOTHING = 0.5, 0.5, 0.7, 0.1
_SMALL, _LARGE = 0.1, 0.4


def kinds_of_misses(boxes: Boxes, true: TrueBoxes) -> NDArray[np.str_]:
    """Say what is wrong with the box of each image, under the conventions of ``choe2020``: both ends of a box count.

    ``multi_instance``: it covers half or more of two or more true boxes. ``part``: 0.7 or more of it lies in one true
    box. ``more``: it holds 0.7 or more of one true box. ``background``: no overlap reaches 0.1. ``other``: the rest.

    Args:
        boxes: ``(N, 4)`` int ``x0, y0, x1, y1`` on the 224x224 grid.
        true: of the same images.

    Returns:
        ``(N,)``, of :data:`MISSES`; empty for a hit (IoU of 0.5 or more).
    """
    if not len(boxes):
        return np.zeros(0, np.str_)
    starts = true.starts[:-1]
    box = np.repeat(boxes.astype(np.int64), np.diff(true.starts), axis=0)
    shared = np.maximum(np.minimum(box[:, 2:], true.boxes[:, 2:]) - np.maximum(box[:, :2], true.boxes[:, :2]) + 1, 0)
    common = shared.prod(1)
    area, of_true = ((each[:, 2:] - each[:, :2] + 1).prod(1) for each in (box, true.boxes))
    iou = np.maximum.reduceat(common / (area + of_true - common), starts)
    covered = np.add.reduceat((common / of_true >= _COVERED).astype(int), starts)
    inside, held = (np.maximum.reduceat(common / each, starts) for each in (area, of_true))
    tried = [iou >= _HIT, covered > 1, inside >= _INSIDE, held >= _INSIDE, iou < _NOTHING]
    return np.select(tried, ["", *MISSES[:-1]], MISSES[-1])


def sizes_of(areas: NDArray[np.float64]) -> NDArray[np.str_]:
    """Return the size of objects, one of :data:`SIZES`, from their shares of the image, ``(N,)``."""
    sizes: NDArray[np.str_] = np.array(SIZES)[(areas >= _SMALL).astype(int) + (areas > _LARGE)]
    return sizes
