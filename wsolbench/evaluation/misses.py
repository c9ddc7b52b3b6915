"""What is wrong with a wrong box, and how large the object was.

The definitions are this project's own: no source fixes them. The kinds follow the discussion of failures in Choe et al.
(CVPR 2020) and Singh and Lee (Hide-and-Seek, ICCV 2017): too little, too much, several objects in one, something else.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wsolbench.evaluation.candidates import Boxes
from wsolbench.evaluation.choe2020 import box_ious

__all__ = ["MISSES", "SIZES", "kind_of_miss", "size_of"]

MISSES = ("multi_instance", "part", "more", "background", "other")
"""Kinds of miss, in the order in which they are tried."""

SIZES = ("small", "medium", "large")
"""Object sizes: less than 0.1 of the image, up to 0.4, and above."""

_HIT, _COVERED, _INSIDE, _NOTHING = 0.5, 0.5, 0.7, 0.1
_SMALL, _LARGE = 0.1, 0.4


def kind_of_miss(box: Boxes, truth: Boxes) -> str:
    """Say what is wrong with a box, under the conventions of ``choe2020``: both ends of a box count.

    ``multi_instance``: it covers half or more of two or more true boxes. ``part``: 0.7 or more of it lies in one true
    box. ``more``: it holds 0.7 or more of one true box. ``background``: no overlap reaches 0.1. ``other``: the rest.

    Args:
        box: ``(4,)`` int ``x0, y0, x1, y1`` on the 224x224 grid.
        truth: ``(m, 4)`` int, at least one.

    Returns:
        One of :data:`MISSES`; empty for a hit (IoU of 0.5 or more).
    """
    box = box.astype(np.int64)
    ious = box_ious(box[None], truth)[0]
    if ious.max() >= _HIT:
        return ""
    size = np.minimum(box[2:], truth[:, 2:]) - np.maximum(box[:2], truth[:, :2]) + 1
    shared = np.maximum(size, 0).prod(1)
    of_truth = shared / (truth[:, 2:] - truth[:, :2] + 1).prod(1)
    of_box = shared / (box[2:] - box[:2] + 1).prod()
    if (of_truth >= _COVERED).sum() > 1:
        return "multi_instance"
    if of_box.max() >= _INSIDE:
        return "part"
    if of_truth.max() >= _INSIDE:
        return "more"
    return "background" if ious.max() < _NOTHING else "other"


def size_of(areas: NDArray[np.float64]) -> NDArray[np.str_]:
    """Return the size of objects, one of :data:`SIZES`, from their shares of the image, ``(N,)``."""
    sizes: NDArray[np.str_] = np.array(SIZES)[(areas >= _SMALL).astype(int) + (areas > _LARGE)]
    return sizes
