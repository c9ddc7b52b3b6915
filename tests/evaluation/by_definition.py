"""The box protocol once more, slowly, from its definition: connected components instead of contour tracing."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

EIGHT = np.ones((3, 3), int)


def boxes_by_definition(score_map: np.ndarray, threshold: float) -> tuple[list[int], list[list[int]]]:
    """Return the single-contour box and the sorted boxes of all contours of a score map at one threshold."""
    grey = np.trunc(score_map * 255).astype(int)
    foreground = grey > int(threshold * int(grey.max()))
    labels, count = ndimage.label(foreground, EIGHT)
    if count == 0:
        return [0, 0, 0, 0], [[0, 0, 0, 0]]
    components = [labels == k + 1 for k in range(count)]  # in raster order of their first pixels
    boxes = [_box(*_extent(component), foreground.shape) for component in components]
    areas = [polygon_area(ndimage.binary_fill_holes(component)) for component in components]
    largest = max(range(count), key=lambda k: (areas[k], k))  # of equals, the last in raster order
    holes = [box for component in components for box in _hole_boxes(component)]
    return boxes[largest], sorted(boxes + holes)


def overlap_by_definition(a: list[int], b: list[int]) -> float:
    """IoU of two boxes as sets of pixels, both ends of a box included."""
    first, second = ({(x, y) for x in range(x0, x1 + 1) for y in range(y0, y1 + 1)} for x0, y0, x1, y1 in (a, b))
    return len(first & second) / len(first | second)


def polygon_area(filled: np.ndarray) -> float:
    """Area of the outline through pixel centres: of each 2x2 block all of it, half of it, or nothing lies inside."""
    padded = np.pad(filled.astype(int), 1)
    inside = padded[:-1, :-1] + padded[:-1, 1:] + padded[1:, :-1] + padded[1:, 1:]
    return float((inside == 4).sum() + 0.5 * (inside == 3).sum())


def _hole_boxes(component: np.ndarray) -> list[list[int]]:
    """A hole (4-connected, islands in it included) is bounded by the component's pixels around it."""
    holes, _ = ndimage.label(ndimage.binary_fill_holes(component) & ~component)
    found = []
    for rows, columns in ndimage.find_objects(holes):
        grown = columns.start - 1, rows.start - 1, columns.stop, rows.stop
        found.append(_box(*grown, component.shape))
    return found


def _extent(component: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(component)
    return columns.min(), rows.min(), columns.max(), rows.max()


def _box(x0: int, y0: int, x1: int, y1: int, shape: tuple[int, ...]) -> list[int]:
    """From first and last pixel to the protocol's box: one pixel further, but within the map."""
    height, width = shape
    return [int(x0), int(y0), int(min(x1 + 1, width - 1)), int(min(y1 + 1, height - 1))]


def px_ap_by_definition(score_map: np.ndarray, foreground: np.ndarray, counted: np.ndarray, grid: np.ndarray) -> float:
    """Sum precision times gained recall over falling thresholds, percent; from sets of pixels."""
    area, reached = 0.0, 0.0
    for threshold in [1.0, *grid[::-1]]:
        claimed = (score_map >= threshold) & counted
        if claimed.any():
            hits = (claimed & foreground).sum()
            recall = hits / foreground.sum()
            area += hits / claimed.sum() * (recall - reached)
            reached = recall
    return float(area * 100)
