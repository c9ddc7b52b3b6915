"""Object masks from image files, checked once by ``prepare`` and kept as codes.

A mask has levels, which ``mask_above`` and ``ignore_grey`` are compared with:

- grey files: their grey values, 8 or 16 bits; black and white ones: 0 and 255;
- palette files: the index, whatever colour it is drawn in, as annotation tools and PASCAL VOC write them;
- colour files: all channels. An object's pixel exceeds ``mask_above`` in any of them; an ignored one equals
  ``ignore_grey`` in all of them;
- files with alpha: the alpha where the colours are the same everywhere, the colours where the alpha is. Where both
  vary, they must show the same object.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsolbench.data.images import UNDECODABLE, open_image, orientation_of
from wsolbench.data.masks import Mask, encode
from wsolbench.errors import DataError
from wsolbench.files import read_file

__all__ = ["Greys", "MaskFacts", "mask_levels", "measure_mask", "read_mask"]

_WITH_ALPHA = {"LA", "PA", "RGBA"}
_MODES = {"1", "L", "I", "I;16", "I;16B", "I;16L", "P", "RGB", *_WITH_ALPHA}
Levels = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Greys:
    """What the levels of a mask mean.

    Attributes:
        above: level that the object's pixels exceed.
        ignore: level of pixels that count for neither side, or None.
    """

    above: int = 0
    ignore: int | None = None


@dataclass(frozen=True)
class MaskFacts:
    """What a mask file holds.

    Attributes:
        width: pixels.
        height: pixels.
        stored_as: format and mode, as Pillow names them: ``PNG P``; ``PNG LA alpha`` where the alpha is the mask.
        object_share: of the pixels, in [0, 1].
        ignored_share: of the pixels that count for neither side by their grey, in [0, 1].
        middle: the one level between 0 and the highest; -1 where there are none or several, or no 0, or no 8 bits.
        highest: level, where there is a middle one; else -1.
        mask: code of the object's pixels (:func:`wsolbench.data.masks.encode`).
        ignored: code of the pixels that count for neither side; empty where there are none.
    """

    width: int
    height: int
    stored_as: str
    object_share: float
    ignored_share: float
    middle: int
    highest: int
    mask: str
    ignored: str


def read_mask(path: Path, above: int = 0) -> Mask:
    """Read a mask file ``(H, W)``: object where a level is above ``above``.

    Raises:
        DataError: the file is missing, unreadable or ambiguous.
    """
    return _above(mask_levels(path, above), above)


def mask_levels(path: Path, above: int = 0) -> Levels:
    """Read the levels ``(H, W, C)`` of a mask file; colours and alpha must show one object above ``above``.

    Raises:
        DataError: the file is missing, unreadable or ambiguous.
    """
    return _decoded(path, read_file(path, "restore it"), above)[0]


def measure_mask(path: Path, data: bytes, greys: Greys) -> MaskFacts:
    """Decode the mask in what a file holds.

    Raises:
        DataError: it is unreadable or ambiguous; the message names ``path``.
    """
    levels, stored_as = _decoded(path, data, greys.above)
    mask, ignored = _above(levels, greys.above), np.zeros(levels.shape[:2], bool)
    if greys.ignore is not None:
        ignored = np.asarray((levels == greys.ignore).all(2))
        mask &= ~ignored
    height, width = mask.shape
    shares = float(mask.mean()), float(ignored.mean())
    codes = encode(mask), encode(ignored) if ignored.any() else ""
    return MaskFacts(width, height, stored_as, *shares, *_three(levels), *codes)


def _three(levels: Levels) -> tuple[int, int]:
    """Return the middle and the highest of three levels of which the lowest is 0, or twice -1."""
    if levels.shape[2] == 1 and levels.dtype == np.uint8:
        found = np.flatnonzero(np.bincount(levels.reshape(-1), minlength=256)).tolist()
        if len(found) == len(("background", "border", "object")) and found[0] == 0:
            return found[1], found[2]
    return -1, -1


def _above(levels: Levels, above: int) -> Mask:
    return np.asarray(levels[..., 0] > above if levels.shape[2] == 1 else (levels > above).any(2))


def _decoded(path: Path, data: bytes, above: int) -> tuple[Levels, str]:
    """Return the levels, and format and mode of the file; ``alpha`` after them where that is the mask."""
    try:
        with open_image(data) as image:
            mode, stored_as = image.mode, f"{image.format} {image.mode}"
            levels = np.asarray(image.convert("L") if mode == "1" else image)
            orientation = orientation_of(image)
    except UNDECODABLE as error:
        raise DataError(f"mask {path} is unreadable ({error}); restore it from the data set") from None
    if mode not in _MODES or levels.dtype.kind not in "iu":
        raise DataError(f"mask {path}: pixels of mode '{mode}' are not read; save it as a grey PNG of 8 bits")
    if orientation != 1:
        raise DataError(f"mask {path} has an EXIF orientation; save it as it is to be seen, without one")
    levels = levels.reshape(*levels.shape[:2], -1)
    if mode not in _WITH_ALPHA:
        return levels, stored_as
    colours, alpha = levels[..., :-1], levels[..., -1:]
    if (alpha == alpha[0, 0]).all():
        return colours, stored_as
    if (colours == colours[0, 0]).all():
        return alpha, f"{stored_as} alpha"
    if np.array_equal(_above(colours, above), _above(alpha, above)):
        return colours, stored_as
    raise DataError(
        f"mask {path}: its colours and its alpha show different objects, and either may be meant; save the one that is "
        "the mask as a grey PNG"
    )
