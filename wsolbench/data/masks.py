"""Object masks from image files: one reader for what ``prepare`` checks and evaluation scores.

A mask has levels, which ``mask_above`` and ``ignore_grey`` are compared with:

- grey files: their grey values, 8 or 16 bits; black and white ones: 0 and 255;
- palette files: the index, whatever colour it is drawn in, as annotation tools and PASCAL VOC write them;
- colour files: all channels. An object's pixel exceeds ``mask_above`` in any of them; an ignored one equals
  ``ignore_grey`` in all of them;
- files with alpha: the alpha where the colours are the same everywhere, the colours where the alpha is. Where both
  vary, they must show the same object.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsolbench.data.dataset import Item, Truth
from wsolbench.data.images import UNDECODABLE, open_image, orientation_of
from wsolbench.data.rle import decode, is_code
from wsolbench.errors import DataError
from wsolbench.files import bytes_sha256, read_file

__all__ = [
    "MaskFacts",
    "boxes_around",
    "mask_levels",
    "masks_and_ignored",
    "measure_mask",
    "object_masks",
    "read_mask",
]

_WITH_ALPHA = {"LA", "PA", "RGBA"}
_MODES = {"1", "L", "I", "I;16", "I;16B", "I;16L", "P", "RGB", *_WITH_ALPHA}


@dataclass(frozen=True)
class MaskFacts:
    """What ``prepare`` needs to know of a mask file.

    Attributes:
        width: pixels.
        height: pixels.
        sha256: hex digest of the file.
        stored_as: format and mode, as Pillow names them: ``PNG P``; ``PNG LA alpha`` where the alpha is the mask.
        object_share: of the pixels, in [0, 1].
        ignored_share: of the pixels that count for neither side by their grey, in [0, 1].
        middle: the one level between 0 and the highest; -1 where there are none or several, or no 0, or no 8 bits.
        highest: level, where there is a middle one; else -1.
    """

    width: int
    height: int
    sha256: str
    stored_as: str
    object_share: float
    ignored_share: float
    middle: int
    highest: int


def read_mask(path: Path, above: int = 0, sha256: str | None = None) -> NDArray[np.bool_]:
    """Read a mask file: object where a level is above ``above``.

    Args:
        path: the file.
        above: level.
        sha256: hex digest that ``prepare`` recorded, or None.

    Returns:
        ``(H, W)`` bool.

    Raises:
        DataError: the file is missing, unreadable, ambiguous, or not the recorded one.
    """
    return _above(mask_levels(path, above, sha256), above)


def object_masks(truth: Truth, root: Path) -> list[NDArray[np.bool_]]:
    """Read the masks of an image, one per object.

    Args:
        truth: what names the files.
        root: folder that their paths are relative to.

    Returns:
        ``(H, W)`` bool each; they may differ in size.

    Raises:
        DataError: a file is missing, unreadable or ambiguous, or has changed since ``prepare``.
    """
    return [
        decode(mask)
        if is_code(mask)
        else _of(mask_levels(root / mask, truth.mask_above, truth.digests.get(mask)), truth)
        for mask in truth.masks
    ]


def masks_and_ignored(truth: Truth, root: Path) -> tuple[list[NDArray[np.bool_]], NDArray[np.bool_] | None]:
    """Read the masks of an image, and what counts for neither side; a file that holds both is read once.

    Returns:
        As :func:`object_masks`; and ``(H, W)`` bool of the ignore file, or else of those pixels of the first mask; None
        for nothing.

    Raises:
        DataError: a file is missing, unreadable or ambiguous, or has changed since ``prepare``.
    """
    if truth.ignore is None and truth.ignore_grey is not None and truth.masks:
        levels = mask_levels(root / truth.masks[0], truth.mask_above, truth.digests.get(truth.masks[0]))
        others = object_masks(replace(truth, masks=truth.masks[1:]), root)
        return [_of(levels, truth), *others], _equal(levels, truth.ignore_grey)
    objects = object_masks(truth, root)
    if not truth.ignore:
        return objects, None
    if is_code(truth.ignore):
        return objects, decode(truth.ignore)
    return objects, read_mask(root / truth.ignore, sha256=truth.digests.get(truth.ignore))


def measure_mask(path: Path, data: bytes, above: int, ignore_grey: int | None) -> MaskFacts:
    """Decode the mask in what a file holds, and return what ``prepare`` needs to know of it.

    Raises:
        DataError: it is unreadable or ambiguous.
    """
    levels, stored_as = _decoded(path, data, above)
    truth = Truth(np.zeros((0, 4)), mask_above=above, ignore_grey=ignore_grey)
    ignored = 0.0 if ignore_grey is None else float((levels == ignore_grey).all(2).mean())
    height, width = levels.shape[:2]
    shares = float(_of(levels, truth).mean()), ignored
    return MaskFacts(width, height, bytes_sha256(data), stored_as, *shares, *_three(levels))


def _three(levels: NDArray[np.integer[Any]]) -> tuple[int, int]:
    """Return the middle and the highest of three levels of which the lowest is 0, or twice -1."""
    if levels.shape[2] == 1 and levels.dtype == np.uint8:
        found = np.flatnonzero(np.bincount(levels.reshape(-1), minlength=256)).tolist()
        if len(found) == len(("background", "border", "object")) and found[0] == 0:
            return found[1], found[2]
    return -1, -1


def boxes_around(item: Item, truth: Truth, root: Path) -> NDArray[np.float64]:
    """Return the tightest box around each mask, in pixels of the image, half-open.

    Args:
        item: the image, which may differ in size from its masks.
        truth: what names the masks.
        root: folder that their paths are relative to.

    Returns:
        ``(n, 4)`` float64 ``x0, y0, x1, y1``, one per mask.

    Raises:
        DataError: a mask is missing, unreadable or empty.
    """
    boxes = []
    for name, mask in zip(truth.masks, object_masks(truth, root), strict=True):
        if not mask.any():
            raise DataError(f"mask {root / name} of image '{item.id}' is empty, so that there is no box around it")
        (y0, y1), (x0, x1) = (np.flatnonzero(mask.any(axis))[[0, -1]] for axis in (1, 0))
        across, down = item.width / mask.shape[1], item.height / mask.shape[0]
        boxes.append([x0 * across, y0 * down, (x1 + 1) * across, (y1 + 1) * down])
    return np.array(boxes, np.float64).reshape(-1, 4)


def _of(levels: NDArray[np.integer[Any]], truth: Truth) -> NDArray[np.bool_]:
    mask = _above(levels, truth.mask_above)
    return mask if truth.ignore_grey is None else mask & ~_equal(levels, truth.ignore_grey)


def _equal(levels: NDArray[np.integer[Any]], grey: int) -> NDArray[np.bool_]:
    return np.asarray(levels[..., 0] == grey if levels.shape[2] == 1 else (levels == grey).all(2))


def _above(levels: NDArray[np.integer[Any]], above: int) -> NDArray[np.bool_]:
    return np.asarray(levels[..., 0] > above if levels.shape[2] == 1 else (levels > above).any(2))


def mask_levels(path: Path, above: int = 0, sha256: str | None = None) -> NDArray[np.integer[Any]]:
    """Read the levels of a mask file; the module says what a level is.

    Args:
        path: the file.
        above: level above which the object is: colours and alpha must show the same one.
        sha256: hex digest that ``prepare`` recorded, or None.

    Returns:
        ``(H, W, C)`` integers.

    Raises:
        DataError: the file is missing, unreadable, ambiguous, or not the recorded one.
    """
    data = read_file(path, "restore it, or run `wsolbench prepare` again if it was meant to change", sha256)
    return _decoded(path, data, above)[0]


def _decoded(path: Path, data: bytes, above: int) -> tuple[NDArray[np.integer[Any]], str]:
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
    by_alpha = _is_alpha(path, colours, alpha, above)
    return (alpha, f"{stored_as} alpha") if by_alpha else (colours, stored_as)


def _is_alpha(path: Path, colours: NDArray[np.integer[Any]], alpha: NDArray[np.integer[Any]], above: int) -> bool:
    """Return whether the alpha is the mask, and not the colours."""
    if (alpha == alpha[0, 0]).all():
        return False
    if (colours == colours[0, 0]).all():
        return True
    if np.array_equal(_above(colours, above), _above(alpha, above)):
        return False
    raise DataError(
        f"mask {path}: its colours and its alpha show different objects, and either may be meant; save the one that is "
        "the mask as a grey PNG"
    )
