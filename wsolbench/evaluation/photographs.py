"""The photographs of a track's candidate images on one sheet, with what is true of them."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, TypeAdapter

from wsolbench.config.paths import Layout
from wsolbench.errors import DataError
from wsolbench.files import parse_file

__all__ = ["TILE", "Caption", "Outline", "Photograph", "encode_caption", "encode_sheet", "outlines", "read_photographs"]

TILE = 112
"""Side in pixels of a photograph; its aspect is not kept, as in evaluation."""

_COLUMNS = 10
_QUALITY = 80
_TOLERANCE = 0.75  # cells by which an outline may be off

Outline = Sequence[tuple[float, float]]

Share = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True)
class Photograph:
    """What is true of a candidate image.

    Attributes:
        id: of the image.
        label: true class.
        boxes: true boxes ``x0, y0, x1, y1`` as shares of width and height, half-open; none where truth has masks only.
        outlines: of the true masks, ``x, y`` likewise; none where there are boxes.
    """

    id: str
    label: int
    boxes: list[tuple[Share, Share, Share, Share]]
    outlines: list[list[tuple[Share, Share]]] = field(default_factory=list)


@dataclass(frozen=True)
class Caption:
    """What is true of a sheet.

    Attributes:
        data_digest: of the index that the images are from.
        class_names: of the data set, by label.
        photographs: in the order of the tiles.
    """

    data_digest: str
    class_names: list[str]
    photographs: list[Photograph]


_CAPTION = TypeAdapter(Caption)


def outlines(mask: NDArray[np.bool_]) -> list[Outline]:
    """Return the outlines of the parts of an ``(H, W)`` mask, and of their holes.

    Returns:
        Polygons ``x, y`` as shares of width and height, to four digits; parts of less than three corners are left out.
    """
    found, _ = cv2.findContours(np.ascontiguousarray(mask).view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    polygons = [(cv2.approxPolyDP(each, _TOLERANCE, closed=True)[:, 0] + 0.5) / mask.shape[::-1] for each in found]
    return [[(x, y) for x, y in np.round(each, 4).tolist()] for each in polygons if len(each) > 2]


def encode_sheet(tiles: Sequence[NDArray[np.uint8]]) -> bytes:
    """Return photographs of ``(TILE, TILE, 3)`` uint8 as one JPEG file, ten to a row; a black one if there is none."""
    rows = max(math.ceil(len(tiles) / _COLUMNS), 1)
    sheet = np.zeros((rows * TILE, min(max(len(tiles), 1), _COLUMNS) * TILE, 3), np.uint8)
    for position, tile in enumerate(tiles):
        top, left = _corner(position)
        sheet[top : top + TILE, left : left + TILE] = tile
    stream = io.BytesIO()
    Image.fromarray(sheet).save(stream, "JPEG", quality=_QUALITY, optimize=True)
    return stream.getvalue()


def encode_caption(caption: Caption) -> bytes:
    """Return what is true of a sheet as JSON."""
    return _CAPTION.dump_json(caption) + b"\n"


def read_photographs(root: Path, track: str) -> tuple[Caption, NDArray[np.uint8]]:
    """Read the sheet of a track and what is true of it.

    Returns:
        What is true, and the ``(N, TILE, TILE, 3)`` uint8 photographs.

    Raises:
        DataError: one of the two files is missing or damaged, or they do not fit each other; the message names it.
    """
    sheet, caption = Layout(root).photographs(track)
    remedy = f"run `wsolbench photographs {track}`, or `make benchmark`"
    found = parse_file(caption, partial(_CAPTION.validate_json, strict=True), remedy)
    pixels = parse_file(sheet, _pixels, remedy)
    if any(not 0 <= each.label < len(found.class_names) for each in found.photographs):
        raise DataError(f"{caption} is damaged (a label without a class name); {remedy}")
    corners = [_corner(position) for position in range(len(found.photographs))]
    if any(top + TILE > pixels.shape[0] or left + TILE > pixels.shape[1] for top, left in corners):
        raise DataError(f"{sheet} has fewer photographs than {caption.name} names; {remedy}")
    tiles = [pixels[top : top + TILE, left : left + TILE] for top, left in corners]
    return found, np.array(tiles, np.uint8).reshape(-1, TILE, TILE, 3)


def _pixels(content: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
        return np.asarray(image.convert("RGB"))


def _corner(position: int) -> tuple[int, int]:
    return position // _COLUMNS * TILE, position % _COLUMNS * TILE
