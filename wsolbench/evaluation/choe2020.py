"""Box protocol ``choe2020``: maps to boxes at every threshold, and their overlap with the truth.

Source: Choe et al., Evaluating Weakly Supervised Object Localization Methods Right, CVPR 2020 (arXiv 2001.07437), as
the authors' evaluator computes it, to the last detail, because published numbers are made with it. All its
particularities are reproduced: maps and truth live on a 224x224 grid; scores become 8 bits by truncation; a threshold
is relative to the map's own 8-bit maximum and truncated to an integer; foreground is strictly above it; holes are
contours too; a box ends one pixel past its contour, except at the border; overlaps count both ends of a box; no
foreground is the box ``0, 0, 0, 0``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wsolbench.data.dataset import Item, Truth
from wsolbench.errors import DataError
from wsolbench.evaluation.candidates import Boxes, Candidates, best_over_thresholds
from wsolbench.evaluation.compiled import compiled
from wsolbench.evaluation.component_tree import (
    FIRST_CUT,
    LAST_CUT,
    X0,
    X1,
    Y0,
    Y1,
    Nodes,
    components,
    holes,
    in_holes,
    largest_per_cut,
)

__all__ = [
    "SIDE",
    "best_ious",
    "box_ious",
    "candidates",
    "check_score_map",
    "contour_boxes",
    "cuts_of",
    "grey_levels",
    "scaled_boxes",
    "threshold_grid",
    "true_boxes",
]

SIDE = 224
"""Side in pixels of the grid on which the protocol scores."""

Floats = NDArray[np.float64]


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
    grey = grey_levels(score_map)
    levels = int(grey.max())
    cuts = cuts_of(grey, thresholds)
    if levels == 0:
        nothing = np.zeros((1, 4), np.int32)
        return Candidates(cuts, nothing, nothing, np.zeros((1, 2), np.int32))
    around, filled = holes(grey, levels)
    outlines = components(filled, levels, area="polygon")
    pieces = components(grey, levels) if in_holes(grey, levels, around, outlines) else outlines
    largest = outlines[largest_per_cut(outlines, levels)]
    return Candidates(cuts, *contour_boxes(largest, pieces, around, *grey.shape))


@compiled
def grey_levels(score_map: Floats) -> NDArray[np.int16]:
    """Return scores in [0, 1] as 0 to 255, truncated."""
    height, width = score_map.shape
    grey = np.empty((height, width), np.int16)
    for y in range(height):
        for x in range(width):
            grey[y, x] = np.int16(np.int32(score_map[y, x] * 255))
    return grey


def cuts_of(grey: NDArray[np.int16], thresholds: Floats) -> NDArray[np.int64]:
    """Return the grey level above which the foreground is at each threshold, ``(n,)``."""
    return (thresholds * float(grey.max())).astype(np.int64)


def contour_boxes(
    largest: Nodes, pieces: Nodes, around: Nodes, height: int, width: int
) -> tuple[Boxes, Boxes, NDArray[np.int32]]:
    """Return the protocol's boxes of the largest component per cut, of all components and holes, and their cuts."""
    single, _ = _boxes(largest, around[:0], height, width)
    return single, *_boxes(pieces, around, height, width)


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


def true_boxes(truth: Truth, item: Item) -> Boxes:
    """Return the boxes of an image that the protocol scores against.

    Returns:
        ``(n, 4)`` int64 in pixels of the 224x224 grid.
    """
    return scaled_boxes(truth.choe2020_boxes, item.width, item.height)


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
    return best_over_thresholds(found, truth, 1)


@compiled
def _boxes(pieces: Nodes, around: Nodes, height: int, width: int) -> tuple[Boxes, NDArray[np.int32]]:
    """From first and last pixels of components and holes to the protocol's boxes, and when each of them is there.

    A contour runs through a component's own pixels, around a hole through the pixels about it; a box ends one pixel
    further, but within the map.
    """
    boxes = np.empty((len(pieces) + len(around), 4), np.int32)
    alive = np.empty((len(boxes), 2), np.int32)
    for row in range(len(boxes)):
        grown = 1 if row < len(around) else 0
        node = around[row] if grown else pieces[row - len(around)]
        boxes[row, 0] = node[X0] - grown
        boxes[row, 1] = node[Y0] - grown
        boxes[row, 2] = min(node[X1] + grown + 1, width - 1)
        boxes[row, 3] = min(node[Y1] + grown + 1, height - 1)
        alive[row, 0] = node[FIRST_CUT]
        alive[row, 1] = node[LAST_CUT]
    return boxes, alive


def _areas(boxes: Boxes) -> NDArray[np.int64]:
    areas: NDArray[np.int64] = (boxes[:, 2:] - boxes[:, :2] + 1).prod(1)
    return areas
