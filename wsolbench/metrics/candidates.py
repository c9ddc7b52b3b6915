"""Predicted boxes of one map at all thresholds, under any protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsolbench.metrics.component_tree import best_per_cut

__all__ = ["Boxes", "Candidates", "best_over_thresholds"]

Boxes = NDArray[Any]
"""``(n, 4)`` ``x0, y0, x1, y1``; the protocol says whether the last pixel is inside."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Candidates:
    """Predicted boxes of one map at all thresholds.

    Thresholds that give the same binary image share a *cut*.

    Attributes:
        cut: ``(n,)`` int64, the cut of each threshold.
        single: ``(C, 4)`` int64, the box of the largest component, per cut.
        multi: ``(K, 4)`` int64, the boxes that occur at any cut.
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


def best_over_thresholds(found: Candidates, single: Floats, multi: Floats) -> tuple[Floats, Floats]:
    """Spread the overlaps of boxes over the thresholds.

    Args:
        found: the boxes.
        single: ``(C,)`` overlap of ``found.single``.
        multi: ``(K,)`` overlap of ``found.multi``.

    Returns:
        ``(n,)`` float64 of the largest component's box, and the best over all boxes.
    """
    best = np.zeros(len(found.single))
    best_per_cut(found.alive, multi, best)
    return single[found.cut], best[found.cut]
