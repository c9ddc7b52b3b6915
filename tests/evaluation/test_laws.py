"""Laws that the metrics keep whatever the map: what a change of the input does to the output."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.evaluation.alone import choe2020, pixel
from wsolbench.data.scoremaps import upsample
from wsolbench.evaluation.boxes import Candidates
from wsolbench.evaluation.normalisation import NORMALISATIONS, normalise
from wsolbench.evaluation.protocols import CHOE2020, PIXEL, SIDE, threshold_grid
from wsolbench.evaluation.pxap import curve, histograms

GRID = threshold_grid(0.01)
TRUTH = np.array([[40, 60, 150, 170]])
raw_maps = arrays(np.float32, (5, 7), elements=st.floats(-4, 4, width=16))


def found(protocol: Callable[[np.ndarray, np.ndarray], Candidates], score_map: np.ndarray) -> Candidates:
    return protocol(score_map, GRID)


def boxes(candidates: Candidates, k: int) -> list[list[int]]:
    return sorted(candidates.boxes_at(k).tolist())


def score_map_of(raw: np.ndarray) -> np.ndarray:
    return normalise(upsample(raw, SIDE, SIDE), ["min_max"])[0]


@settings(max_examples=20, deadline=None)
@given(raw_maps)
def test_a_transposed_map_has_transposed_boxes(raw: np.ndarray) -> None:
    score_map = score_map_of(raw)
    for protocol in (choe2020, pixel):
        one, other = found(protocol, score_map), found(protocol, np.ascontiguousarray(score_map.T))
        for k in range(0, len(GRID), 9):
            assert sorted([y0, x0, y1, x1] for x0, y0, x1, y1 in boxes(other, k)) == boxes(one, k)


@settings(max_examples=20, deadline=None)
@given(raw_maps)
def test_a_flipped_map_has_flipped_boxes(raw: np.ndarray) -> None:
    score_map = score_map_of(raw)
    one, other = found(pixel, score_map), found(pixel, np.ascontiguousarray(score_map[:, ::-1]))
    for k in range(0, len(GRID), 9):
        assert sorted([SIDE - x1, y0, SIDE - x0, y1] for x0, y0, x1, y1 in boxes(other, k)) == boxes(one, k)


@settings(max_examples=20, deadline=None)
@given(raw_maps, st.integers(0, 2**32 - 1))
def test_a_change_within_a_grey_level_changes_nothing(raw: np.ndarray, seed: int) -> None:
    score_map = score_map_of(raw)
    within = np.random.default_rng(seed).random(score_map.shape) * 0.98 + 0.01
    moved = np.minimum((np.trunc(score_map * 255) + within) / 255, 1)
    one, other = found(choe2020, score_map), found(choe2020, moved)
    np.testing.assert_array_equal(one.best_ious(CHOE2020, TRUTH), other.best_ious(CHOE2020, TRUTH))
    np.testing.assert_array_equal(one.single[one.cut], other.single[other.cut])


@settings(max_examples=20, deadline=None)
@given(raw_maps, st.sampled_from([0.5, 2.0, 1024.0]))
def test_scale_does_not_matter_to_any_normalisation(raw: np.ndarray, factor: float) -> None:
    upsampled = upsample(raw, SIDE, SIDE)
    # Powers of two, so that nothing is rounded.
    np.testing.assert_array_equal(normalise(upsampled * factor, NORMALISATIONS), normalise(upsampled, NORMALISATIONS))


@settings(max_examples=20, deadline=None)
@given(raw_maps)
def test_every_box_lies_in_one_of_a_lower_threshold(raw: np.ndarray) -> None:
    candidates = found(pixel, score_map_of(raw))
    for k in range(9, len(GRID), 9):
        larger = np.array(boxes(candidates, k - 9)).reshape(-1, 4)
        for x0, y0, x1, y1 in boxes(candidates, k):
            assert ((larger[:, :2] <= [x0, y0]).all(1) & (larger[:, 2:] >= [x1, y1]).all(1)).any()


@settings(max_examples=20, deadline=None)
@given(raw_maps)
def test_px_ap_of_a_split_does_not_change_when_each_image_comes_twice(raw: np.ndarray) -> None:
    coded = np.zeros((SIDE, SIDE), np.uint8)
    coded[40:90, 30:200] = 1
    counts = histograms(score_map_of(raw), coded, GRID)
    assert curve(2 * counts).px_ap == pytest.approx(curve(counts).px_ap)


@settings(max_examples=30, deadline=None)
@given(raw_maps)
def test_all_boxes_do_at_least_as_well_as_one(raw: np.ndarray) -> None:
    score_map = score_map_of(raw)
    for protocol, cut in ((CHOE2020, choe2020), (PIXEL, pixel)):
        single, multi = found(cut, score_map).best_ious(protocol, TRUTH.astype(float))
        assert (multi >= single).all()
