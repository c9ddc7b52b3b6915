"""Ways to bring a map to [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wsolbench.evaluation.compiled import compiled

__all__ = ["NORMALISATIONS", "normalise"]

Floats = NDArray[np.float64]

NORMALISATIONS = ("min_max", "max", "percentile", "ivr")
"""Ways to bring a map to [0, 1]; see :func:`normalise`."""

_PAS_PERCENTILE = 99.5
_BINS = 4096


def normalise(upsampled: Floats, how: Sequence[str], ivr_percentile: float = 35) -> Floats:
    """Bring a map to [0, 1] in several ways.

    ``min_max`` takes the minimum to 0 and the maximum to 1 (Choe et al., CVPR 2020). ``max`` divides by the maximum and
    clips at 0. ``percentile`` divides by the 99.5th percentile of the positive scores and clips to [0, 1] (PaS; Bae et
    al., Rethinking Class Activation Mapping, ECCV 2020). ``ivr`` subtracts a percentile, clips at 0 and divides by the
    maximum (Kim et al., Normalization Matters in Weakly Supervised Object Localization, ICCV 2021). Percentiles
    interpolate linearly, bit for bit as numpy's. A map that is constant, or holds a NaN, says nothing about where the
    object is and becomes all zero, and so does one without a positive score where only those count.

    Args:
        upsampled: ``(H, W)`` float64.
        how: names of the above.
        ivr_percentile: the percentile that ``ivr`` subtracts, 0 to 100.

    Returns:
        ``(len(how), H, W)`` float64 in [0, 1].
    """
    lowest, highest = float(upsampled.min()), float(upsampled.max())
    found = np.zeros((len(how), *upsampled.shape))
    if not lowest < highest:  # also catches NaN
        return found
    for scores, name in zip(found, how, strict=True):
        if name == "percentile":
            low, high = 0.0, _percentile(upsampled, _PAS_PERCENTILE, positive=True)
        else:
            low = _percentile(upsampled, ivr_percentile) if name == "ivr" else lowest if name == "min_max" else 0.0
            high = highest - low
        if high > 0:
            _scale(upsampled, low, high, scores)
    return found


def _percentile(upsampled: Floats, percentile: float, *, positive: bool = False) -> float:
    """Return a percentile of the scores, or of the positive ones (0 if there is none), linearly interpolated."""
    values = upsampled.ravel()
    before = int((values <= 0).sum()) if positive else 0
    count = len(values) - before
    if count == 0:
        return 0.0
    place = (count - 1) * (percentile / 100)
    first = min(int(place), count - 1)
    low, high = _ordered(values, before + first, before + min(first + 1, count - 1))
    share = place - first
    return low + (high - low) * share if share < 0.5 else high - (high - low) * (1 - share)


@compiled
def _ordered(values: Floats, first: int, second: int) -> tuple[float, float]:
    """Return the values at two neighbouring positions of the ascending order.

    Only the bin of equal width that holds a position is sorted.
    """
    lowest, scale = values.min(), _BINS / (values.max() - values.min())
    ascending = values
    if not 0 < scale < np.inf:
        ascending = np.sort(values)
        return ascending[first], ascending[second]
    counts = np.zeros(_BINS + 1, np.int64)
    for value in values:
        counts[int((value - lowest) * scale)] += 1
    found = np.empty(2)
    for k, place in enumerate((first, second)):
        chosen, before = 0, 0
        while before + counts[chosen] <= place:
            before += counts[chosen]
            chosen += 1
        if k == 1 and place - before > 0:
            found[1] = ascending[place - before]  # of the same bin
            break
        ascending, filled = np.empty(counts[chosen]), 0
        for value in values:
            if int((value - lowest) * scale) == chosen:
                ascending[filled] = value
                filled += 1
        ascending.sort()
        found[k] = ascending[place - before]
    return found[0], found[1]


@compiled
def _scale(upsampled: Floats, low: float, high: float, scores: Floats) -> None:
    """Write the scores less ``low`` as shares of ``high``, clipped to [0, 1]."""
    height, width = upsampled.shape
    for y in range(height):
        for x in range(width):
            scores[y, x] = min(max(upsampled[y, x] - low, 0.0) / high, 1.0)
