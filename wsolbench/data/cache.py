"""Pictures decoded and resized once, for all methods, seeds, epochs and processes.

A cache is a file of raw uint8 values, mapped into memory by whoever reads it, and beside it a record of its size, its
time and its CRC-32. A cache whose size and time are the recorded ones is taken as it is; another is checked once, and
built anew where it is damaged. Its name is a digest of the images' own digests and orientations, the size, and the
libraries that decode and resize: a cache of something else has another name, and nothing has to be told that it is
out of date. The folder may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
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
from wsolbench.data.images import read_image
from wsolbench.errors import StorageError
from wsolbench.files import locked, reason, write_text
from wsolbench.runs.progress import track

__all__ = ["Pictures", "Reading", "pictures_of"]

_GIBIBYTE = 2**30
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
        workers: threads that decode images, for a cache or ahead of the network; not those of the network.
        cache: folder of caches; None decodes each picture whenever it is asked for.
        most_bytes: size of a cache above which a split is decoded directly instead.
    """

    workers: int = 1
    cache: Path | None = None
    most_bytes: int = 0

    @classmethod
    def of(cls, runtime: RuntimeSettings, layout: Layout) -> Reading:
        """Return what the settings say."""
        folder = Path(runtime.cache_folder).expanduser() if runtime.cache_folder else layout.cache
        workers = int(cpu_count()) if runtime.workers == "auto" else max(1, runtime.workers)
        return cls(workers, folder, int(runtime.cache_gib * _GIBIBYTE))


@dataclass(frozen=True)
class _Direct:
    """Pictures decoded each time they are asked for."""

    split: Split
    root: Path
    side: int

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        item = self.split.items[index]
        return read_image(self.root / item.path, item, (self.side, self.side))


def pictures_of(split: Split, image_root: Path, side: int, reading: Reading) -> Pictures:
    """Return a split's pictures ``(side, side, 3)`` of a cache, built now if need be, or decoded if that is too large.

    Raises:
        DataError: an image is missing, damaged or not the indexed one.
    """
    direct = _Direct(split, image_root, side)
    shape = (len(split), side, side, 3)
    size = int(np.prod(shape))
    if reading.cache is None or not 0 < size <= reading.most_bytes or not all(item.sha256 for item in split.items):
        return direct
    file = reading.cache / f"{_key(split, side)}.u8"
    try:
        reading.cache.mkdir(parents=True, exist_ok=True)
        if not _is_whole(file, size):
            with locked(file.with_suffix(".lock")):  # another process may be building it
                if not _is_whole(file, size):
                    if file.is_file():
                        _log.warning("%s is damaged; it is built anew", file)
                    _build(file, direct, shape, reading.workers)
        return np.asarray(np.memmap(file, np.uint8, "r", shape=shape))
    except (OSError, StorageError) as error:
        _log.warning(
            "%s: no cache of %s (%s): its images are decoded in every epoch", reading.cache, split.name, reason(error)
        )
        return direct


def _key(split: Split, side: int) -> str:
    """Return what tells one content from another: images, size, and who decodes and resizes."""
    images = [f"{item.sha256} {item.orientation}" for item in split.items]
    makers = [f"Pillow {PIL.__version__}", *(f"{name} {features.version(name)}" for name in ("jpg", "libjpeg_turbo"))]
    return hashlib.sha256("\n".join([*makers, str(side), *images]).encode()).hexdigest()[:32]


def _is_whole(file: Path, size: int) -> bool:
    """Return whether a cache is there as it was built; its content is read only where its time is another."""
    try:
        state = file.stat()
        record = json.loads(_record(file).read_bytes())
        if state.st_size != size or record["size"] != size:
            return False
        if record["time"] == state.st_mtime_ns:
            return True
        if record["crc32"] != _crc32(file):
            return False
    except (OSError, ValueError, TypeError, KeyError):  # not there, or no record
        return False
    with contextlib.suppress(StorageError):
        _write_record(file, record["crc32"])
    return True


def _record(file: Path) -> Path:
    return file.with_suffix(".json")


def _write_record(file: Path, crc32: int) -> None:
    state = file.stat()
    write_text(_record(file), json.dumps({"size": state.st_size, "time": state.st_mtime_ns, "crc32": crc32}))


def _crc32(file: Path) -> int:
    found = 0
    with file.open("rb") as stream:
        while piece := stream.read(2**20):
            found = zlib.crc32(piece, found)
    return found


def _build(file: Path, direct: _Direct, shape: tuple[int, int, int, int], workers: int) -> None:
    """Fill a cache under another name, and rename it when it is on the disk."""
    # A name of its own, under the lock: what a killed process leaves is written over.
    temporary, found = file.with_suffix(".tmp"), 0
    try:
        with temporary.open("wb") as stream, ThreadPoolExecutor(workers) as pool:
            os.posix_fallocate(stream.fileno(), 0, int(np.prod(shape)))  # a full disk is noticed now
            pictures = pool.map(direct.__getitem__, range(shape[0]))
            for picture in track(pictures, f"decoding {direct.split.name}", shape[0], "images"):
                stream.write(picture.data)
                found = zlib.crc32(picture.data, found)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
    _write_record(file, found)
