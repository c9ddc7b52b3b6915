"""Maps to boxes at every threshold, under both protocols and all normalisations, from the same component trees.

A normalisation, the rounding of ``choe2020`` and the thresholds of ``pixel`` never turn the order of two scores around,
because IEEE arithmetic rounds in order. So all their binary images are nested in one another, and the sum of all levels
of a pixel, one per normalisation and one of ``pixel``, has each of these images as one of its cuts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wsolbench.errors import DataError
from wsolbench.evaluation.compiled import compiled
from wsolbench.evaluation.component_tree import FIRST_CUT, LAST_CUT, X0, Nodes, components, holes
from wsolbench.evaluation.protocols import Boxes, Protocol

__all__ = ["Candidates", "candidates", "check_score_map", "levels_reached"]

Floats = NDArray[np.float64]
Levels = NDArray[np.int16]

_BINS: Final = 4096  # of scores; a power of two, so that bins begin at exact numbers
_NEXT = np.array([0, 0, 0, 0, 1, 1])  # from the last pixel's box to a half-open one, in nodes


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
    alive: NDArray[Any]

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

    def best_ious(self, protocol: Protocol, truth: Boxes) -> tuple[Floats, Floats]:
        """Best overlap with any true box at every threshold, ``(n,)`` in [0, 1]: of the largest's box, and of all."""
        single, multi = (protocol.best_ious(boxes, truth) for boxes in (self.single, self.multi))
        return single[self.cut], _best_per_cut(multi, self.alive, len(self.single))[self.cut]


def check_score_map(score_map: Floats) -> None:
    """Check what the protocols take for granted.

    Raises:
        DataError: the map is not two-dimensional float64 within [0, 1], or is not finite.
    """
    if score_map.ndim != 2 or score_map.dtype != np.float64:
        raise DataError(f"a score map must be 2-D float64, not {score_map.ndim}-D {score_map.dtype}")
    if not (score_map.min() >= 0 and score_map.max() <= 1):  # also catches NaN
        raise DataError(f"a score map must lie in [0, 1]; this one spans {score_map.min()} to {score_map.max()}")


def candidates(maps: Floats, thresholds: Floats) -> tuple[Candidates, Candidates]:
    """Extract the boxes of a map at every threshold, normalised in several ways.

    Args:
        maps: ``(C, H, W)`` float64 in [0, 1]: the map, and other normalisations of it; of two pixels, none of them has
            one higher and another the other. Where the first is all zero, all are.
        thresholds: ``(n,)`` float64 in [0, 1), in any order.

    Returns:
        Under ``choe2020``, thresholds of each map in turn, ``cut`` being ``(C * n,)``; and of the first map under
        ``pixel``.

    Raises:
        DataError: the first map is none: see :func:`check_score_map`.
    """
    check_score_map(maps[0])
    highest = float(maps[0].max())
    outer = _Cuts(_summed_greys(maps))
    around, filled = holes(outer.values, outer.levels)
    _, largest = components(filled, outer.levels, area="polygon")
    limits = np.sort(thresholds) * highest
    reached = levels_reached(maps[0], limits) if highest > 0 else np.zeros_like(outer.values)
    every = _Cuts(outer.values + reached)
    pieces, most_pixels = components(every.values, every.levels)
    contours = _of_contours(maps, thresholds, outer, largest, around, _at(pieces, every.of(outer.values, outer.levels)))
    if highest == 0:
        nothing = np.zeros((1, 6), np.int32)
        return contours, _candidates(np.zeros(len(thresholds), np.int64), nothing[:, X0:], nothing[:0])
    cuts = every.of(reached, len(thresholds))
    ranks = np.argsort(np.argsort(thresholds, kind="stable"), kind="stable")
    return contours, _candidates(ranks, most_pixels[cuts] + _NEXT[2:], _at(pieces, cuts) + _NEXT)


def _of_contours(
    maps: Floats, thresholds: Floats, outer: _Cuts, largest: Boxes, around: Nodes, pieces: Nodes
) -> Candidates:
    """Return the boxes of ``choe2020``.

    A contour runs through a component's own pixels, around a hole through the pixels about it; a box ends one pixel
    further, but within the map.
    """
    height, width = maps.shape[1:]
    nothing = outer.levels  # one more cut, at which there is no foreground: that of the maps that are all zero
    cuts = []
    for score_map in maps:
        grey = (score_map.ravel()[outer.places] * 255).astype(np.int32)
        top = int(grey[-1])
        wanted = (thresholds * float(top)).astype(np.int64)
        cuts.append(outer.below(grey, wanted) if top else np.full(len(thresholds), nothing))
    empty = np.array([[nothing, nothing, 0, 0, 0, 0]])
    multi = np.concatenate([around + np.array([0, 0, -1, -1, 1, 1]), pieces])
    for boxes in (largest, multi[:, X0:]):
        boxes[:, 2:] = np.minimum(boxes[:, 2:] + 1, (width - 1, height - 1))
    return _candidates(np.concatenate(cuts), np.concatenate([largest, empty[:, X0:]]), np.concatenate([empty, multi]))


class _Cuts:
    """A map of levels that are sums of other levels, each of whose cuts is one of the map's.

    Attributes:
        values: ``(H, W)`` int16.
        levels: the highest of them.
        places: ``(k,)`` int64, positions of one pixel of each level that occurs, ascending by level.
    """

    def __init__(self, values: Levels) -> None:
        self.values, self.levels = values, int(values.max())
        found = _places(values, self.levels)
        self._present = np.concatenate([[0], np.flatnonzero(found >= 0)])
        self.places = found[found >= 0]

    def below(self, own: NDArray[Any], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the cuts at which one of the summands, given at :attr:`places`, is cut as wanted."""
        found: NDArray[np.int64] = self._present[np.searchsorted(own, wanted, side="right")]
        return found

    def of(self, summand: Levels, levels: int) -> NDArray[np.int64]:
        """Return the cuts at which a summand is cut at each of its own."""
        return self.below(summand.ravel()[self.places], np.arange(levels))


def _at(nodes: Nodes, cuts: NDArray[np.int64]) -> Nodes:
    """Return the nodes that are there at some of the ascending cuts, with the cuts' positions in place of the cuts."""
    found = nodes.copy()
    found[:, FIRST_CUT] = np.searchsorted(cuts, nodes[:, FIRST_CUT])
    found[:, LAST_CUT] = np.searchsorted(cuts, nodes[:, LAST_CUT], side="right") - 1
    return found[found[:, FIRST_CUT] <= found[:, LAST_CUT]]


def _candidates(cut: NDArray[np.int64], single: Boxes, multi: Nodes) -> Candidates:
    return Candidates(cut, single, multi[:, X0:], multi[:, : LAST_CUT + 1])


@compiled
def _best_per_cut(overlaps: Floats, alive: NDArray[Any], cuts: int) -> Floats:
    """Return the best of the overlaps of the boxes that are there at each cut; 0 where there is none."""
    best = np.zeros(cuts)
    for row in range(len(overlaps)):
        for cut in range(alive[row, 0], alive[row, 1] + 1):
            best[cut] = max(best[cut], overlaps[row])
    return best


@compiled
def _summed_greys(maps: Floats) -> Levels:
    """Return scores in [0, 1] as 0 to 255, truncated, summed over the maps."""
    count, height, width = maps.shape
    greys = np.zeros((height, width), np.int16)
    for k in range(count):
        for y in range(height):
            for x in range(width):
                greys[y, x] += np.int16(np.int32(maps[k, y, x] * 255))
    return greys


@compiled
def _places(values: Levels, levels: int) -> NDArray[np.int64]:
    """Return the position of any pixel of each level, -1 where a level has none."""
    places = np.full(levels + 1, -1, np.int64)
    height, width = values.shape
    for y in range(height):
        for x in range(width):
            places[values[y, x]] = y * width + x
    return places


def levels_reached(score_map: Floats, limits: Floats) -> Levels:
    """Return how many of the ascending limits each score reaches, ``(H, W)``."""
    first = np.searchsorted(limits, np.arange(_BINS + 2) / _BINS, side="right")
    return _reached(np.ascontiguousarray(score_map), limits, first)


@compiled
def _reached(score_map: Floats, limits: Floats, first: NDArray[np.int64]) -> Levels:
    """Count on from those that the lower end of a score's bin reaches."""
    height, width = score_map.shape
    count = len(limits)
    reached = np.empty((height, width), np.int16)
    for y in range(height):
        for x in range(width):
            score = score_map[y, x]
            place = first[int(score * _BINS)]
            while place < count and limits[place] <= score:
                place += 1
            reached[y, x] = place
    return reached
