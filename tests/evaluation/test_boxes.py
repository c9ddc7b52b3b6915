"""Boxes of ``choe2020`` against a slow implementation from the definition, and on maps whose answer is plain."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tests.evaluation.alone import choe2020
from tests.evaluation.by_definition import boxes_by_definition, overlap_by_definition
from wsolbench.errors import DataError
from wsolbench.evaluation.boxes import check_score_map
from wsolbench.evaluation.protocols import CHOE2020, SIDE, threshold_grid

THRESHOLDS = np.array([0.0, 0.2, 1 / 3, 0.5, 0.75, 0.99])
FEW_LEVELS = st.sampled_from([0.0, 0.001, 0.2, 0.25, 0.5, 0.501, 0.9, 1.0])

binary_maps = arrays(
    np.float64, array_shapes(min_dims=2, max_dims=2, max_side=14), elements=st.sampled_from([0.0, 1.0])
)
score_maps = arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=FEW_LEVELS)
boxes = st.tuples(*[st.integers(0, 9)] * 4).map(
    lambda c: [min(c[0], c[2]), min(c[1], c[3]), max(c[0], c[2]), max(c[1], c[3])]
)


def blob(*slices: tuple[int, int, int, int], shape: tuple[int, int] = (20, 30)) -> np.ndarray:
    """A map of ones on half-open rectangles ``x0, y0, x1, y1``."""
    made = np.zeros(shape)
    for x0, y0, x1, y1 in slices:
        made[y0:y1, x0:x1] = 1
    return made


def single(score_map: np.ndarray, threshold: float = 0.5) -> list[int]:
    found = choe2020(score_map, np.array([threshold]))
    return found.single[found.cut[0]].tolist()


def multi(score_map: np.ndarray, threshold: float = 0.5) -> list[list[int]]:
    return sorted(choe2020(score_map, np.array([threshold])).boxes_at(0).tolist())


@settings(max_examples=300, deadline=None)
@given(binary_maps)
def test_shapes_of_any_topology_match_the_definition(score_map: np.ndarray) -> None:
    assert (single(score_map), multi(score_map)) == boxes_by_definition(score_map, 0.5)


@settings(max_examples=100, deadline=None)
@given(score_maps)
def test_every_threshold_matches_the_definition(score_map: np.ndarray) -> None:
    found = choe2020(score_map, THRESHOLDS)
    for k, threshold in enumerate(THRESHOLDS):
        ours = found.single[found.cut[k]].tolist(), sorted(found.boxes_at(k).tolist())
        assert ours == boxes_by_definition(score_map, threshold)


@settings(max_examples=100, deadline=None)
@given(score_maps)
def test_a_threshold_gives_the_same_box_alone_as_among_others(score_map: np.ndarray) -> None:
    grid = threshold_grid(0.05)
    together = choe2020(score_map, grid)
    for k, threshold in enumerate(grid):
        assert single(score_map, threshold) == together.single[together.cut[k]].tolist()


@settings(deadline=None)
@given(st.lists(boxes, min_size=1, max_size=4), st.lists(boxes, min_size=1, max_size=4))
def test_overlap_is_shared_pixels_over_all_pixels(first: list[list[int]], second: list[list[int]]) -> None:
    expected = [[overlap_by_definition(a, b) for b in second] for a in first]
    np.testing.assert_array_equal(CHOE2020.ious(np.array(first), np.array(second)), expected)


def test_a_box_ends_one_pixel_past_its_object() -> None:
    assert single(blob((4, 3, 10, 8))) == [4, 3, 10, 8]


def test_a_box_stays_within_the_map() -> None:
    assert single(blob((4, 3, 30, 20))) == [4, 3, 29, 19]


def test_without_foreground_there_is_one_box_at_the_origin() -> None:
    found = choe2020(np.zeros((5, 6)), threshold_grid(0.25))
    assert found.counts.tolist() == [1, 1, 1, 1]
    assert found.single[found.cut].tolist() == [[0, 0, 0, 0]] * 4


def test_scores_below_one_grey_level_are_no_foreground() -> None:
    assert single(blob((4, 3, 10, 8)) * 0.9 / 255, 0.0) == [0, 0, 0, 0]


def test_foreground_is_strictly_above_the_threshold() -> None:
    score_map = np.maximum(blob((4, 3, 10, 8)), blob((0, 0, 20, 15)) * 102 / 255)
    assert single(score_map, 102 / 255) == [4, 3, 10, 8]  # trunc(0.4 * 255) = 102, which 102 is not above
    assert single(score_map, 101 / 255) == [0, 0, 20, 15]


def test_a_threshold_is_relative_to_the_maps_own_maximum() -> None:
    score_map = np.maximum(blob((4, 3, 10, 8)), blob((0, 0, 20, 15)) * 0.6) / 2
    assert single(score_map, 0.55) == [0, 0, 20, 15]
    assert single(score_map, 0.65) == [4, 3, 10, 8]


def test_the_area_of_a_contour_includes_its_holes() -> None:
    ring = blob((0, 0, 12, 12))
    ring[1:11, 1:11] = 0
    assert single(np.maximum(ring, blob((14, 0, 24, 10)))) == [0, 0, 12, 12]


def test_of_equal_contours_the_last_in_raster_order_is_taken() -> None:
    assert single(blob((2, 2, 6, 6), (20, 2, 24, 6), (10, 1, 14, 5))) == [20, 2, 24, 6]


def test_a_hole_is_a_box_of_its_own_grown_by_a_pixel() -> None:
    ring = blob((2, 2, 12, 12))
    ring[5:8, 6:9] = 0
    assert multi(ring) == [[2, 2, 12, 12], [5, 4, 10, 9]]


def test_the_best_of_all_pairs_of_boxes_counts() -> None:
    found = choe2020(blob((0, 0, 12, 12), (20, 10, 25, 15)), np.array([0.5]))
    truth = np.array([[20, 10, 25, 15], [5, 17, 9, 19]])
    only, best = found.best_ious(CHOE2020, truth)
    assert only.tolist() == [0]
    assert best.tolist() == [1]


def test_true_boxes_are_scaled_to_the_grid_and_truncated() -> None:
    whole, part = CHOE2020.on_grid(np.array([[0.0, 0, 500, 375], [10.5, 10.5, 99, 99]]), 500, 375).tolist()
    assert whole == [0, 0, SIDE, SIDE]
    assert part == [4, 6, 44, 59]  # 4.704, 6.272, 44.352, 59.136


@pytest.mark.parametrize("step", [0.001, 0.01, 0.05])
def test_the_grid_is_multiples_of_its_step_below_one(step: float) -> None:
    assert threshold_grid(step).tolist() == [k * step for k in range(round(1 / step))]


@pytest.mark.parametrize(
    "broken",
    [
        np.zeros((4, 4), np.float32),
        np.zeros(4),
        np.full((4, 4), 1.5),
        np.full((4, 4), -0.1),
        np.array([[0.0, np.nan]]),
        np.array([[0.0, np.inf]]),
    ],
)
def test_what_is_no_score_map_is_refused(broken: np.ndarray) -> None:
    with pytest.raises(DataError, match="a score map must"):
        check_score_map(broken)
