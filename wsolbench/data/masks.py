"""Object masks from PNG files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wsolbench.data.images import UNDECODABLE
from wsolbench.dataset import Item, Truth
from wsolbench.errors import DataError

__all__ = ["boxes_around", "ignored_pixels", "object_masks", "read_mask"]


def read_mask(path: Path, above: int = 0) -> NDArray[np.bool_]:
    """Read a mask file: object where the grey value is above ``above``.

    Returns:
        ``(H, W)`` bool.

    Raises:
        DataError: the file is missing or unreadable.
    """
    return _greys(path) > above


def object_masks(truth: Truth, root: Path) -> list[NDArray[np.bool_]]:
    """Read the masks of an image, one per object.

    Args:
        truth: what names the files.
        root: folder that their paths are relative to.

    Returns:
        ``(H, W)`` bool each; they may differ in size.

    Raises:
        DataError: a file is missing or unreadable.
    """
    return [_of(_greys(root / mask), truth) for mask in truth.masks]


def ignored_pixels(truth: Truth, root: Path) -> NDArray[np.bool_] | None:
    """Read what counts for neither side: the ignore file, or else those pixels of the first mask; None for nothing.

    Raises:
        DataError: a file is missing or unreadable.
    """
    if truth.ignore:
        return read_mask(root / truth.ignore)
    if truth.ignore_grey is None or not truth.masks:
        return None
    return np.asarray(_greys(root / truth.masks[0]) == truth.ignore_grey)


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


def _of(greys: NDArray[np.uint8], truth: Truth) -> NDArray[np.bool_]:
    mask = greys > truth.mask_above
    return mask if truth.ignore_grey is None else mask & (greys != truth.ignore_grey)


def _greys(path: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("L"))
    except FileNotFoundError:
        raise DataError(f"mask {path} is missing; run prepare again, or restore it from the data set") from None
    except UNDECODABLE as error:
        raise DataError(f"mask {path} is unreadable ({error}); restore it from the data set") from None
