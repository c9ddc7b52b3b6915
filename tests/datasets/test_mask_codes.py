"""Run lengths and polygons of COCO, against slow definitions and codes that are written out."""

from __future__ import annotations

import numpy as np
import pytest

from wsolbench.data.masks import decode, encode, polygon_mask, runs_mask, runs_of_text
from wsolbench.errors import DataError


def slow_runs(mask: np.ndarray) -> list[int]:
    """Count equal pixels column by column."""
    runs, inside = [0], False
    for column in range(mask.shape[1]):
        for row in range(mask.shape[0]):
            if bool(mask[row, column]) != inside:
                runs.append(0)
                inside = not inside
            runs[-1] += 1
    return runs


def slow_text(runs: list[int]) -> str:
    """Write numbers as two's complements in digits of five bits: what ``rleToString`` of COCO's C code does."""
    text = ""
    for place, run in enumerate(runs):
        value = run - runs[place - 2] if place > 2 else run
        count = next(n for n in range(1, 20) if -(2 ** (5 * n - 1)) <= value < 2 ** (5 * n - 1))
        bits = value % 2 ** (5 * count)
        for digit in range(count):
            last = digit == count - 1
            text += chr(48 + bits // 32**digit % 32 + (0 if last else 32))
    return text


def slow_polygon(corners: list[tuple[float, float]], height: int, width: int) -> np.ndarray:
    """Ask each pixel's centre how often a ray to the left of it meets the outline."""
    mask = np.zeros((height, width), bool)
    for row in range(height):
        for column in range(width):
            x, y, crossings = column + 0.5, row + 0.5, 0
            for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
                if (y0 <= y) != (y1 <= y) and x0 + (y - y0) * (x1 - x0) / (y1 - y0) <= x:
                    crossings += 1
            mask[row, column] = crossings % 2 == 1
    return mask


MASKS = {
    "random": np.random.default_rng(0).random((13, 17)) < 0.5,
    "few long runs": np.repeat(np.random.default_rng(1).random(9) < 0.5, 5000).reshape(150, 300),
    "nothing": np.zeros((4, 5), bool),
    "everything": np.ones((4, 5), bool),
    "the first pixel": np.arange(20).reshape(4, 5) == 0,
    "the last pixel": np.arange(20).reshape(4, 5) == 19,
    "one pixel": np.ones((1, 1), bool),
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_a_mask_comes_back_and_its_code_is_the_slow_one(mask: np.ndarray) -> None:
    runs = slow_runs(mask)
    code = encode(mask)
    assert code == f"rle:{mask.shape[0]}:{mask.shape[1]}:{slow_text(runs)}"
    assert runs_of_text(slow_text(runs)).tolist() == runs
    assert np.array_equal(decode(code), mask)
    assert np.array_equal(runs_mask(runs, *mask.shape), mask)


def test_a_code_that_is_written_out() -> None:
    """5 = 0b00101 is '5'; 40 = 8 + 1 * 32 is 'X1'; 3; then 10 - 40 = -30, whose digits are 2 and -1: 'R' and 'O'."""
    assert runs_of_text("5X13RO").tolist() == [5, 40, 3, 10]
    mask = runs_mask([2, 3, 1, 4, 2], 4, 3)
    assert mask.astype(int).tolist() == [[0, 1, 1], [0, 0, 1], [1, 1, 0], [1, 1, 0]]


@pytest.mark.parametrize(
    "code", ["rle:4:5:", "rle:4:5:5", "rle:2:1:1a", "rle:2:1:12 ", "rle:-2:1:2", "rle:4", "rle:999999:1:2"]
)
def test_what_is_no_code_is_refused(code: str) -> None:
    with pytest.raises(DataError):
        decode(code)


@pytest.mark.parametrize(
    ("runs", "size"),
    [([5, -1, 5], (3, 3)), ([10], (3, 3)), ([], (3, 3)), ([10**30], (3, 3)), ([10**10], (10**5, 10**5))],
)
def test_runs_that_do_not_fit_are_refused(runs: list[int], size: tuple[int, int]) -> None:
    with pytest.raises(DataError):
        runs_mask(runs, *size)


@pytest.mark.parametrize("text", ["X", "5X", "~", "5 5", "\xff", "5\n"])
def test_text_that_is_cut_or_has_other_characters_is_refused(text: str) -> None:
    with pytest.raises(DataError):
        runs_of_text(text)


def test_a_polygon_along_pixels_covers_exactly_these() -> None:
    mask = polygon_mask(np.array([[2.0, 1.0], [6.0, 1.0], [6.0, 4.0], [2.0, 4.0]]), 8, 9)
    assert mask.sum() == 12
    assert mask[1:4, 2:6].all()


@pytest.mark.parametrize("seed", range(12))
def test_polygons_are_those_of_the_slow_definition(seed: int) -> None:
    random = np.random.default_rng(seed)
    corners = random.uniform(-6, 26, (3 + seed, 2))
    if seed % 3 == 0:
        corners = corners.round() / (1 + seed % 2)  # on corners and centres of pixels
    mask = polygon_mask(corners, 20, 23)
    assert np.array_equal(mask, slow_polygon([tuple(corner) for corner in corners.tolist()], 20, 23))


def test_what_lies_outside_covers_nothing() -> None:
    for x, y in ((-1e12, 0.0), (1e12, 0.0), (0.0, 1e300), (0.0, -1e300)):
        square = np.array([[x, y], [x + 5, y], [x + 5, y + 5], [x, y + 5]])
        assert not polygon_mask(square, 20, 23).any()
