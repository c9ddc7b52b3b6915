"""A run's maps of the gallery's candidate images, in 8 bits."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsolbench.data.scoremaps import Stored, StoredMaps
from wsolbench.errors import DataError
from wsolbench.files import parse_file

__all__ = ["Thumbnails", "candidates", "encode_thumbnails", "read_thumbnails"]


@dataclass(frozen=True)
class Thumbnails:
    """Maps of the candidate images, in their order.

    Attributes:
        ids: ``(N,)`` str image ids; empty for a run that has no maps.
        maps: ``(N, h, w)`` uint8 at the maps' native resolution; each map's minimum is 0, its maximum 255.
    """

    ids: NDArray[np.str_]
    maps: NDArray[np.uint8]


def candidates(ids: Sequence[str], count: int) -> list[int]:
    """Return the positions of the ``count`` images with the lowest sha256 of their id: the same for every run."""
    order = sorted(range(len(ids)), key=lambda k: hashlib.sha256(ids[k].encode()).digest())
    return order[:count]


def encode_thumbnails(stored: Stored, count: int) -> bytes:
    """Return the maps of the first ``count`` candidates as an ``.npz`` file; equal input gives equal bytes.

    A map that is constant becomes all zero, as in :func:`wsolbench.data.scoremaps.upsample_and_normalise`. Boxes have
    no maps, and give a file without images.
    """
    if isinstance(stored, StoredMaps):
        chosen = candidates(stored.ids.tolist(), count)
        ids, maps = stored.ids[chosen], _in_8_bits(stored.maps[chosen])
    else:
        ids, maps = np.zeros(0, np.str_), np.zeros((0, 0, 0), np.uint8)
    stream = io.BytesIO()
    np.savez_compressed(stream, ids=ids, maps=maps)
    return stream.getvalue()


def read_thumbnails(path: Path, remedy: str) -> Thumbnails:
    """Read the file of a run.

    Raises:
        DataError: it is missing or damaged; the message names it and the remedy.
    """
    found = parse_file(path, _parsed, remedy)
    if found.maps.ndim != 3 or found.maps.dtype != np.uint8 or found.ids.shape != found.maps.shape[:1]:
        raise DataError(f"{path} is damaged (its maps do not fit its ids); {remedy}")
    return found


def _parsed(content: bytes) -> Thumbnails:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return Thumbnails(archive["ids"], archive["maps"])


def _in_8_bits(maps: NDArray[np.floating]) -> NDArray[np.uint8]:
    if not maps.size:
        return np.zeros(maps.shape, np.uint8)
    raw = maps.astype(np.float64)
    lowest, highest = raw.min((1, 2), keepdims=True), raw.max((1, 2), keepdims=True)
    range_ = np.where(highest > lowest, highest - lowest, 1)
    return np.asarray(np.rint((raw - lowest) / range_ * 255), np.uint8)
