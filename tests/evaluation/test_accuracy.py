"""From overlaps to accuracies of a split."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsolbench.evaluation.accuracy import (
    IOUS,
    choose_threshold,
    classified,
    max_box_acc_v2,
    percent,
    share,
)

# Three images, four thresholds.
OVERLAPS = np.array([[0.8, 0.7, 0.5, 0.1], [0.2, 0.3, 0.5, 0.9], [0.0, 0.49, 0.69, 0.7]])
ACCURACIES = {iou: percent((iou / 100 <= OVERLAPS).sum(0), 3) for iou in IOUS}


def test_v2_takes_the_best_threshold_for_each_overlap() -> None:
    found = max_box_acc_v2(ACCURACIES)
    assert found == pytest.approx({"iou30": 100, "iou50": 100, "iou70": 200 / 3, "mean": 800 / 9})


def test_v2_at_thresholds_chosen_elsewhere_takes_each_overlaps_own() -> None:
    found = max_box_acc_v2(ACCURACIES, {30: 0, 50: 1, 70: 3})
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


def test_a_share_is_percent() -> None:
    assert share(np.array([True, False, False, False])) == 25
