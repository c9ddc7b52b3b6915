"""Pictures as data URIs, so that a page needs no other file; equal pixels give equal text."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wsolbench.data.scoremaps import upsample_and_normalise
from wsolbench.files import parse_file

__all__ = ["heat_picture", "line_path", "photograph_picture", "plot_picture"]

_HEAT_SIDE = 56  # enough for a smooth map under a photograph of 112
_HEAT_QUALITY = 60
_PHOTOGRAPH_QUALITY = 80


def heat_picture(small: NDArray[np.uint8]) -> str:
    """Return an ``(h, w)`` map in viridis, upsampled and normalised by the rule of the evaluation."""
    heat = (upsample_and_normalise(small.astype(np.float64), _HEAT_SIDE, _HEAT_SIDE) * 255).astype(np.uint8)
    return _uri(Image.fromarray(cv2.applyColorMap(heat, cv2.COLORMAP_VIRIDIS)[..., ::-1]), quality=_HEAT_QUALITY)


def photograph_picture(pixels: NDArray[np.uint8]) -> str:
    """Return an ``(H, W, 3)`` photograph."""
    return _uri(Image.fromarray(pixels), quality=_PHOTOGRAPH_QUALITY)


def plot_picture(path: Path) -> tuple[str, int, int]:
    """Return a plot's WebP file as it is, and its width and height in pixels.

    Raises:
        DataError: it cannot be read; the message names it.
    """
    again = f"run `wsolbench report {path.parent.name}`"
    content, (width, height) = parse_file(path, _measured, again)
    return _of(content), width, height


def line_path(points: NDArray[np.float64]) -> str:
    """Return ``(N, 2)`` points (x in [0, 1], y in percent) as an SVG path on a square of 100, y upwards."""
    return "M" + " ".join(f"{x * 100:g},{100 - y:.4g}" for x, y in points)


def _measured(content: bytes) -> tuple[bytes, tuple[int, int]]:
    with Image.open(io.BytesIO(content), formats=("WEBP",)) as image:
        image.load()  # all of it can be read
        return content, image.size


def _uri(image: Image.Image, quality: int) -> str:
    stream = io.BytesIO()
    image.save(stream, "WEBP", method=6, quality=quality)
    return _of(stream.getvalue())


def _of(webp: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(webp).decode()}"
