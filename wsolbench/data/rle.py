"""Masks as COCO writes them: run lengths, plain or compressed, and polygons; and as codes that stand for a mask file.

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

__all__ = ["decode", "encode", "is_code", "polygon_mask", "runs_mask", "runs_of_text"]

Mask = NDArray[np.bool_]

_CODE = re.compile(r"rle:(\d{1,5}):(\d{1,5}):([0-o]+)")
_ZERO, _MORE, _SIGN, _BITS = ord("0"), 0x20, 0x10, 5
_MOST = 2**28  # pixels: more than Pillow opens


def is_code(name: str) -> bool:
    """Return whether the name of a mask is a code that holds it, and not that of a file."""
    return name.startswith("rle:")


def encode(mask: Mask) -> str:
    """Return the code of a mask ``(H, W)``."""
    flat = mask.reshape(-1, order="F")
    starts = np.flatnonzero(np.diff(flat, prepend=False))
    runs = np.diff(starts, prepend=0, append=flat.size).tolist()
    text = []
    for place, run in enumerate(runs):
        value, more = run - (runs[place - 2] if place > 2 else 0), True
        while more:
            digit, value = value & (_MORE - 1), value >> _BITS
            more = value != (-1 if digit & _SIGN else 0)
            text.append(chr(_ZERO + digit + _MORE * more))
    return f"rle:{mask.shape[0]}:{mask.shape[1]}:{''.join(text)}"


def decode(code: str) -> Mask:
    """Return the mask of a code, ``(H, W)``.

    Raises:
        DataError: the text is no code of a mask.
    """
    found = _CODE.fullmatch(code)
    if found is None:
        raise DataError(f"'{code[:40]}' is no mask in run lengths; run `wsolbench prepare` again")
    return runs_mask(runs_of_text(found[3]), int(found[1]), int(found[2]))


def runs_of_text(text: str) -> list[int]:
    """Return the run lengths of compressed ones.

    Raises:
        DataError: the text is cut, or has other characters.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        digit = ord(character) - _ZERO
        if not 0 <= digit < 2 * _MORE:
            raise DataError(f"compressed run lengths do not have the character {character!r}")
        value |= (digit & (_MORE - 1)) << shift
        shift += _BITS
        if digit & _MORE:
            continue
        value -= (1 << shift) if digit & _SIGN else 0
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise DataError("compressed run lengths end within a number")
    return runs


def runs_mask(runs: Sequence[int], height: int, width: int) -> Mask:
    """Return the mask ``(height, width)`` of run lengths.

    Raises:
        DataError: a run is negative, or together they are not as many as there are pixels; or these are too many.
    """
    if height * width > _MOST:
        raise DataError(f"a mask of {height}x{width} is larger than any image that is read")
    if min(runs, default=0) < 0 or sum(runs) != height * width:
        raise DataError(
            f"run lengths of {sum(runs)} pixels, some of them negative perhaps, do not fit {height}x{width}"
        )
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
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
