"""Pictures decoded and resized once, for all methods, seeds, epochs and processes.

A cache is a file of raw uint8 values, mapped into memory by whoever reads it, and behind them the CRC-32 of each
picture, which is computed again whenever the picture is read: a bit that flipped costs one decoding and a message, and
the cache is made anew by the next run. Its name is a digest of the images' own digests and orientations, the size, and
the libraries that decode and resize: a cache of something else has another name, and nothing has to be told that it is
out of date. The folder may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import PIL
from joblib import cpu_count
from numpy.typing import NDArray
from PIL import features

from wsolbench.config.paths import Layout
from wsolbench.config.settings import RuntimeSettings
from wsolbench.data.dataset import Split
from wsolbench.data.images import read_resized
from wsolbench.errors import StorageError
from wsolbench.files import locked, reason
from wsolbench.runs.progress import track

__all__ = ["Pictures", "Reading", "pictures_of"]

_GIBIBYTE = 2**30
_CRC = np.dtype("<u4")
_log = logging.getLogger("wsolbench.data")


class Pictures(Protocol):
    """Pictures of a split, resized to one square size, by position."""

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        """Return one picture, ``(side, side, 3)`` uint8 RGB."""
        ...


@dataclass(frozen=True)
class Reading:
    """How pictures are read on this machine; what is read does not depend on it.

    Attributes:
        threads: that decode images, for a cache or ahead of the network; not those of the network.
        cache: folder of caches; None decodes each picture whenever it is asked for.
        most_bytes: size of a cache above which a split is decoded directly instead.
    """

    threads: int = 1
    cache: Path | None = None
    most_bytes: int = 0

    @classmethod
    def of(cls, runtime: RuntimeSettings, layout: Layout) -> Reading:
        """Return what the settings say."""
        folder = Path(runtime.cache_folder).expanduser() if runtime.cache_folder else layout.cache
        threads = int(cpu_count()) if runtime.workers == "auto" else max(1, runtime.workers)
        return cls(threads, folder, int(runtime.cache_gib * _GIBIBYTE))


class _Direct:
    """Pictures decoded each time they are asked for."""

    def __init__(self, split: Split, image_root: Path, side: int) -> None:
        self._split, self._root, self._side = split, image_root, side

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        item = self._split.items[index]
        return read_resized(self._root / item.path, item, (self._side, self._side))


class CachedPictures:
    """Pictures of a cache, each compared with its CRC-32 as it is read.

    Args:
        file: the cache.
        direct: the same pictures by decoding, for one that is damaged.
        shape: of all pictures, ``(images, side, side, 3)``.
    """

    def __init__(self, file: Path, direct: _Direct, shape: tuple[int, int, int, int]) -> None:
        self._file, self._direct = file, direct
        self._pictures = np.asarray(np.memmap(file, np.uint8, "r", shape=shape))
        self._crcs = np.fromfile(file, _CRC, offset=self._pictures.nbytes).tolist()

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        picture: NDArray[np.uint8] = self._pictures[index]
        if zlib.crc32(picture.data) == self._crcs[index]:
            return picture
        _log.warning("%s is damaged at picture %d, which is decoded; the next run builds it anew", self._file, index)
        with contextlib.suppress(OSError):
            self._file.unlink()  # whoever has mapped it keeps what is whole
        return self._direct[index]


def pictures_of(split: Split, image_root: Path, side: int, reading: Reading) -> Pictures:
    """Return the pictures of a split: from a cache, built now if need be, or directly where it would be too large.

    Args:
        split: images, in index order.
        image_root: folder that their paths are relative to.
        side: height and width in pixels of the result.
        reading: where caches lie and how large they may be.

    Raises:
        DataError: an image is missing, damaged or not the indexed one.
    """
    direct = _Direct(split, image_root, side)
    size = len(split) * side * side * 3
    if reading.cache is None or not 0 < size <= reading.most_bytes or not all(item.sha256 for item in split.items):
        return direct
    digests = [item.sha256 if item.orientation == 1 else f"{item.sha256} {item.orientation}" for item in split.items]
    file = reading.cache / f"{_key(digests, side)}.u8"
    shape = (len(split), side, side, 3)
    try:
        reading.cache.mkdir(parents=True, exist_ok=True)
        if not _is_whole(file, shape):
            with locked(file.with_suffix(".lock")):  # another process may be building it
                if not _is_whole(file, shape):
                    if file.is_file():
                        _log.warning("%s is damaged; it is built anew", file)
                    _build(file, direct, shape, f"decoding {split.name}", reading.threads)
        return CachedPictures(file, direct, shape)
    except (OSError, StorageError) as error:
        _log.warning(
            "%s: no cache of %s (%s): its images are decoded in every epoch", reading.cache, split.name, reason(error)
        )
        return direct


def _key(digests: list[str], side: int) -> str:
    """Return what tells one content from another: images, size, who decodes and resizes, and the checksums' kind."""
    makers = [f"Pillow {PIL.__version__}", *(f"{name} {features.version(name)}" for name in ("jpg", "libjpeg_turbo"))]
    return hashlib.sha256("\n".join([*makers, "crc32", str(side), *digests]).encode()).hexdigest()[:32]


def _is_whole(file: Path, shape: tuple[int, int, int, int]) -> bool:
    """Return whether a cache is there with all pictures and checksums."""
    try:
        found = file.stat().st_size
    except FileNotFoundError:
        return False
    return found == int(np.prod(shape)) + shape[0] * _CRC.itemsize


def _build(file: Path, direct: _Direct, shape: tuple[int, int, int, int], what: str, threads: int) -> None:
    """Fill a cache under another name, and rename it when it is on the disk."""
    # A name of its own, under the lock: what a killed process leaves is written over.
    temporary, size = file.with_suffix(".tmp"), int(np.prod(shape))
    try:
        with temporary.open("wb") as stream:
            # Room first: a mapping written to on a full disk would end the process by a signal.
            os.posix_fallocate(stream.fileno(), 0, size + shape[0] * _CRC.itemsize)
        pictures = np.memmap(temporary, np.uint8, "r+", shape=shape)
        checksums = np.memmap(temporary, _CRC, "r+", offset=size, shape=shape[:1])

        def fill(position: int) -> None:
            picture = direct[position]
            pictures[position], checksums[position] = picture, zlib.crc32(picture.data)

        with ThreadPoolExecutor(threads) as pool:
            for _ in track(pool.map(fill, range(shape[0])), what, shape[0], "images"):
                pass
        pictures.flush()
        checksums.flush()
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
