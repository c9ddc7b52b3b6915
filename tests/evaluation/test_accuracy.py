"""From overlaps to accuracies of a split."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wsolbench.evaluation.accuracy import (
    box_accuracy,
    choose_threshold,
    classified,
    localization,
    max_box_acc_v2,
)

# Three images, four thresholds.
OVERLAPS = np.array([[0.8, 0.7, 0.5, 0.1], [0.2, 0.3, 0.5, 0.9], [0.0, 0.49, 0.69, 0.7]])


def test_box_accuracy_counts_images_that_reach_the_overlap_exactly() -> None:
    np.testing.assert_allclose(box_accuracy(OVERLAPS, 50), [100 / 3, 100 / 3, 100, 200 / 3])
    np.testing.assert_allclose(box_accuracy(OVERLAPS, 70), [100 / 3, 100 / 3, 0, 200 / 3])


def test_v2_takes_the_best_threshold_for_each_overlap() -> None:
    found = max_box_acc_v2(OVERLAPS)
    assert found["iou30"] == pytest.approx(100)
    assert found["iou50"] == pytest.approx(100)
    assert found["iou70"] == pytest.approx(200 / 3)
    assert found["mean"] == pytest.approx((100 + 100 + 200 / 3) / 3)


def test_v2_at_thresholds_chosen_elsewhere_takes_each_overlaps_own() -> None:
    found = max_box_acc_v2(OVERLAPS, {30: 0, 50: 1, 70: 3})
    assert found == pytest.approx({"iou30": 100 / 3, "iou50": 100 / 3, "iou70": 200 / 3, "mean": 400 / 9})


@pytest.mark.parametrize(
    ("accuracies", "chosen"),
    [
        ([1, 5, 2], 1),
        ([5, 5, 5], 1),  # the middle of the run
        ([0, 5, 5, 5, 5, 0], 2),  # the lower middle of an even run
        ([5, 0, 5, 5, 5, 0, 5, 5], 3),  # the longest run, not the first
        ([0, 5, 5, 0, 5, 5], 1),  # of equally long runs the one at lower thresholds
        ([5, 0, 0, 5], 0),
        ([1, 2, 3, 3], 2),  # a run that reaches the end
        ([0], 0),
    ],
)
def test_the_threshold_that_a_split_chooses(accuracies: list[float], chosen: int) -> None:
    assert choose_threshold(np.array(accuracies, float)) == chosen


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30))
def test_the_chosen_threshold_is_always_a_best_one(accuracies: list[int]) -> None:
    assert accuracies[choose_threshold(np.array(accuracies, float))] == max(accuracies)


def test_right_at_the_first_guess_and_within_five() -> None:
    top5 = np.array([[3, 1, 2, 0, 4], [1, 3, 2, 0, 4], [9, 8, 7, 6, 5]])
    first, five = classified(top5, np.array([3, 3, 3]))
    assert first.tolist() == [True, False, False]
    assert five.tolist() == [True, True, False]


def test_what_does_not_classify_has_no_top_k() -> None:
    assert classified(np.zeros((3, 0), np.int64), np.arange(3)) is None
    found = localization(np.array([0.5, 0.6, 0.4]), None)
    assert (found.top1, found.top5) == (None, None)
    assert found.gt_known == pytest.approx(200 / 3)


def test_top_k_loc_needs_both_box_and_class() -> None:
    first, five = np.array([True, True, False, False]), np.array([True, True, True, False])
    found = localization(np.array([0.9, 0.1, 0.9, 0.9]), (first, five))
    assert (found.gt_known, found.top1, found.top5) == (75, 25, 50)


flags = arrays(bool, 12)


@given(arrays(np.float64, 12, elements=st.floats(0, 1)), flags, flags)
def test_top1_loc_top5_loc_and_gt_known_never_cross(overlaps: np.ndarray, first: np.ndarray, more: np.ndarray) -> None:
    found = localization(overlaps, (first, first | more))
    assert found.top1 <= found.top5 <= found.gt_known
    assert found.top1 <= first.mean() * 100 + 1e-9


@given(arrays(np.float64, 12, elements=st.floats(0, 1)))
def test_with_a_perfect_classifier_only_the_box_counts(overlaps: np.ndarray) -> None:
    right = np.ones(12, bool)
    found = localization(overlaps, (right, right))
    assert found.gt_known == found.top1 == found.top5 == box_accuracy(overlaps[:, None], 50)[0]
