"""Whether boxes lie in their images, and which other convention they may follow where they do not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsolbench.data.dataset import Item, Truth
from wsolbench.errors import DataError, first_three

__all__ = ["NOT_TURNED", "Turned", "boxes_outside", "check_boxes"]

Floats = NDArray[np.float64]

_BOX_SLACK = 1.0  # pixels that a box may reach over the border: annotators' rounding
_MOST = 0.5


@dataclass(frozen=True)
class Turned:
    """Images whose width and height change places under the ``other`` setting of their orientation."""

    ids: frozenset[str] = frozenset()
    other: str = ""

    def hint(self, ids: Iterable[str]) -> str:
        """Return what to say of images that would fit if they were turned; nothing unless all of them can be."""
        return f"; with {self.other} they would fit" if self.ids.issuperset(ids) else ""


NOT_TURNED = Turned()
"""No image can be turned."""


def boxes_outside(boxes: Floats, width: float | Floats, height: float | Floats) -> NDArray[np.bool_]:
    """Return which boxes are empty in their image, not finite, or reach more than 1 pixel over its border.

    Args:
        boxes: ``(n, 4)`` half-open ``x0, y0, x1, y1`` in pixels; annotators round, hence the 1 pixel.
        width: of the image, pixels, or ``(n,)`` of the images.
        height: likewise.

    Returns:
        ``(n,)`` bool.
    """
    x0, y0, x1, y1 = boxes.reshape(-1, 4).T
    bad = (np.minimum(x1, width) <= np.maximum(x0, 0)) | (np.minimum(y1, height) <= np.maximum(y0, 0))
    bad |= ~np.isfinite(boxes.reshape(-1, 4)).all(1)
    bad |= (np.minimum(x0, y0) < -_BOX_SLACK) | (x1 > width + _BOX_SLACK) | (y1 > height + _BOX_SLACK)
    return np.asarray(bad)


def check_boxes(where: str, items: Sequence[Item], truth: Mapping[str, Truth], turned: Turned = NOT_TURNED) -> None:
    """Refuse boxes that are not in their images, and name the convention, or orientation, that most would fit.

    Raises:
        DataError: boxes are empty, not finite or outside of their images, or most are relative to their sizes; says
            how many, the first three, and which other convention most of them fit.
    """
    rows = [(item, box) for item in items if item.id in truth for box in truth[item.id].boxes]
    boxes = np.array([box for _, box in rows], np.float64).reshape(-1, 4)
    width, height = (np.array([getattr(item, side) for item, _ in rows], np.float64) for side in ("width", "height"))
    bad = boxes_outside(boxes, width, height)
    relative = (boxes >= 0).all(1) & (boxes <= 1).all(1) & (boxes[:, 2:] - boxes[:, :2] < 1).any(1)
    if relative.sum() > _MOST * len(boxes):
        raise DataError(
            f"{where}: {relative.sum()} of {len(boxes)} boxes lie within the first pixel: relative? Coordinates are "
            "pixels; multiply them by width and height"
        )
    if not bad.any():
        return
    wrong = [row for row, is_bad in zip(rows, bad, strict=True) if is_bad]
    named = [f"'{item.id}' {box.tolist()} in {item.width}x{item.height}" for item, box in wrong]
    unturned = boxes_outside(boxes, height, width)[bad]
    other = "" if unturned.any() else turned.hint(item.id for item, _ in wrong)
    other = other or _guess(boxes, width, height, bad)
    raise DataError(
        f"{where}: {bad.sum()} of {len(boxes)} boxes (x0, y0, x1, y1) are empty or lie outside of their images{other}; "
        f"correct them: {first_three(named)}"
    )


def _guess(boxes: Floats, width: Floats, height: Floats, bad: NDArray[np.bool_]) -> str:
    """Return the convention that more boxes fit than the one they were read by."""
    with_sizes = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
    ordered = np.concatenate([np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])], 1)
    fits = {
        "h,w?": ~boxes_outside(boxes, height, width),
        "x,y,w,h?": ~boxes_outside(with_sizes, width, height),
        "are corners swapped?": ~boxes_outside(ordered, width, height),
    }
    least = max(_MOST, 1 - bad.mean())
    most = [name for name, each in fits.items() if each.mean() > least and each[bad].mean() > _MOST]
    return f" ({most[0]})" if most else ""
