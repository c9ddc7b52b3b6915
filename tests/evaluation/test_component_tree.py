"""The component tree against labelling every binary image by itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from tests.evaluation.by_definition import EIGHT, polygon_area
from wsolbench.evaluation.component_tree import (
    FIRST_CUT,
    LAST_CUT,
    X0,
    components,
    holes,
)

LEVELS = 5
small_maps = arrays(np.int16, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, LEVELS))


def checkerboard(height: int, width: int) -> np.ndarray:
    return (np.indices((height, width)).sum(0) % 2 * LEVELS).astype(np.int16)


def spiral(side: int) -> np.ndarray:
    made, y, x, dy, dx = np.zeros((side, side), np.int16), 0, 0, 0, 1
    for step in range(side * side):
        made[y, x] = 1 + step % LEVELS
        ahead = y + 2 * dy, x + 2 * dx
        if not (0 <= y + dy < side and 0 <= x + dx < side) or (
            0 <= ahead[0] < side and 0 <= ahead[1] < side and made[ahead]
        ):
            dy, dx = dx, -dy
        y, x = y + dy, x + dx
        if not (0 <= y < side and 0 <= x < side) or made[y, x]:
            break
    return made


def at(nodes: np.ndarray, cut: int) -> np.ndarray:
    return nodes[(nodes[:, FIRST_CUT] <= cut) & (cut <= nodes[:, LAST_CUT])]


def extents(labels: np.ndarray) -> list[tuple[int, int, int, int]]:
    return [(x.start, y.start, x.stop - 1, y.stop - 1) for y, x in ndimage.find_objects(labels)]


def check_all_cuts(values: np.ndarray, levels: int = LEVELS) -> None:
    """Compare boxes, areas, holes and filled maps at every cut with ``scipy.ndimage``."""
    (found, most_pixels), (dark, filled) = components(values, levels), holes(values, levels)
    _, largest = components(filled, levels, area="polygon")
    for cut in range(levels):
        foreground = values > cut
        np.testing.assert_array_equal(filled > cut, ndimage.binary_fill_holes(foreground))
        labels, count = ndimage.label(foreground, EIGHT)
        boxes = extents(labels)
        assert sorted(map(tuple, at(found, cut)[:, X0:].tolist())) == sorted(boxes)
        inner = [box for box in extents(ndimage.label(~foreground)[0]) if encloses(values.shape, box)]
        assert sorted(map(tuple, at(dark, cut)[:, X0:].tolist())) == sorted(inner)
        sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:].tolist()
        areas = [polygon_area(ndimage.binary_fill_holes(labels == k + 1)) for k in range(count)]
        for ours, weights in ((most_pixels, sizes), (largest, areas)):
            best = max(range(count), key=lambda k: (weights[k], k), default=None)
            assert tuple(ours[cut]) == ((0, 0, 0, 0) if best is None else boxes[best])


def encloses(shape: tuple[int, ...], box: tuple[int, int, int, int]) -> bool:
    return box[0] > 0 and box[1] > 0 and box[2] < shape[1] - 1 and box[3] < shape[0] - 1


@settings(max_examples=400, deadline=None)
@given(small_maps)
def test_any_small_map(values: np.ndarray) -> None:
    check_all_cuts(values)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 64), st.integers(1, 64), st.integers(0, 6), st.integers(1, 40))
def test_any_larger_map_smooth_or_not(seed: int, height: int, width: int, smoothing: int, levels: int) -> None:
    noise = ndimage.uniform_filter(np.random.default_rng(seed).random((height, width)), smoothing + 1)
    span = np.ptp(noise) or 1.0
    check_all_cuts(((noise - noise.min()) / span * levels).astype(np.int16), levels)


@pytest.mark.parametrize(
    "values",
    [
        checkerboard(9, 12),
        checkerboard(1, 7),
        spiral(15),
        LEVELS - spiral(15),
        np.full((6, 5), LEVELS, np.int16),
        np.zeros((6, 5), np.int16),
        np.pad(np.full((1, 1), LEVELS, np.int16), 4),
        np.full((1, 1), 2, np.int16),
        np.repeat(np.arange(LEVELS + 1, dtype=np.int16), 3)[None],
        np.repeat(np.arange(LEVELS + 1, dtype=np.int16), 3)[:, None],
    ],
)
def test_maps_of_special_shape(values: np.ndarray) -> None:
    check_all_cuts(values.astype(np.int16))


@settings(max_examples=100, deadline=None)
@given(small_maps)
def test_a_component_is_a_node_for_as_long_as_its_box_stays(values: np.ndarray) -> None:
    nodes, _ = components(values, LEVELS)
    assert len(nodes) <= values.size
    for node in nodes:
        below = nodes[(nodes[:, LAST_CUT] == node[FIRST_CUT] - 1) & (nodes[:, X0:] == node[X0:]).all(1)]
        assert len(below) == 0
