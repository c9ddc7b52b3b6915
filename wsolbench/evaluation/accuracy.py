"""From the overlaps of every image at every threshold to accuracies of a split.

Sources: BoxAcc, MaxBoxAcc and MaxBoxAccV2 of Choe et al. (CVPR 2020, arXiv 2001.07437; V2 in the journal version);
Top-1, Top-5 and GT-known Loc as the papers since CAM (Zhou et al., CVPR 2016) use them. All accuracies are percent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "IOUS",
    "Localization",
    "box_accuracy",
    "choose_threshold",
    "classified",
    "localization",
    "max_box_acc_v2",
    "percent",
    "v2",
]

IOUS = (30, 50, 70)
"""Overlaps in percent that MaxBoxAccV2 averages over."""

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def box_accuracy(overlaps: Floats, iou: int) -> Floats:
    """BoxAcc at every threshold.

    Args:
        overlaps: ``(N, n)`` best IoU per image and threshold, in [0, 1].
        iou: least overlap in percent.

    Returns:
        ``(n,)`` percent of images.
    """
    return percent((overlaps >= iou / 100).sum(0), len(overlaps))


def percent(hits: NDArray[np.int64], images: int) -> Floats:
    """Turn counts of images into percent of ``images``."""
    shares: Floats = hits * 100.0 / images
    return shares


def choose_threshold(accuracies: Floats) -> int:
    """Return the position of the threshold that a validation split chooses.

    The highest accuracy wins; of several, the middle of the longest run of neighbours, the lower one if the run is
    even; of equally long runs, the one at lower thresholds.
    """
    best = accuracies == accuracies.max()
    edges = np.flatnonzero(np.diff(np.concatenate([[False], best, [False]])))
    starts, ends = edges[::2], edges[1::2]
    longest = int(np.argmax(ends - starts))
    return int(starts[longest] + (ends[longest] - starts[longest] - 1) // 2)


def max_box_acc_v2(overlaps: Floats, chosen: Mapping[int, int] | None = None) -> dict[str, float]:
    """MaxBoxAccV2: the mean of BoxAcc over IoU 0.3, 0.5 and 0.7, each at its own threshold.

    Args:
        overlaps: ``(N, n)`` best IoU over the boxes of all contours.
        chosen: position of the threshold for each IoU; None takes the best on this very split, as published (an upper
            bound).

    Returns:
        ``iou30``, ``iou50``, ``iou70`` and ``mean``.
    """
    return v2({iou: box_accuracy(overlaps, iou) for iou in IOUS}, chosen)


def v2(accuracies: Mapping[int, Floats], chosen: Mapping[int, int] | None = None) -> dict[str, float]:
    """MaxBoxAccV2 from BoxAcc over the thresholds, ``(n,)`` percent for each IoU; see :func:`max_box_acc_v2`."""
    found = {}
    for iou in IOUS:
        found[f"iou{iou}"] = float(accuracies[iou].max() if chosen is None else accuracies[iou][chosen[iou]])
    return {**found, "mean": sum(found.values()) / len(found)}


@dataclass(frozen=True)
class Localization:
    """Correct boxes at one threshold, percent.

    Attributes:
        gt_known: the map of the true class gives a correct box.
        top1: and the class is the first guess; None for what does not classify.
        top5: and the class is among the first five guesses; None where there are fewer.
    """

    gt_known: float
    top1: float | None
    top5: float | None


def classified(top5: NDArray[np.int64], labels: NDArray[np.int64]) -> tuple[Flags, Flags] | None:
    """Return which images are right at the first guess and within five, ``(N,)`` each.

    Args:
        top5: ``(N, k)`` classes, best first; with fewer than five classes, all of them.
        labels: ``(N,)`` true classes.

    Returns:
        None if ``k`` is 0: nothing was classified.
    """
    if top5.shape[1] == 0:
        return None
    hits = top5 == labels[:, None]
    return hits[:, 0], hits.any(1)


def localization(overlaps: Floats, classes: tuple[Flags, Flags | None] | None) -> Localization:
    """Combine the boxes at one threshold with the classification.

    Args:
        overlaps: ``(N,)`` best IoU of the single-contour box at the threshold.
        classes: result of :func:`classified`; None in place of five guesses where there are fewer.
    """
    right = overlaps >= 0.5
    first, five = classes or (None, None)
    at = [None if flags is None else _percent(right & flags) for flags in (first, five)]
    return Localization(_percent(right), *at)


def _percent(flags: Flags) -> float:
    return float(flags.sum() * 100.0 / len(flags))
