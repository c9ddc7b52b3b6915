"""PxAP against its definition, and on maps whose answer is plain."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from scipy.ndimage import distance_transform_edt

from tests.evaluation.by_definition import px_ap_by_definition
from wsolbench.acquire.mask_files import read_mask
from wsolbench.errors import DataError
from wsolbench.evaluation.protocols import SIDE, threshold_grid
from wsolbench.evaluation.pxap import (
    IGNORED,
    code_masks,
    curve,
    histograms,
    nearest_cells,
    pixels_over_thresholds,
    resize_nearest,
)

GRID = threshold_grid(0.1)
SCORES = st.sampled_from([0.0, 0.05, 0.1, 0.3, 0.55, 0.9, 0.95, 1.0])


def px_ap(score_map: np.ndarray, coded: np.ndarray) -> float:
    return curve(histograms(score_map, coded, GRID)).px_ap


@settings(deadline=None)  # the first call compiles
@given(arrays(np.float64, (6, 6), elements=SCORES), arrays(np.uint8, (6, 6), elements=st.sampled_from([0, 1, IGNORED])))
def test_px_ap_matches_the_definition(score_map: np.ndarray, coded: np.ndarray) -> None:
    assume((coded == 1).any())
    expected = px_ap_by_definition(score_map, coded == 1, coded != IGNORED, GRID)
    assert px_ap(score_map, coded) == pytest.approx(expected, abs=1e-9)


@settings(deadline=None)  # the first call compiles
@given(arrays(np.float64, (6, 6), elements=SCORES), arrays(np.uint8, (6, 6), elements=st.sampled_from([0, 1, IGNORED])))
def test_every_pixel_that_is_not_ignored_is_counted_once(score_map: np.ndarray, coded: np.ndarray) -> None:
    foreground, background = histograms(score_map, coded, GRID)
    assert (foreground.sum(), background.sum()) == ((coded == 1).sum(), (coded == 0).sum())


def test_a_map_that_is_the_mask_scores_100() -> None:
    coded = np.zeros((8, 8), np.uint8)
    coded[2:5, 3:7] = 1
    assert px_ap(coded.astype(float), coded) == 100


def test_a_map_that_says_nothing_scores_the_share_of_the_object() -> None:
    coded = np.zeros((8, 8), np.uint8)
    coded[:2] = 1
    assert px_ap(np.full((8, 8), 0.5), coded) == 25


def test_ignored_pixels_change_nothing() -> None:
    coded = np.array([[1, 0, IGNORED, IGNORED]], np.uint8)
    assert px_ap(np.array([[1.0, 0.0, 1.0, 0.5]]), coded) == 100


def test_pixels_are_pooled_over_images_before_the_curve_is_drawn() -> None:
    large = histograms(np.ones((10, 10)), np.ones((10, 10), np.uint8), GRID)
    small = histograms(np.ones((2, 5)), np.zeros((2, 5), np.uint8), GRID)
    pooled = curve(large + small)
    assert pooled.recall[1] == 1
    assert pooled.precision[1] == 100 / 110


def test_a_split_without_foreground_has_no_px_ap() -> None:
    nothing = np.zeros(len(GRID) + 2, np.int64)
    with pytest.raises(DataError, match="no mask of the split has a foreground pixel"):
        curve(np.stack([nothing, nothing + 1]))


def test_masks_are_resized_as_opencv_does_for_every_size_up_to_2000() -> None:
    differing = {}
    for size in range(1, 2001):
        positions = np.arange(size, dtype=np.float32)[None]
        reference = cv2.resize(positions, (SIDE, 1), interpolation=cv2.INTER_NEAREST)[0]
        assert nearest_cells(size).tolist() == reference.tolist(), size
        differing[size] = int((reference != np.arange(SIDE) * size // SIDE).sum())
    assert (differing[288], differing[232], sum(count > 0 for count in differing.values())) == (22, 7, 141)
    assert all(differing[size] for size in (200, 300, 344, 400, 488, 576, 600, 688))


@pytest.mark.parametrize("shape", [(288, 500), (60, 232), (1, 2), (224, 400)])
def test_a_mask_is_resized_in_both_directions(shape: tuple[int, int]) -> None:
    mask = np.random.default_rng(0).random(shape) > 0.5
    reference = cv2.resize(mask.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_NEAREST) > 0.5
    assert np.array_equal(resize_nearest(mask), reference)


def test_foreground_of_any_instance_outweighs_the_ignore_region() -> None:
    left, top, ignored = (np.zeros((SIDE, SIDE), bool) for _ in range(3))
    left[:, :10], top[:10], ignored[:20, :20] = True, True, True
    coded = code_masks([left, top], ignored)
    assert (coded[100, 5], coded[5, 100], coded[15, 15], coded[100, 100]) == (1, 1, IGNORED, 0)


@pytest.mark.parametrize("mode", ["L", "1"])
def test_a_mask_file_is_object_where_it_is_above_0(tmp_path: Path, mode: str) -> None:
    pixels = np.array([[0, 1], [255, 0]], np.uint8) if mode == "L" else np.array([[False, True], [True, False]])
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png").tolist() == [[False, True], [True, False]]


@pytest.mark.parametrize("position", range(8, 33))
def test_a_mask_with_a_damaged_header_is_named(tmp_path: Path, position: int) -> None:
    path = tmp_path / "mask.png"
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(path)
    content = bytearray(path.read_bytes())
    content[position] ^= 0x04
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"mask\.png is unreadable"):
        read_mask(path)


@pytest.mark.parametrize("seed", range(5))
def test_kinds_of_pixels_match_their_definition(seed: int) -> None:
    random = np.random.default_rng(seed)
    score_map = random.random((90, 70)).round(1)
    coded = np.zeros((90, 70), np.uint8)
    coded[60:, 50:] = IGNORED
    for _ in range(2):
        y, x = random.integers(60, size=2)
        coded[y : y + 9, x : x + 5] = 1
    distance = distance_transform_edt(coded != 1)
    for threshold, found in zip(
        (0.5, 0.0, 0.9), pixels_over_thresholds(score_map, coded, np.array([0.5, 0.0, 0.9])), strict=True
    ):
        claimed = score_map >= threshold
        off = claimed & (coded == 0)
        assert found.tolist() == [
            (claimed & (coded == 1)).sum(),
            (~claimed & (coded == 1)).sum(),
            (off & (distance <= 22.4)).sum(),
            (off & (distance > 22.4)).sum(),
        ]


def test_without_an_object_every_pixel_is_background() -> None:
    assert pixels_over_thresholds(np.ones((4, 5)), np.zeros((4, 5), np.uint8), np.array([0.5])).tolist() == [
        [0, 0, 0, 20]
    ]
