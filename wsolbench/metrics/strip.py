"""The gallery strip of a run: photograph, map, predicted and true box, side by side for a few images."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from wsolbench.data.images import read_image, resize
from wsolbench.dataset import Item, Split
from wsolbench.metrics.choe2020 import SIDE
from wsolbench.palette import PREDICTED_RGB, TRUE_RGB
from wsolbench.scoremaps import StoredBoxes, StoredMaps, upsample_and_normalise

__all__ = ["TILE", "chosen_images", "draw_strip"]

TILE = 112
"""Side in pixels of one picture of the strip."""

_BLEND = 0.45  # share of the heat map
_LINE = 2  # pixels


@dataclass(frozen=True)
class _Tile:
    item: Item
    raw: NDArray[np.float32] | None
    predicted: NDArray[np.int64]
    true: NDArray[np.float64]


def chosen_images(items: Sequence[Item], count: int) -> list[int]:
    """Return the positions of the ``count`` images with the lowest sha256 of their id: the same for every run."""
    order = sorted(range(len(items)), key=lambda k: hashlib.sha256(items[k].id.encode()).digest())
    return order[:count]


def draw_strip(
    stored: StoredMaps | StoredBoxes, split: Split, boxes: NDArray[np.int64], image_root: Path, count: int
) -> bytes:
    """Draw the strip of a run as PNG; equal input gives equal bytes.

    Args:
        stored: maps of ``split``, in its order; boxes are drawn on the photograph alone.
        split: with truth.
        boxes: ``(N, 4)`` predicted boxes on the 224x224 grid.
        image_root: folder of the photographs.
        count: number of images; 0 gives a single black tile, so that there is a file.

    Raises:
        DataError: a photograph is missing or changed.
    """
    tiles = []
    for k in chosen_images(split.items, count):
        item = split.items[k]
        raw = stored.maps[k] if isinstance(stored, StoredMaps) else None
        tiles.append(_draw(_Tile(item, raw, boxes[k], split.truth(item.id).boxes), image_root))
    strip = np.concatenate(tiles or [np.zeros((TILE, TILE, 3), np.uint8)], axis=1)
    stream = io.BytesIO()
    Image.fromarray(strip).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _draw(tile: _Tile, image_root: Path) -> NDArray[np.uint8]:
    shown = resize(read_image(image_root / tile.item.path, tile.item), (TILE, TILE))
    if tile.raw is not None:
        heat = (upsample_and_normalise(tile.raw, TILE, TILE) * 255).astype(np.uint8)
        coloured = cv2.applyColorMap(heat, cv2.COLORMAP_VIRIDIS)[..., ::-1]
        shown = (shown * (1 - _BLEND) + coloured * _BLEND).astype(np.uint8)
    picture = Image.fromarray(shown)
    canvas = ImageDraw.Draw(picture)
    size = np.array([tile.item.width, tile.item.height] * 2)
    for box in tile.true:
        _rectangle(canvas, box * TILE / size, TRUE_RGB)
    _rectangle(canvas, tile.predicted * TILE / SIDE, PREDICTED_RGB)
    return np.asarray(picture)


def _rectangle(canvas: ImageDraw.ImageDraw, box: NDArray[np.float64], colour: tuple[int, int, int]) -> None:
    x0, y0, x1, y1 = np.clip(np.rint(box), 0, TILE - 1).astype(int).tolist()
    canvas.rectangle((x0, y0, max(x1, x0), max(y1, y0)), outline=colour, width=_LINE)
