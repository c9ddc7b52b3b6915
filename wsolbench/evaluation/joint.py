"""Boxes of one map under both protocols and all normalisations, from the same component trees.

A normalisation, the rounding of ``choe2020`` and the thresholds of ``pixel`` never turn the order of two scores around,
because IEEE arithmetic rounds in order. So all their binary images are nested in one another, and the sum of all levels
of a pixel, one per normalisation and one of ``pixel``, has each of these images as one of its cuts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wsolbench.evaluation import choe2020, pixel
from wsolbench.evaluation.candidates import Candidates
from wsolbench.evaluation.compiled import compiled
from wsolbench.evaluation.component_tree import components, holes, largest_per_cut

__all__ = ["candidates"]

Floats = NDArray[np.float64]
Levels = NDArray[np.int16]


def candidates(maps: Sequence[Floats], thresholds: Floats) -> tuple[Candidates, Candidates]:
    """Extract the boxes of a map at every threshold, normalised in several ways.

    Args:
        maps: ``(H, W)`` float64 in [0, 1] each: the map, and other normalisations of it; of two pixels, none of them
            has one higher and another the other. Where the first is all zero, all are.
        thresholds: ``(n,)`` float64 in [0, 1), in any order.

    Returns:
        Under ``choe2020``, thresholds of each map in turn, ``cut`` being ``(len(maps) * n,)``; and of the first map
        under ``pixel``.

    Raises:
        DataError: the first map is none: see :func:`wsolbench.evaluation.choe2020.check_score_map`.
    """
    choe2020.check_score_map(maps[0])
    if maps[0].max() == 0:
        repeated = np.tile(thresholds, len(maps))
        return choe2020.candidates(maps[0], repeated), pixel.candidates(maps[0], thresholds)
    reached = pixel.limits_reached(maps[0], thresholds)
    greys = [choe2020.grey_levels(each) for each in maps]
    values = reached.copy()
    for grey in greys:
        values += grey
    levels = int(values.max())
    place = _places(values, levels)
    present = np.flatnonzero(place >= 0)
    place = place[present]

    def cuts(own: Levels, wanted: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the cuts of the sum at which ``own`` is cut as wanted."""
        below = np.searchsorted(own.ravel()[place], wanted, side="right")
        return np.concatenate([[0], present])[below]

    around, filled = holes(values, levels)
    outlines = components(filled, levels, area="polygon")
    pieces = components(values, levels)
    single, multi, alive = choe2020.contour_boxes(
        outlines[largest_per_cut(outlines, levels)], pieces, around, *values.shape
    )
    # One more cut, at which there is no foreground: that of the maps that are all zero.
    nothing = np.zeros((1, 4), single.dtype)
    cut = [
        cuts(grey, choe2020.cuts_of(grey, thresholds)) if grey.any() else np.full(len(thresholds), levels)
        for grey in greys
    ]
    contours = Candidates(
        np.concatenate(cut),
        np.concatenate([single, nothing]),
        np.concatenate([nothing, multi]),
        np.concatenate([np.full((1, 2), levels, alive.dtype), alive]),
    )
    return contours, pixel.of_pieces(pieces, levels, cuts(reached, pixel.cuts_of(thresholds)))


@compiled
def _places(values: Levels, levels: int) -> NDArray[np.int64]:
    """Return the position of any pixel of each level, -1 where a level has none."""
    places = np.full(levels + 1, -1, np.int64)
    height, width = values.shape
    for y in range(height):
        for x in range(width):
            places[values[y, x]] = y * width + x
    return places
