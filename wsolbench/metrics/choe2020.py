"""Box protocol ``choe2020``: maps to boxes at every threshold, and their overlap with the truth.

Source: Choe et al., Evaluating Weakly Supervised Object Localization Methods Right, CVPR 2020 (arXiv 2001.07437), as
the authors' evaluator computes it, to the last detail, because published numbers are made with it. All its
particularities are reproduced: maps and truth live on a 224x224 grid; scores become 8 bits by truncation; a threshold
is relative to the map's own 8-bit maximum and truncated to an integer; foreground is strictly above it; holes are
contours too; a box ends one pixel past its contour, except at the border; overlaps count both ends of a box; no
foreground is the box ``0, 0, 0, 0``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wsolbench.errors import DataError

__all__ = [
    "SIDE",
    "Candidates",
    "best_ious",
    "box_ious",
    "candidates",
    "check_score_map",
    "scaled_boxes",
    "threshold_grid",
]

SIDE = 224
"""Side in pixels of the grid on which the protocol scores."""

Boxes = NDArray[np.int64]
Floats = NDArray[np.float64]
_Rectangle = Sequence[int]
"""``x, y, width, height`` in pixels."""


@dataclass(frozen=True)
class Candidates:
    """Predicted boxes of one map at all thresholds.

    Only the distinct binary images are stored, at most 255 of them, as *levels*.

    Attributes:
        level: ``(n,)`` int64, the level of each threshold.
        single: ``(L, 4)`` int64, the box of the contour with the largest polygon area, per level.
        multi: ``(K, 4)`` int64, the boxes of all contours, holes included, level after level.
        start: ``(L + 1,)`` int64, where a level's boxes begin in ``multi``.
    """

    level: NDArray[np.int64]
    single: Boxes
    multi: Boxes
    start: NDArray[np.int64]

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of contours at each threshold, ``(n,)``; 1 where there is no foreground."""
        return np.diff(self.start)[self.level]


def threshold_grid(step: float) -> Floats:
    """Return the thresholds ``0, step, 2 step, ...`` below 1, as float64."""
    return np.arange(0, 1, step)


def check_score_map(score_map: Floats) -> None:
    """Check what the protocol takes for granted.

    Raises:
        DataError: the map is not two-dimensional float64 within [0, 1], or is not finite.
    """
    if score_map.ndim != 2 or score_map.dtype != np.float64:
        raise DataError(f"a score map must be 2-D float64, not {score_map.ndim}-D {score_map.dtype}")
    if not (score_map.min() >= 0 and score_map.max() <= 1):  # also catches NaN
        raise DataError(f"a score map must lie in [0, 1]; this one spans {score_map.min()} to {score_map.max()}")


def candidates(score_map: Floats, thresholds: Floats) -> Candidates:
    """Extract the boxes of a score map at every threshold, single and multi contour in one pass.

    Args:
        score_map: ``(H, W)`` float64 in [0, 1].
        thresholds: ``(n,)`` float64 in [0, 1).

    Raises:
        DataError: see :func:`check_score_map`.
    """
    check_score_map(score_map)
    grey = (score_map * 255).astype(np.uint8)
    cuts = (thresholds * float(grey.max())).astype(np.int64)
    # Cuts between two grey levels that occur give the same binary image.
    reached = np.searchsorted(np.unique(grey), cuts, side="right")
    _, first, level = np.unique(reached, return_index=True, return_inverse=True)
    rectangles: list[_Rectangle] = []
    largest, start = [], [0]
    for cut in cuts[first].tolist():  # a Python integer leaves the comparison in 8 bits
        found, best = _contours(grey > cut)
        largest.append(start[-1] + best)
        rectangles += found
        start.append(len(rectangles))
    multi = _ends_clipped(rectangles, *grey.shape)
    return Candidates(level.astype(np.int64), multi[largest], multi, np.array(start))


def scaled_boxes(boxes: Floats, width: int, height: int) -> Boxes:
    """Scale true boxes to the grid and truncate them.

    Args:
        boxes: ``(n, 4)`` ``x0, y0, x1, y1`` in pixels of the stored image.
        width: of the stored image.
        height: of the stored image.

    Returns:
        ``(n, 4)`` int64 in pixels of the 224x224 grid.
    """
    size = np.array([width, height, width, height], np.float64)
    return (boxes * SIDE / size).astype(np.int64)


def box_ious(first: Boxes, second: Boxes) -> Floats:
    """Intersection over union of every pair, both ends of a box counted.

    Args:
        first: ``(n, 4)`` int64 ``x0, y0, x1, y1``.
        second: ``(m, 4)`` int64.

    Returns:
        ``(n, m)`` float64 in [0, 1].
    """
    a, b = first[:, None], second[None]
    size = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]) + 1
    shared = np.maximum(size, 0).prod(-1)
    union = _areas(first)[:, None] + _areas(second)[None] - shared
    return np.where(union > 0, shared / np.where(union > 0, union, 1), 0.0)


def best_ious(found: Candidates, truth: Boxes) -> tuple[Floats, Floats]:
    """Best overlap of any candidate with any true box, at every threshold.

    Args:
        found: predicted boxes.
        truth: ``(m, 4)`` int64, at least one, on the same grid.

    Returns:
        For the single contour and for all contours, ``(n,)`` float64 in [0, 1] each.
    """
    single = box_ious(found.single, truth).max(1)
    multi = np.maximum.reduceat(box_ious(found.multi, truth).max(1), found.start[:-1])
    return single[found.level], multi[found.level]


def _contours(foreground: NDArray[np.bool_]) -> tuple[list[_Rectangle], int]:
    """Return the rectangles of all contours, and which contour has the largest area: the first of equals."""
    contours, _ = cv2.findContours(foreground.view(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return [(0, 0, 0, 0)], 0
    areas = [cv2.contourArea(contour) for contour in contours]
    return [cv2.boundingRect(contour) for contour in contours], areas.index(max(areas))


def _ends_clipped(rectangles: list[_Rectangle], height: int, width: int) -> Boxes:
    boxes = np.array(rectangles, np.int64)
    boxes[:, 2:] = np.minimum(boxes[:, :2] + boxes[:, 2:], [width - 1, height - 1])
    return boxes


def _areas(boxes: Boxes) -> NDArray[np.int64]:
    areas: NDArray[np.int64] = (boxes[:, 2:] - boxes[:, :2] + 1).prod(1)
    return areas
