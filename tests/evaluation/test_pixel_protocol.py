"""Boxes of the protocol ``pixel`` against labelling each threshold by itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from tests.evaluation.alone import pixel
from tests.evaluation.by_definition import EIGHT
from wsolbench.errors import DataError
from wsolbench.evaluation.protocols import PIXEL, threshold_grid

THRESHOLDS = np.array([0.0, 0.5, 0.25, 1 / 3, 0.99, 0.25])
score_maps = arrays(
    np.float64,
    array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.sampled_from([0.0, 1e-9, 0.1, 0.2, 0.25, 0.3, 0.4999, 0.5, 0.9, 1.0]),
)


def by_definition(score_map: np.ndarray, threshold: float) -> tuple[list[int], list[list[int]]]:
    """Return the half-open box of the component with the most pixels, and the sorted boxes of all components."""
    if score_map.max() == 0:
        return [0, 0, 0, 0], []
    labels, count = ndimage.label(score_map >= threshold * score_map.max(), EIGHT)
    boxes = [[x.start, y.start, x.stop, y.stop] for y, x in ndimage.find_objects(labels)]
    sizes = [int((labels == k + 1).sum()) for k in range(count)]
    return boxes[max(range(count), key=lambda k: (sizes[k], k))], sorted(boxes)


@settings(max_examples=300, deadline=None)
@given(score_maps)
def test_every_threshold_matches_the_definition(score_map: np.ndarray) -> None:
    found = pixel(score_map, THRESHOLDS)
    for k, threshold in enumerate(THRESHOLDS):
        ours = found.single[found.cut[k]].tolist(), sorted(found.boxes_at(k).tolist())
        assert ours == by_definition(score_map, threshold)


@settings(max_examples=50, deadline=None)
@given(score_maps, st.sampled_from([0.001, 0.03, 0.5]))
def test_any_grid_matches_the_definition(score_map: np.ndarray, step: float) -> None:
    grid = threshold_grid(step)
    found = pixel(score_map, grid)
    for k in range(0, len(grid), 37):
        assert found.single[found.cut[k]].tolist() == by_definition(score_map, grid[k])[0]


@settings(max_examples=100, deadline=None)
@given(score_maps, st.lists(st.tuples(*[st.integers(0, 9)] * 4), min_size=1, max_size=3))
def test_the_best_overlap_is_that_of_the_best_pair(score_map: np.ndarray, corners: list[tuple[int, ...]]) -> None:
    truth = np.array([[min(a, c), min(b, d), max(a, c) + 0.5, max(b, d) + 0.25] for a, b, c, d in corners])
    found = pixel(score_map, THRESHOLDS)
    single, multi = found.best_ious(PIXEL, truth)
    for k in range(len(THRESHOLDS)):
        assert single[k] == PIXEL.ious(found.single[found.cut[k]][None], truth).max()
        assert multi[k] == (PIXEL.ious(found.boxes_at(k), truth).max() if len(found.boxes_at(k)) else 0)


def test_overlap_of_half_open_boxes() -> None:
    found = PIXEL.ious(np.array([[0, 0, 10, 10], [20, 20, 30, 30]]), np.array([[5.0, 0, 15, 10], [0, 0, 0, 0]]))
    assert found.tolist() == [[50 / 150, 0], [0, 0]]


def test_true_boxes_are_scaled_and_not_truncated() -> None:
    assert PIXEL.on_grid(np.array([[10.5, 0, 500, 375]]), 500, 375).tolist() == [[4.704, 0, 224, 224]]


def test_what_is_no_score_map_is_refused() -> None:
    with pytest.raises(DataError, match="a score map must"):
        pixel(np.array([[0.0, np.nan]]), THRESHOLDS)


def test_a_map_of_tiny_scores_is_cut_like_any_other() -> None:
    found = pixel(np.array([[0.0, 5e-324, 0.0]]), np.array([0.0, 0.6]))
    assert found.single[found.cut].tolist() == [[0, 0, 3, 1], [1, 0, 2, 1]]
