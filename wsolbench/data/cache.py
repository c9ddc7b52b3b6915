"""Pictures decoded and resized once, for all methods, seeds, epochs and processes.

A cache is a file of raw uint8 values, mapped into memory by whoever reads it, beside a record of its digest and time. A
file of the recorded size and time is taken as it is; one that was touched since is read through once. Its name
is a digest of the images' own digests and orientations, the size, and the libraries that decode and resize: a cache of
something else has another name, and nothing has to be told that it is out of date. The folder may be deleted at any
time.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import PIL
from joblib import cpu_count
from numpy.typing import NDArray
from PIL import features

from wsolbench.data.images import read_resized
from wsolbench.dataset import Split
from wsolbench.files import file_sha256, locked, write_text
from wsolbench.layout import Layout
from wsolbench.progress import track
from wsolbench.settings import RuntimeSettings

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
        if not _is_untouched(file, size):
            with locked(file.with_suffix(".lock")):  # another process may be building it
                if not _is_untouched(file, size) and not _is_whole(file, size):
                    _build(file, direct, shape, f"decoding {split.name}", reading.threads)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES}:
            raise
        _log.warning("%s: no cache of %s (%s): its images are decoded in every epoch", reading.cache, split.name, error)
        return direct
    return np.memmap(file, np.uint8, "r", shape=shape)


def _key(digests: list[str], side: int) -> str:
    """Return what tells one content from another: images, size, and who decodes and resizes."""
    makers = [f"Pillow {PIL.__version__}", *(f"{name} {features.version(name)}" for name in ("jpg", "libjpeg_turbo"))]
    return hashlib.sha256("\n".join([*makers, str(side), *digests]).encode()).hexdigest()[:32]


def _recorded(file: Path) -> dict[str, Any]:
    try:
        record = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _is_untouched(file: Path, size: int) -> bool:
    """Return whether a cache is there and has the time that was recorded when all of it was last read."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return False
    return found.st_size == size and found.st_mtime_ns == _recorded(file).get("mtime_ns")


def _is_whole(file: Path, size: int) -> bool:
    """Read a cache through, and record its time where it is whole: a copy has another one than its original."""
    if not file.is_file() or not file.with_suffix(".json").is_file():
        return False
    if file.stat().st_size == size and file_sha256(file) == _recorded(file).get("sha256"):
        _record(file, _recorded(file)["sha256"], file.stat().st_mtime_ns)
        return True
    _log.warning("%s is damaged; it is built anew", file)
    return False


def _record(file: Path, sha256: str, mtime_ns: int) -> None:
    write_text(file.with_suffix(".json"), json.dumps({"sha256": sha256, "mtime_ns": mtime_ns}) + "\n")


def _build(file: Path, direct: _Direct, shape: tuple[int, int, int, int], what: str, threads: int) -> None:
    """Fill a cache under another name, and rename it when it is on the disk; the record comes last."""
    temporary = file.with_suffix(".tmp")
    file.with_suffix(".json").unlink(missing_ok=True)
    try:
        with temporary.open("wb") as stream:
            # Room first: a mapping written to on a full disk would end the process by a signal.
            os.posix_fallocate(stream.fileno(), 0, int(np.prod(shape)))
        array = np.memmap(temporary, np.uint8, "r+", shape=shape)

        def fill(position: int) -> None:
            array[position] = direct[position]

        with ThreadPoolExecutor(threads) as pool:
            for _ in track(pool.map(fill, range(shape[0])), what, shape[0], "images"):
                pass
        array.flush()
        os.utime(temporary)  # what was written through a mapping may be dated later
        digest, time = file_sha256(temporary), temporary.stat().st_mtime_ns
        temporary.replace(file)
        _record(file, digest, time)
    finally:
        temporary.unlink(missing_ok=True)
