"""From hits over thresholds, and overlaps at one of them, to accuracies of a split.

Sources: BoxAcc, MaxBoxAcc and MaxBoxAccV2 of Choe et al. (CVPR 2020, arXiv 2001.07437; V2 in the journal version);
Top-1, Top-5 and GT-known Loc as the papers since CAM (Zhou et al., CVPR 2016) use them. All accuracies are percent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["IOUS", "choose_threshold", "classified", "max_box_acc_v2", "percent", "share"]

IOUS = (30, 50, 70)
"""Overlaps in percent that MaxBoxAccV2 averages over."""

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def percent(hits: NDArray[np.integer[Any]], images: int) -> Floats:
    """Turn counts of images into percent of ``images``."""
    shares: Floats = hits * 100.0 / images
    return shares


def share(flags: Flags) -> float:
    """Return how many of the images are marked, percent."""
    return float(percent(flags.sum(), len(flags)))


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


def max_box_acc_v2(accuracies: Mapping[int, Floats], chosen: Mapping[int, int] | None = None) -> dict[str, float]:
    """MaxBoxAccV2: the mean of BoxAcc over IoU 0.3, 0.5 and 0.7, each at its own threshold.

    Args:
        accuracies: BoxAcc at every threshold, by the best box of all contours; ``(n,)`` percent for each of ``IOUS``.
        chosen: position of the threshold for each IoU; None takes the best on this very split, as published (an upper
            bound).

    Returns:
        ``iou30``, ``iou50``, ``iou70`` and ``mean``.
    """
    found = {}
    for iou in IOUS:
        found[f"iou{iou}"] = float(accuracies[iou].max() if chosen is None else accuracies[iou][chosen[iou]])
    return {**found, "mean": sum(found.values()) / len(found)}


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
