"""Object masks from PNG files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wsolbench.data.images import UNDECODABLE
from wsolbench.errors import DataError

__all__ = ["read_mask"]


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Read a mask file: object where the grey value is above 0.

    Returns:
        ``(H, W)`` bool.

    Raises:
        DataError: the file is missing or unreadable.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("L")) > 0
    except FileNotFoundError:
        raise DataError(f"mask {path} is missing; run prepare again, or restore it from the data set") from None
    except UNDECODABLE as error:
        raise DataError(f"mask {path} is unreadable ({error}); restore it from the data set") from None
