"""Localization maps on disk, and the one rule by which they are upsampled and normalised.

A run stores, for ``val`` and ``test``, the label's raw map at native resolution. Every metric is computed from these
files on a CPU, without the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import cv2
import numpy as np
from numpy.typing import NDArray

from wsolbench.errors import DataError

__all__ = ["MAPS_FILE", "StoredBoxes", "StoredMaps", "read_maps", "upsample_and_normalise", "write_maps"]

MAPS_FILE = "maps.npz"
_FIELDS = ("ids", "labels", "maps", "top5", "top5_logits")


@dataclass(frozen=True)
class StoredMaps:
    """Maps and class scores of one split, in index order.

    Attributes:
        ids: ``(N,)`` str image ids.
        labels: ``(N,)`` int64 true class, whose map is stored.
        maps: ``(N, h, w)`` float32 raw maps at native resolution.
        top5: ``(N, k)`` int64 classes with the largest logits, best first; k = min(5, classes). ``(N, 0)``
            for a run that does not classify.
        top5_logits: ``(N, k)`` float32 logits of these classes.
    """

    ids: NDArray[np.str_]
    labels: NDArray[np.int64]
    maps: NDArray[np.float32]
    top5: NDArray[np.int64]
    top5_logits: NDArray[np.float32]


@dataclass(frozen=True)
class StoredBoxes:
    """One box per image of a split, in index order, from something that has no maps and no classes.

    Attributes:
        ids: ``(N,)`` str image ids.
        labels: ``(N,)`` int64 true class.
        boxes: ``(N, 4)`` float64 half-open ``x0, y0, x1, y1`` in pixels of the stored image.
    """

    ids: NDArray[np.str_]
    labels: NDArray[np.int64]
    boxes: NDArray[np.float64]

    @property
    def top5(self) -> NDArray[np.int64]:
        """No guesses at the class, ``(N, 0)``."""
        return np.zeros((len(self.ids), 0), np.int64)


def write_maps(path: Path, splits: Mapping[str, StoredMaps]) -> None:
    """Write the maps of a run to one ``.npz`` file, atomically; equal input gives equal bytes."""
    arrays = {f"{name}/{key}": getattr(stored, key) for name, stored in splits.items() for key in _FIELDS}
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as stream:
        np.savez(stream, **arrays)
    temporary.replace(path)


def read_maps(path: Path, split: str) -> StoredMaps:
    """Read one split of a stored maps file.

    Raises:
        DataError: the file is missing, damaged, has no such split, or its arrays do not fit each other; the message
            names it.
    """
    try:
        # Opened here, because numpy leaves a damaged archive open.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            stored = StoredMaps(**{key: archive[f"{split}/{key}"] for key in _FIELDS})
    except FileNotFoundError:
        raise DataError(f"{path} is missing; train the run first") from None
    except KeyError:
        raise DataError(f"{path} has no maps of split '{split}'") from None
    except (ValueError, OSError, EOFError, BadZipFile, RuntimeError) as error:  # the last: "encrypted"
        raise DataError(f"{path} is damaged ({error}); delete it and train the run again") from None
    _check_shapes(stored, path, split)
    return stored


def _check_shapes(stored: StoredMaps, path: Path, split: str) -> None:
    count, best = stored.ids.size, (stored.ids.size, *stored.top5.shape[-1:])
    expected = {
        "ids": (count,),
        "labels": (count,),
        "maps": (count, *stored.maps.shape[-2:]),
        "top5": best,
        "top5_logits": best,
    }
    for key in _FIELDS:
        shape = getattr(stored, key).shape
        if shape != expected[key] or (key == "maps" and 0 in shape[1:]):
            raise DataError(
                f"{path}: array '{split}/{key}' has the shape {shape}, which does not fit {count} images; maps are "
                "(images, rows, columns), labels (images,) and top5 (images, classes). Train the run again"
            )


def upsample_and_normalise(raw: NDArray[np.floating], height: int, width: int) -> NDArray[np.float64]:
    """Bring a raw map to the size of an image and to [0, 1]: the one rule for all methods.

    Bicubic interpolation (OpenCV's, float64), then min-max over the upsampled map, so that cubic overshoot is part of
    the range, as in the evaluator of Choe et al. (CVPR 2020). A constant map, and one that holds a NaN, says nothing
    about where the object is and becomes all zero, likewise.

    Args:
        raw: ``(h, w)`` float, any range.
        height: rows of the result.
        width: columns of the result.

    Returns:
        ``(height, width)`` float64 in [0, 1].

    Raises:
        DataError: the map has an infinite value, which no normalisation can bring to [0, 1].
    """
    if np.isinf(raw).any():
        raise DataError("the map has an infinite value")
    upsampled = cv2.resize(raw.astype(np.float64), (width, height), interpolation=cv2.INTER_CUBIC)
    shifted: NDArray[np.float64] = upsampled - upsampled.min()
    highest = shifted.max()
    return shifted / highest if highest > 0 else np.zeros((height, width))
