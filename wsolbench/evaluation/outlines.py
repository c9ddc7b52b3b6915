"""Outlines of masks, as polygons that a page draws."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Outline", "outlines"]

Outline = Sequence[tuple[float, float]]

_TOLERANCE = 0.75  # cells by which an outline may be off


def outlines(mask: NDArray[np.bool_]) -> list[Outline]:
    """Return the outlines of a mask's parts and of their holes.

    Returns:
        Polygons ``x, y`` as shares of width and height, to four digits; parts of less than three corners are left out.
    """
    found, _ = cv2.findContours(np.ascontiguousarray(mask).view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    polygons = [(cv2.approxPolyDP(each, _TOLERANCE, closed=True)[:, 0] + 0.5) / mask.shape[::-1] for each in found]
    return [[(x, y) for x, y in np.round(each, 4).tolist()] for each in polygons if len(each) > 2]
