"""Localization maps on disk, and the one rule by which they are upsampled and normalised.

A run stores, for ``val`` and ``test``, the label's raw map at native resolution. Every metric is computed from these
files on a CPU, without the network.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from wsolbench.errors import DataError
from wsolbench.files import parse_file, replacing

__all__ = [
    "MAPS_FILE",
    "Stored",
    "StoredBoxes",
    "StoredMaps",
    "read_maps",
    "upsample",
    "upsample_and_normalise",
    "write_maps",
]

MAPS_FILE = "maps.npz"


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

    @property
    def answers(self) -> NDArray[np.float32]:
        """What says where the objects are."""
        return self.maps


@dataclass(frozen=True)
class StoredBoxes:
    """One box per image of a split, in index order, from something that has no maps.

    Attributes:
        ids: ``(N,)`` str image ids.
        labels: ``(N,)`` int64 true class.
        boxes: ``(N, 4)`` float64 half-open ``x0, y0, x1, y1`` in pixels of the stored image.
        top5: as those of :class:`StoredMaps`; ``(N, 0)`` if left out.
        top5_logits: likewise.
    """

    ids: NDArray[np.str_]
    labels: NDArray[np.int64]
    boxes: NDArray[np.float64]
    top5: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    top5_logits: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    @property
    def answers(self) -> NDArray[np.float64]:
        """What says where the objects are."""
        return self.boxes

    def __post_init__(self) -> None:
        for name in ("top5", "top5_logits"):
            if getattr(self, name).shape == (0, 0):
                object.__setattr__(self, name, np.zeros((len(self.ids), 0), getattr(self, name).dtype))


Stored: TypeAlias = StoredMaps | StoredBoxes


def write_maps(path: Path, splits: Mapping[str, Stored]) -> None:
    """Write the maps (or boxes) of a run to one ``.npz`` file, atomically; equal input gives equal bytes."""
    arrays = {f"{name}/{key}": array for name, stored in splits.items() for key, array in vars(stored).items()}
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **arrays)


def read_maps(path: Path, split: str, sha256: str | None = None) -> Stored:
    """Read one split of a stored maps file; boxes, where its method answers in boxes.

    Raises:
        DataError: the file is missing, damaged, has no such split, or its arrays do not fit each other; the message
            names it.
    """
    stored = parse_file(path, partial(_parsed, path, split), "train the run again", sha256)
    _check_shapes(stored, path, split)
    return stored


def _parsed(path: Path, split: str, content: bytes) -> Stored:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        if not any(name.startswith(f"{split}/") for name in archive):
            raise DataError(f"{path} has no maps of split '{split}'")
        kind: type[Stored] = StoredBoxes if f"{split}/boxes" in archive else StoredMaps
        return kind(**{each.name: archive[f"{split}/{each.name}"] for each in fields(kind)})


def _check_shapes(stored: Stored, path: Path, split: str) -> None:
    count, best = stored.ids.size, (stored.ids.size, *stored.top5.shape[-1:])
    expected = {"ids": (count,), "labels": (count,), "boxes": (count, 4), "top5": best, "top5_logits": best}
    for key, array in vars(stored).items():
        wanted = (count, *array.shape[-2:]) if key == "maps" else expected[key]
        if array.shape != wanted or (key == "maps" and 0 in array.shape[1:]):
            raise DataError(
                f"{path}: array '{split}/{key}' has the shape {array.shape}, which does not fit {count} images; maps "
                "are (images, rows, columns), labels (images,) and top5 (images, classes). Train the run again"
            )


def upsample_and_normalise(raw: NDArray[np.floating], height: int, width: int) -> NDArray[np.float64]:
    """Bring a raw map to the size of an image and to [0, 1]: the one rule for all methods.

    :func:`upsample`, then min-max over the upsampled map, so that cubic overshoot is part of the range, as in the
    evaluator of Choe et al. (CVPR 2020). A map that is constant, or holds a NaN, says nothing about where the object is
    and becomes all zero. :mod:`wsolbench.evaluation.normalisation` has other ways.

    Args:
        raw: ``(h, w)`` float, any range.
        height: rows of the result.
        width: columns of the result.

    Returns:
        ``(height, width)`` float64 in [0, 1].

    Raises:
        DataError: the map has an infinite value, which no normalisation can bring to [0, 1].
    """
    upsampled = upsample(raw, height, width)
    lowest, highest = upsampled.min(), upsampled.max()
    if not lowest < highest:  # also catches NaN
        return np.zeros(upsampled.shape)
    return np.asarray((upsampled - lowest) / (highest - lowest))


def upsample(raw: NDArray[np.floating], height: int, width: int) -> NDArray[np.float64]:
    """Resize a raw map to ``(height, width)`` float64 by bicubic interpolation (OpenCV's, in float64).

    Raises:
        DataError: the map has an infinite value.
    """
    if np.isinf(raw).any():
        raise DataError("the map has an infinite value")
    upsampled = cv2.resize(raw.astype(np.float64), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(upsampled, np.float64)
