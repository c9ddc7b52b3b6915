"""The two box protocols: what they share, their true boxes and their overlaps; :mod:`.boxes` cuts maps by them.

``choe2020`` is that of Choe et al., Evaluating Weakly Supervised Object Localization Methods Right, CVPR 2020 (arXiv
2001.07437), as the authors' evaluator computes it, to the last detail, because published numbers are made with it. Maps
and truth live on a 224x224 grid; scores become 8 bits by truncation; a threshold is relative to the map's own 8-bit
maximum and truncated to an integer; foreground is strictly above it; holes are contours too; a box ends one pixel past
its contour, except at the border; true boxes are truncated to integers; overlaps count both ends of a box; no
foreground is the box ``0, 0, 0, 0``.

``pixel`` has none of these particularities; its definition is this project's own. A map is upsampled and normalised as
everywhere; from there on nothing is rounded. Foreground are the pixels whose score is at least the threshold times the
map's maximum; the box is the smallest that holds the 8-connected component with the most pixels (of equals, the one
whose first pixel comes last in raster order, as in ``choe2020``); holes are not boxes; boxes are half-open, true boxes
are not truncated, and areas are plain areas. A map that says nothing (all zero) has no box, which is a miss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsolbench.data.dataset import Item, Truth
from wsolbench.evaluation.compiled import compiled

__all__ = ["CHOE2020", "PIXEL", "SIDE", "Boxes", "Protocol", "TrueBoxes", "threshold_grid"]

SIDE = 224
"""Side in pixels of the grid on which maps are scored."""

Floats = NDArray[np.float64]
Boxes = NDArray[Any]
"""``(n, 4)`` ``x0, y0, x1, y1``; the protocol says whether the last pixel is inside."""


def threshold_grid(step: float) -> Floats:
    """Return the thresholds ``0, step, 2 step, ...`` below 1, as float64."""
    return np.arange(0, 1, step)


@dataclass(frozen=True)
class TrueBoxes:
    """The true boxes of a split on the grid.

    Attributes:
        boxes: ``(M, 4)`` of all images, one after the other.
        starts: ``(N + 1,)`` int64; those of image ``k`` are ``boxes[starts[k]:starts[k + 1]]``, at least one.
    """

    boxes: Boxes
    starts: NDArray[np.int64]


@dataclass(frozen=True)
class Protocol:
    """A box protocol.

    Attributes:
        name: as in files of results.
        ends: 1 if a box includes its last row and column, 0 if it is half-open.
    """

    name: str
    ends: int

    def on_grid(self, boxes: Floats, width: int, height: int) -> Boxes:
        """Scale half-open boxes ``(n, 4)`` in pixels of an image of that size to the grid: int64 or float64."""
        scaled: Boxes = boxes * SIDE / np.array([width, height, width, height], np.float64)
        return scaled.astype(np.int64) if self.ends else scaled

    def true_boxes(self, items: Sequence[Item], truths: Sequence[Truth]) -> TrueBoxes:
        """Return the boxes that the images of a split are scored against; ``choe2020`` takes them as published."""
        scaled = [
            self.on_grid(truth.choe2020_boxes if self.ends else truth.boxes, item.width, item.height)
            for item, truth in zip(items, truths, strict=True)
        ]
        starts = np.cumsum([0, *map(len, scaled)])
        return TrueBoxes(np.concatenate([self.on_grid(np.zeros((0, 4)), 1, 1), *scaled]), starts)

    def ious(self, boxes: Boxes, truth: Boxes) -> Floats:
        """Intersection over union of every pair, ``(n, m)`` in [0, 1], of ``(n, 4)`` and ``(m, 4)`` boxes."""
        pairs = np.repeat(boxes, len(truth), 0), np.tile(truth, (len(boxes), 1))
        return _overlaps(*pairs, np.arange(len(pairs[0]) + 1), self.ends).reshape(len(boxes), len(truth))

    def best_ious(self, boxes: Boxes, truth: Boxes) -> Floats:
        """Best overlap of each box with any of the true boxes of its image, ``(n,)`` float64 in [0, 1]."""
        return _overlaps(boxes, truth, np.array([0, len(truth)]), self.ends)

    def best_ious_of(self, boxes: Boxes, truth: TrueBoxes) -> Floats:
        """Best overlap of one box per image, ``(N, 4)``, with any of the true boxes of that image, ``(N,)``."""
        return _overlaps(boxes, truth.boxes, truth.starts, self.ends)


CHOE2020, PIXEL = Protocol("choe2020", 1), Protocol("pixel", 0)


@compiled
def _overlaps(boxes: Boxes, truth: Boxes, starts: NDArray[np.int64], ends: int) -> Floats:
    """Return the best overlap of each box with its true boxes; with two starts, all boxes have the same ones."""
    found = np.empty(len(boxes))
    for row in range(len(boxes)):
        x0, y0, x1, y1 = boxes[row, 0], boxes[row, 1], boxes[row, 2], boxes[row, 3]
        best, area = 0.0, (x1 - x0 + ends) * (y1 - y0 + ends)
        image = row if len(starts) > 2 else 0
        for other in range(starts[image], starts[image + 1]):
            tx0, ty0, tx1, ty1 = truth[other, 0], truth[other, 1], truth[other, 2], truth[other, 3]
            wide, high = min(x1, tx1) - max(x0, tx0) + ends, min(y1, ty1) - max(y0, ty0) + ends
            if wide > 0 and high > 0:
                shared = wide * high
                best = max(best, shared / (area + (tx1 - tx0 + ends) * (ty1 - ty0 + ends) - shared))
        found[row] = best
    return found
