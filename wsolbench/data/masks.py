"""Masks as texts: the run lengths that COCO compresses them to, and masks of polygons.

Run lengths count pixels down the columns, beginning with those outside of the object. Compressed, each is the
difference to the last but one, in digits of five bits, lowest first, from ``0`` on in ASCII; the sixth bit says that
more digits follow, and the highest of the last digit is the sign. A code is ``rle:<height>:<width>:<compressed runs>``.

Source: T.-Y. Lin et al., Microsoft COCO, ECCV 2014, arXiv 1405.0312, and its cocoapi (common/maskApi.c).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wsolbench.errors import DataError

__all__ = ["Mask", "decode", "encode", "is_code", "polygon_mask", "runs_mask", "runs_of_text", "tight_box"]

Mask = NDArray[np.bool_]

_CODE = re.compile(r"rle:(\d{1,5}):(\d{1,5}):([0-o]+)")
_ZERO, _MORE, _SIGN, _BITS = ord("0"), 0x20, 0x10, 5
_DIGITS = 7  # of a run that fits any image
_MOST = 2**28  # pixels: more than Pillow opens


def is_code(text: str) -> bool:
    """Return whether a text is a mask's code in form; what it holds is checked when it is decoded."""
    return _CODE.fullmatch(text) is not None


def encode(mask: Mask) -> str:
    """Return the code of a mask ``(H, W)``."""
    flat = mask.reshape(-1, order="F")
    starts = np.flatnonzero(np.diff(flat, prepend=False))
    values = np.diff(starts, prepend=0, append=flat.size)
    values[3:] -= values[1:-2].copy()
    digits = np.zeros((len(values), _DIGITS), np.uint8)
    left = np.full(len(values), True)
    for place in range(_DIGITS):
        digit, values = values & (_MORE - 1), values >> _BITS
        more = left & (values != np.where(digit & _SIGN, -1, 0))
        digits[left, place] = (_ZERO + digit + _MORE * more)[left]
        left = more
    return f"rle:{mask.shape[0]}:{mask.shape[1]}:{digits[digits > 0].tobytes().decode()}"


def decode(code: str) -> Mask:
    """Return the mask of a code, ``(H, W)``.

    Raises:
        DataError: the text is no code of a mask.
    """
    found = _CODE.fullmatch(code)
    if found is None:
        raise DataError(f"'{code[:40]}' is no mask in run lengths; run `wsolbench prepare` again")
    return runs_mask(runs_of_text(found[3]), int(found[1]), int(found[2]))


def runs_of_text(text: str) -> NDArray[np.int64]:
    """Return the run lengths of compressed ones.

    Raises:
        DataError: the text is cut, or has other characters.
    """
    digits = np.frombuffer(text.encode(), np.uint8).astype(np.int64) - _ZERO
    if ((digits < 0) | (digits >= 2 * _MORE)).any():
        raise DataError("compressed run lengths have characters other than '0' to 'o'")
    ends = np.flatnonzero(digits & _MORE == 0)
    if not len(ends) or ends[-1] != len(digits) - 1:
        raise DataError("compressed run lengths end within a number")
    lengths = np.diff(ends, prepend=-1)
    if lengths.max() > _DIGITS:
        raise DataError(f"compressed run lengths have a number of more than {_DIGITS} digits")
    starts = ends + 1 - lengths
    places = np.arange(len(digits)) - np.repeat(starts, lengths)
    runs = np.add.reduceat((digits & (_MORE - 1)) << _BITS * places, starts)
    runs -= np.where(digits[ends] & _SIGN, 1 << _BITS * lengths, 0)
    for first in (1, 2):
        runs[first::2] = np.cumsum(runs[first::2])
    return runs


def runs_mask(runs: Sequence[int] | NDArray[np.int64], height: int, width: int) -> Mask:
    """Return the mask ``(height, width)`` of run lengths.

    Raises:
        DataError: a run is negative, or together they are not as many as there are pixels; or these are too many.
    """
    if height * width > _MOST:
        raise DataError(f"a mask of {height}x{width} is larger than any image that is read")
    counts = np.clip(np.asarray(runs, np.float64), -1, 2 * _MOST).astype(np.int64)
    if counts.min(initial=0) < 0 or counts.sum() != height * width:
        raise DataError(f"run lengths do not fit {height}x{width} pixels")
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return np.ascontiguousarray(flat.reshape(height, width, order="F"))


def polygon_mask(corners: NDArray[np.float64], height: int, width: int) -> Mask:
    """Return the mask ``(height, width)`` of the pixels whose centres lie in a polygon, by the even-odd rule.

    A polygon along the edges of pixels covers exactly these, as a half-open box does.

    Args:
        corners: ``(n, 2)`` x and y in pixels, of which 0, 0 is the image's upper left corner; may lie outside.
        height: of the image, pixels.
        width: likewise.
    """
    passed = np.zeros((height, width + 1), np.int32)  # edges that lie left of a pixel's centre, counted where they do
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, 0), strict=True):
        first, last = (int(np.clip(np.ceil(y - 0.5), 0, height)) for y in sorted((y0, y1)))
        rows = np.arange(first, last)
        crossed = x0 + (rows + 0.5 - y0) * ((x1 - x0) / (y1 - y0)) if last > first else rows
        np.add.at(passed, (rows, np.clip(np.ceil(crossed - 0.5), 0, width).astype(np.intp)), 1)
    return np.asarray(np.cumsum(passed[:, :width], 1) % 2 == 1)


def tight_box(mask: Mask) -> tuple[int, int, int, int]:
    """Return ``x0, y0, x1, y1`` of the smallest half-open box around the pixels of a mask that is not empty."""
    (y0, y1), (x0, x1) = (np.flatnonzero(mask.any(axis))[[0, -1]].tolist() for axis in (1, 0))
    return x0, y0, x1 + 1, y1 + 1
