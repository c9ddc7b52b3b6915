"""Image files to RGB arrays: decoding, checking and the one resizing rule.

Pixels are those of the stored raster, unless an image's row of the index says that it is turned. In the published data
sets an EXIF orientation is *not* applied: their annotations, their published sizes and the loaders of the literature
all refer to the raster as it is stored, and a turned picture would no longer fit its boxes. Grey, palette and CMYK
files become RGB; transparent pixels are laid over black, because what is stored under them is arbitrary. Greys of 16
or more bits are refused: their range is not known.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from wsolbench.data.dataset import Item
from wsolbench.errors import DataError
from wsolbench.files import bytes_sha256, read_file

__all__ = [
    "FORMATS",
    "SHOWN",
    "UNDECODABLE",
    "measure",
    "open_image",
    "orientation_of",
    "read_displayed",
    "read_image",
    "resize",
    "summarised",
    "turned_size",
]

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""What images and masks may be, in Pillow's words. No other is even tried: for EPS, Pillow would start Ghostscript."""

# Pillow says so without a name, and the pixels are whole: some photographs of ILSVRC have such EXIF.
for _damaged in ("Corrupt EXIF data", "Image appears to be a malformed MPO file"):
    warnings.filterwarnings("ignore", message=_damaged, category=UserWarning)

_OPAQUE = {"1", "L", "P", "RGB", "CMYK", "YCbCr", "LAB", "HSV"}
_TRANSPARENT = {"LA", "La", "PA", "RGBA", "RGBa"}
UNDECODABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)
"""What PIL raises on a damaged file."""
SHOWN = 10
"""Lines of a long list that a message shows."""

_ORIENTATION = 0x0112  # tag of EXIF
_TURNS: Mapping[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LYING = 5  # from this orientation on, width and height change places


def read_image(path: Path, item: Item | None = None, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Decode an image file, all of it.

    Args:
        path: the file.
        item: its row of the index; where given, the file must still have the digest and size that it names, and is
            turned by the orientation that it names.
        size: height and width in pixels to resize it to, as :func:`resize` does; None for its own.

    Returns:
        ``(H, W, 3)`` uint8 RGB.

    Raises:
        DataError: the file is missing, truncated, not an image, of more than 8 bits, or no longer what was indexed.
    """
    data = read_file(path, "restore the file")
    if item is not None and item.sha256 and bytes_sha256(data) != item.sha256:
        raise DataError(f"{path}: the file has changed since prepare indexed it; run `dvc repro` to index it again")
    image, _ = _picture(path, data)
    if item is not None and item.orientation in _TURNS:
        image = image.transpose(_TURNS[item.orientation])
    if item is not None and image.size != (item.width, item.height):
        width, height = image.size
        raise DataError(
            f"{path}: the image is {width}x{height} pixels, the index says {item.width}x{item.height}; "
            "run `dvc repro` to index it again"
        )
    if size is not None and image.size != size[::-1]:
        image = image.resize(size[::-1], Image.Resampling.BILINEAR)
    return np.asarray(image)


def read_displayed(path: Path) -> Image.Image:
    """Decode a photograph of anybody's in RGB, turned by its EXIF orientation as viewers do; see :func:`read_image`."""
    image, orientation = _picture(path, read_file(path, "restore the file"))
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def resize(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize ``(H, W, 3)`` uint8 with PIL's antialiased bilinear filter, the rule for all that a network sees.

    It is what ``torchvision.transforms.Resize`` does to a PIL image, and so the recipe of the field. OpenCV's
    bilinear filter does not smooth when it shrinks and differs by up to 27 grey levels.
    """
    if image.shape[:2] == size:
        return image
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))


def summarised(lines: Sequence[str]) -> str:
    """Return the first 10 lines, indented, and how many more there are."""
    shown = [f"  {line}" for line in lines[:SHOWN]]
    if len(lines) > SHOWN:
        shown.append(f"  ... and {len(lines) - SHOWN} more")
    return "\n".join(shown)


def open_image(data: bytes) -> Image.Image:
    """Open an image or a mask that may come from anywhere; its pixels are not decoded yet.

    Raises:
        UnidentifiedImageError: it has none of the :data:`FORMATS`, or is damaged.
    """
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise UnidentifiedImageError(f"it is none of {', '.join(FORMATS)}") from None


def measure(path: Path, data: bytes) -> tuple[int, int, int]:
    """Decode the picture in what a file holds, and return its width and height as stored, and its EXIF orientation.

    Raises:
        DataError: it is truncated, not an image, or of more than 8 bits; the message names ``path``.
    """
    image, orientation = _picture(path, data)
    return image.width, image.height, orientation


def turned_size(width: int, height: int, orientation: int) -> tuple[int, int]:
    """Return width and height of a picture when it is turned by an EXIF orientation."""
    return (height, width) if orientation >= _LYING else (width, height)


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation of an image, 1 to 8; 1, not turned, where it states none or its EXIF is damaged."""
    try:
        stated = image.getexif().get(_ORIENTATION)
    except UNDECODABLE:
        return 1
    return stated if isinstance(stated, int) and stated in _TURNS else 1


def _picture(path: Path, data: bytes) -> tuple[Image.Image, int]:
    """Return the picture in RGB, as stored, and its EXIF orientation."""
    try:
        with open_image(data) as image:
            image.load()
            return _rgb(path, image), orientation_of(image)
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: the image is too large ({error}); shrink it") from None
    except UNDECODABLE as error:
        raise DataError(
            f"{path}: the image is truncated, damaged or not an image ({error}); restore it from its source"
        ) from None


def _rgb(path: Path, image: Image.Image) -> Image.Image:
    if image.mode in _TRANSPARENT or (image.mode in _OPAQUE and "transparency" in image.info):
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, (0, 0, 0, 255)), layer).convert("RGB")
    if image.mode not in _OPAQUE:
        raise DataError(f"{path}: pixels of mode '{image.mode}' (more than 8 bits) are not read; convert it to 8 bits")
    return image if image.mode == "RGB" else image.convert("RGB")
