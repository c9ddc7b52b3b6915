"""Predicted boxes of one map at all thresholds, under any protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsolbench.evaluation.compiled import compiled
from wsolbench.evaluation.component_tree import REFRESH, lowest_so_far

__all__ = ["Boxes", "Candidates", "best_over_thresholds"]

Boxes = NDArray[Any]
"""``(n, 4)`` ``x0, y0, x1, y1``; the protocol says whether the last pixel is inside."""

Floats = NDArray[np.float64]

_SAFELY = 1 - 1e-9  # against rounding in what only saves time


@dataclass(frozen=True)
class Candidates:
    """Predicted boxes of one map at all thresholds.

    Thresholds that give the same binary image share a *cut*.

    Attributes:
        cut: ``(n,)`` int64, the cut of each threshold.
        single: ``(C, 4)`` int, the box of the largest component, per cut.
        multi: ``(K, 4)`` int, the boxes that occur at any cut.
        alive: ``(K, 2)`` the first and last cut, both inclusive, at which each of them is a box.
    """

    cut: NDArray[np.int64]
    single: Boxes
    multi: Boxes
    alive: NDArray[np.int32]

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of boxes at each threshold, ``(n,)``."""
        changes = np.zeros(len(self.single) + 1, np.int64)
        np.add.at(changes, self.alive[:, 0], 1)
        np.add.at(changes, self.alive[:, 1] + 1, -1)
        return changes.cumsum()[self.cut]

    def boxes_at(self, threshold: int) -> Boxes:
        """Return all boxes at a threshold, given by its position, ``(m, 4)`` in no particular order."""
        cut = self.cut[threshold]
        alive: Boxes = self.multi[(self.alive[:, 0] <= cut) & (cut <= self.alive[:, 1])]
        return alive


def best_over_thresholds(found: Candidates, truth: Boxes, ends: int) -> tuple[Floats, Floats]:
    """Best overlap with any true box, at every threshold.

    Args:
        found: predicted boxes.
        truth: ``(m, 4)`` int64 or float64 ``x0, y0, x1, y1``, at least one.
        ends: 1 if a box includes its last row and column, 0 if it is half-open.

    Returns:
        ``(n,)`` float64 in [0, 1] of the largest component's box, and the best over all boxes.
    """
    single = _overlaps(found.single, truth, ends)
    return single[found.cut], _best_per_cut(found.multi, found.alive, truth, ends, len(found.single))[found.cut]


@compiled
def _overlap(boxes: Boxes, row: int, truth: Boxes, ends: int) -> float:
    """Best intersection over union of one box with any true one."""
    x0, y0, x1, y1 = boxes[row, 0], boxes[row, 1], boxes[row, 2], boxes[row, 3]
    best, area = 0.0, (x1 - x0 + ends) * (y1 - y0 + ends)
    for other in range(len(truth)):
        tx0, ty0, tx1, ty1 = truth[other, 0], truth[other, 1], truth[other, 2], truth[other, 3]
        wide, high = min(x1, tx1) - max(x0, tx0) + ends, min(y1, ty1) - max(y0, ty0) + ends
        if wide > 0 and high > 0:
            shared = wide * high
            best = max(best, shared / (area + (tx1 - tx0 + ends) * (ty1 - ty0 + ends) - shared))
    return best


@compiled
def _overlaps(boxes: Boxes, truth: Boxes, ends: int) -> Floats:
    found = np.empty(len(boxes))
    for row in range(len(boxes)):
        found[row] = _overlap(boxes, row, truth, ends)
    return found


@compiled
def _best_per_cut(boxes: Boxes, alive: NDArray[np.int32], truth: Boxes, ends: int, cuts: int) -> Floats:
    """Return the best overlap among the boxes that are there at each cut; 0 where there is none.

    No overlap exceeds the ratio of two areas, so that a box much smaller than every true one need not be looked at
    where there is a good one already. Large boxes come last, and are taken first.
    """
    smallest = 0.0
    for other in range(len(truth)):
        area = float((truth[other, 2] - truth[other, 0] + ends) * (truth[other, 3] - truth[other, 1] + ends))
        smallest = area if other == 0 else min(smallest, area)
    best, up_to = np.zeros(cuts), np.zeros(cuts)  # up_to: lowest of best from the first cut to this one, or less
    for row in range(len(boxes) - 1, -1, -1):
        if row % REFRESH == 0:
            lowest_so_far(best, up_to)
        last = alive[row, 1]
        area = float((boxes[row, 2] - boxes[row, 0] + ends) * (boxes[row, 3] - boxes[row, 1] + ends))
        if area > _SAFELY * up_to[last] * smallest:
            overlap = _overlap(boxes, row, truth, ends)
            for cut in range(alive[row, 0], last + 1):
                best[cut] = max(best[cut], overlap)
    return best
