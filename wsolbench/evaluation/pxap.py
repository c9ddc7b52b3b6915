"""Pixel average precision, and overlap with masks at every threshold.

Source: Choe et al., CVPR 2020 (arXiv 2001.07437): all pixels of a split are pooled; precision and recall of
{score >= threshold} against the mask; PxAP is the area under their curve without interpolation. As in the authors'
evaluator, scores are not rounded to 8 bits here, masks are resized to 224x224 by nearest neighbour, and pixels of an
ignore region that are not foreground count for neither side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wsolbench.data.dataset import Truth
from wsolbench.errors import DataError
from wsolbench.evaluation.boxes import levels_reached
from wsolbench.evaluation.compiled import compiled
from wsolbench.evaluation.protocols import SIDE

__all__ = [
    "IGNORED",
    "PIXEL_KINDS",
    "PixelCurve",
    "code_masks",
    "coded_masks",
    "curve",
    "histograms",
    "nearest_cells",
    "pixels_over_thresholds",
    "resize_nearest",
]

IGNORED = 255
"""Code of a pixel that counts for neither side; 1 is foreground and 0 background."""

PIXEL_KINDS = ("hit", "missed", "context", "background")
"""What a pixel of a thresholded map or of the mask is: object found, object left out, and off the object, at most a
tenth of the image's side from it or farther away."""

_NEAR, _CONTEXT = SIDE / 10, 2

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PixelCurve:
    """Precision and recall from the highest score bin down.

    Attributes:
        precision: ``(n + 2,)`` float64 in [0, 1]; NaN where nothing is predicted.
        recall: ``(n + 2,)`` float64 in [0, 1].
        px_ap: percent, 0 to 100.
    """

    precision: Floats
    recall: Floats
    px_ap: float


def nearest_cells(size: int) -> NDArray[np.int64]:
    """Return the row (or column) of ``size`` that each of the 224 cells is taken from.

    It is that of OpenCV's ``INTER_NEAREST``, which the authors' evaluator calls: ``floor(i * (1 / (224 / size)))``,
    computed in float64 in this order. Rounding makes it differ from ``floor(i * size / 224)`` for 141 of the sizes 1 to
    2000.
    """
    return np.asarray(np.arange(SIDE) * (1.0 / (SIDE / size))).astype(np.int64)


def resize_nearest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Resize ``(H, W)`` to ``(224, 224)`` by nearest neighbour; see :func:`nearest_cells`."""
    rows, columns = map(nearest_cells, mask.shape)
    return mask.take(rows, 0).take(columns, 1)


def code_masks(objects: Sequence[NDArray[np.bool_]], ignored: NDArray[np.bool_] | None) -> NDArray[np.uint8]:
    """Merge an image's masks on the grid.

    Args:
        objects: ``(H, W)`` masks of its instances, of any sizes.
        ignored: ``(H, W)`` mask of the ignore region, or None.

    Returns:
        ``(224, 224)`` uint8: 1 in any object, :data:`IGNORED` where only the ignore region is, else 0.
    """
    coded = np.zeros((SIDE, SIDE), np.uint8)
    if ignored is not None:
        coded[resize_nearest(ignored)] = IGNORED
    for mask in objects:
        coded[resize_nearest(mask)] = 1
    return coded


def coded_masks(truth: Truth) -> NDArray[np.uint8]:
    """Merge an image's masks: see :func:`code_masks`."""
    return code_masks(truth.object_masks(), truth.ignored())


def histograms(score_map: Floats, coded: NDArray[np.uint8], thresholds: Floats) -> Counts:
    """Count the scores of foreground and of background pixels per threshold bin.

    Args:
        score_map: ``(224, 224)`` float64 in [0, 1].
        coded: ``(224, 224)`` uint8 of :func:`code_masks`.
        thresholds: ``(n,)`` float64, ascending from 0.

    Returns:
        Foreground and background counts, ``(2, n + 2)`` int64: bins between the thresholds, ``[last, 1)``, ``[1, 2)``
        and an empty one, so that a score of 1 has a bin of its own.
    """
    limits = np.concatenate([thresholds, [1.0, 2.0]])
    return _counted(levels_reached(score_map, limits), coded, 2, len(limits))[::-1]


@compiled
def _counted(reached: NDArray[np.int16], coded: NDArray[np.uint8], codes: int, bins: int) -> Counts:
    """Count the pixels of each code from 0 to ``codes - 1`` that reach just 1, 2, ... limits, ``(codes, bins)``."""
    counts = np.zeros((codes, bins), np.int64)
    height, width = reached.shape
    for y in range(height):
        for x in range(width):
            if coded[y, x] < codes and reached[y, x] > 0:
                counts[coded[y, x], reached[y, x] - 1] += 1
    return counts


def pixels_over_thresholds(score_map: Floats, coded: NDArray[np.uint8], thresholds: Floats) -> Counts:
    """Count the pixels that reach a threshold, or are in the mask, by what they are.

    The four counts add up to the union of {score >= threshold} with the mask, so that the first over their sum is the
    intersection over union, and the others say what it lacks. What is near the object is this project's own choice: no
    source fixes it.

    Args:
        score_map: ``(224, 224)`` float64 in [0, 1].
        coded: ``(224, 224)`` uint8 of :func:`code_masks`; ignored pixels count for nothing.
        thresholds: ``(n,)`` float64 in [0, 1), in any order.

    Returns:
        ``(n, 4)`` int64, one column per kind of :data:`PIXEL_KINDS`; everything is background where the mask is empty.
    """
    limits, place = np.unique(thresholds, return_inverse=True)
    inside = coded == 1
    distance = cv2.distanceTransform((~inside).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    near = inside.any() & (coded == 0) & (distance <= _NEAR)
    kinds = np.where(near, np.uint8(_CONTEXT), coded)
    counts = _counted(levels_reached(score_map, limits), kinds, _CONTEXT + 1, len(limits))
    background, hit, context = counts[:, ::-1].cumsum(1)[:, ::-1][:, place]
    return np.stack([hit, inside.sum() - hit, context, background], axis=1)


def curve(histogram: Counts) -> PixelCurve:
    """Turn pooled histograms into the curve and its area.

    Args:
        histogram: ``(2, n + 2)`` counts of foreground and background pixels over the whole split.

    Raises:
        DataError: there is no foreground pixel in the split.
    """
    foreground, background = histogram
    total = foreground.sum()
    if total == 0:
        raise DataError("PxAP is not defined: no mask of the split has a foreground pixel")
    hits = foreground[::-1].cumsum()
    claimed = hits + background[::-1].cumsum()
    precision = np.full(len(hits), np.nan)
    np.divide(hits, claimed, out=precision, where=claimed > 0)
    recall = hits / total
    gained = np.diff(recall)
    area = (precision[1:] * gained)[claimed[1:] > 0].sum()
    return PixelCurve(precision, recall, float(area * 100))
