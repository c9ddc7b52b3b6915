"""Box protocol ``pixel``: what ``choe2020`` measures, without the particularities of its implementation.

A map is upsampled and normalised as everywhere; from there on nothing is rounded. Foreground are the pixels whose
score is at least the threshold times the map's maximum; the box is the smallest that holds the 8-connected component
with the most pixels (of equals, the one whose first pixel comes last in raster order, as in ``choe2020``); holes are
not boxes; boxes are half-open, true boxes are scaled to the grid without truncation, and areas are plain areas. A map
that says nothing (all zero) has no box, which is a miss. The definition is this project's own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wsolbench.evaluation.candidates import Boxes, Candidates, best_over_thresholds
from wsolbench.evaluation.choe2020 import SIDE, check_score_map
from wsolbench.evaluation.compiled import compiled
from wsolbench.evaluation.component_tree import LAST_CUT, X0, X1, Y0, Y1, Nodes, components, largest_per_cut

__all__ = ["best_ious", "box_ious", "candidates", "cuts_of", "limits_reached", "of_pieces", "scaled_boxes"]

Floats = NDArray[np.float64]

_TINY = 1e-9  # below, a guess by division may overflow


def candidates(score_map: Floats, thresholds: Floats) -> Candidates:
    """Extract the boxes of a score map at every threshold: the largest component's, and those of all.

    Args:
        score_map: ``(H, W)`` float64 in [0, 1].
        thresholds: ``(n,)`` float64 in [0, 1), in any order.

    Returns:
        Half-open boxes; the empty box ``0, 0, 0, 0`` at all thresholds if the map is all zero.

    Raises:
        DataError: see :func:`wsolbench.evaluation.choe2020.check_score_map`.
    """
    check_score_map(score_map)
    if score_map.max() == 0:
        never = np.zeros((0, 2), np.int32)
        return Candidates(np.zeros(len(thresholds), np.int64), np.zeros((1, 4), np.int32), never[:, [0] * 4], never)
    levels = len(thresholds)
    return of_pieces(components(limits_reached(score_map, thresholds), levels), levels, cuts_of(thresholds))


def limits_reached(score_map: Floats, thresholds: Floats) -> NDArray[np.int16]:
    """Return how many of the thresholds each score reaches, ``(H, W)``; the map is not all zero."""
    return _reached(np.ascontiguousarray(score_map), np.sort(thresholds) * float(score_map.max()))


def cuts_of(thresholds: Floats) -> NDArray[np.int64]:
    """Return for each threshold how many :func:`limits_reached` the foreground exceeds, ``(n,)``."""
    return np.argsort(np.argsort(thresholds, kind="stable"), kind="stable")


def of_pieces(pieces: Nodes, levels: int, cut: NDArray[np.int64]) -> Candidates:
    """Return the boxes of the components of a map, and of the largest at each of ``levels`` cuts."""
    return Candidates(
        cut,
        _boxes(pieces[largest_per_cut(pieces, levels)]),
        _boxes(pieces),
        np.ascontiguousarray(pieces[:, : LAST_CUT + 1]),
    )


def scaled_boxes(boxes: Floats, width: int, height: int) -> Floats:
    """Scale true boxes to the grid, without rounding.

    Args:
        boxes: ``(n, 4)`` half-open ``x0, y0, x1, y1`` in pixels of the stored image.
        width: of the stored image.
        height: of the stored image.

    Returns:
        ``(n, 4)`` float64 in pixels of the 224x224 grid.
    """
    scaled: Floats = boxes * SIDE / np.array([width, height, width, height], np.float64)
    return scaled


def best_ious(found: Candidates, truth: Floats) -> tuple[Floats, Floats]:
    """Best overlap of any candidate with any true box, at every threshold.

    Args:
        found: predicted boxes.
        truth: ``(m, 4)`` float64, at least one, on the same grid.

    Returns:
        For the largest component and for all components, ``(n,)`` float64 in [0, 1] each.
    """
    return best_over_thresholds(found, truth, 0)


def box_ious(first: Boxes, second: Boxes) -> Floats:
    """Intersection over union of every pair of half-open boxes.

    Args:
        first: ``(n, 4)`` ``x0, y0, x1, y1``.
        second: ``(m, 4)``.

    Returns:
        ``(n, m)`` float64 in [0, 1].
    """
    a, b = first[:, None], second[None]
    shared = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0).prod(-1)
    union = _areas(first)[:, None] + _areas(second)[None] - shared
    return np.where(union > 0, shared / np.where(union > 0, union, 1), 0.0)


@compiled
def _reached(score_map: Floats, limits: Floats) -> NDArray[np.int16]:
    """Return how many of the ascending limits each score reaches; a good guess leaves little to search."""
    height, width = score_map.shape
    count = len(limits)
    per_score = (count - 1) / limits[-1] if count and limits[-1] > _TINY else 0.0
    reached = np.empty((height, width), np.int16)
    for y in range(height):
        for x in range(width):
            score = score_map[y, x]
            place = int(min(score * per_score, count - 1.0)) + 1
            while place > 0 and limits[place - 1] > score:
                place -= 1
            while place < count and limits[place] <= score:
                place += 1
            reached[y, x] = place
    return reached


def _boxes(nodes: Nodes) -> Boxes:
    """From first and last pixels to half-open boxes."""
    boxes: Boxes = nodes[:, [X0, Y0, X1, Y1]].astype(np.int64) + np.array([0, 0, 1, 1])
    return boxes


def _areas(boxes: Boxes) -> Boxes:
    areas: Boxes = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return areas
