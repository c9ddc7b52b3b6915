"""Anybody's boxes, one per image, as one text file: answers of methods that make no map."""

from __future__ import annotations

import csv
import math
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsolbench.data.boxes import check_boxes
from wsolbench.data.dataset import Split, Truth
from wsolbench.errors import DataError, counted, first_three, shortened
from wsolbench.files import parse_file

__all__ = ["read_boxes"]

_LINE = "IMAGE_ID,x0,y0,x1,y1 for each image"


def read_boxes(path: Path, split: Split) -> list[NDArray[np.float64]]:
    """Read a box per image, ``id,x0,y0,x1,y1`` per line, half-open pixels of the picture; an id with a comma is quoted.

    What annotators and regressors draw up to a pixel over the border is cut at it.

    Returns:
        The boxes ``(4,)``, in the order of the split.

    Raises:
        DataError: a line is malformed, an image has no box or two, or a box no image or no area in it; the file and the
            line, or the image, are named.
    """
    text = parse_file(path, partial(str, encoding="utf-8-sig"), f"boxes stand in a text file in UTF-8, {_LINE}")
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not lines:
        raise DataError(f"{path} is empty; boxes stand in it, {_LINE}")
    found: dict[str, list[float]] = {}
    for number, line in lines:
        try:
            name, *corners = [part.strip() for part in next(csv.reader([line]))]
            box = [float(corner) for corner in corners]
        except (csv.Error, ValueError):
            name, box = "", []
        if len(box) != 4 or not name or not all(map(math.isfinite, box)):
            raise DataError(
                f"{path}:{number}: expected {_LINE}, in numbers and without a heading, not '{shortened(line)}'"
            )
        if name in found:
            raise DataError(f"{path}:{number}: image '{name}' has a box already; each image has one answer")
        found[name] = box
    ids = [item.id for item in split.items]
    missing, extra = [name for name in ids if name not in found], sorted({*found} - {*ids})
    if missing or extra:
        lacking = f"{counted(len(missing), 'image has', 'images have')} no box ({first_three(missing)})"
        strange = f"{counted(len(extra), 'line is', 'lines are')} of no image ({first_three(extra)})"
        told = " and ".join(text for text, names in ((lacking, missing), (strange, extra)) if names)
        raise DataError(f"{path}, of split '{split.name}' with {counted(len(split), 'image', 'images')}: {told}")
    unsized = [item.id for item in split.items if not item.width * item.height]
    if unsized:
        raise DataError(f"{path}: boxes are pixels, and image_sizes.txt has no size of image '{unsized[0]}'; add it")
    boxes = {name: np.array(found[name], np.float64) for name in ids}
    check_boxes(str(path), split.items, {name: Truth(box[None]) for name, box in boxes.items()})
    return [np.clip(boxes[item.id], 0, [item.width, item.height] * 2) for item in split.items]
