"""Open every image and mask of a data set once, and not again while it stays as it is."""

from __future__ import annotations

import json
import logging
import os
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from joblib import cpu_count

from wsolbench.acquire.mask_files import Greys, MaskFacts, measure_mask
from wsolbench.data.folders import refuse_bad_names
from wsolbench.data.images import SHOWN, measure, summarised
from wsolbench.errors import DataError, StorageError
from wsolbench.files import bytes_sha256, read_file, write_text, writing
from wsolbench.runs.progress import meter

__all__ = ["ImageFacts", "inspect_images", "inspect_masks", "keep_checks"]

UNREADABLE_FILE = "unreadable.txt"
_CHUNK = 10_000  # files between two writes of what was found
_SETTLED = 2_000_000_000  # nanoseconds: a file changed later than this before it is read may change unseen
_log = logging.getLogger("wsolbench.prepare")
F = TypeVar("F", bound="ImageFacts | MaskFacts")


@dataclass(frozen=True)
class ImageFacts:
    """Width and height in pixels, as stored, digest and EXIF orientation (1 where none is stated) of an image file."""

    width: int
    height: int
    sha256: str
    orientation: int = 1


@dataclass(frozen=True)
class _Place:
    """Where checks are kept (None: nowhere), and how many threads make them."""

    folder: Path | None = None
    workers: int | None = None


_NOWHERE = _Place()
_place: ContextVar[_Place] = ContextVar("checks", default=_NOWHERE)


@contextmanager
def keep_checks(folder: Path, workers: int | None = None) -> Iterator[None]:
    """Keep what is found by inspection in ``folder`` while the context is open, and use what is kept there.

    A file counts as known while its size and times stay as they were. Where files cannot be used, their full list is
    written to ``unreadable.txt`` there.
    """
    token = _place.set(_Place(folder, workers))
    try:
        yield
    finally:
        _place.reset(token)


def inspect_images(root: Path, paths: Sequence[str]) -> list[ImageFacts]:
    """Decode every image once, and return its facts: damage is found before training, not in its fifth hour.

    Raises:
        DataError: images are missing, unreadable, or have names that are not UTF-8; lists the first 10 and says how
            many there are.
    """

    def examine(path: Path, data: bytes) -> ImageFacts:
        width, height, orientation = measure(path, data)
        return ImageFacts(width, height, bytes_sha256(data), orientation)

    return _inspected(root, paths, "images", ImageFacts, examine)


def inspect_masks(root: Path, paths: Sequence[str], greys: Greys) -> list[MaskFacts]:
    """Decode every mask once; see :func:`inspect_images`."""
    what = f"masks {greys.above} {greys.ignore}"
    return _inspected(root, paths, what, MaskFacts, partial(measure_mask, greys=greys))


def _inspected(
    root: Path, paths: Sequence[str], what: str, kind: type[F], examine: Callable[[Path, bytes], F]
) -> list[F]:
    place, noun = _place.get(), what.split(maxsplit=1)[0]
    refuse_bad_names(root, paths)
    name = bytes_sha256(b"\0".join([os.fsencode(root.resolve()), what.encode()]))[:16]
    file = None if place.folder is None else place.folder / f"{name}.jsonl"
    known: dict[str, tuple[list[int], list[Any]]] = {} if file is None else dict(_read(file))

    def check(path: str) -> tuple[list[int] | None, F] | DataError:
        """Return what is known or found of a file, and its state where that is new and may be kept."""
        state = _state(root / path)
        if path in known and known[path][0] == state:
            return None, kind(*known[path][1])
        settled = bool(state) and max(state[1:]) < time.time_ns() - _SETTLED
        try:
            return (state if settled else None), examine(root / path, read_file(root / path, "restore the file"))
        except DataError as error:
            return error

    problems: list[str] = []
    found: list[F] = []
    new: list[bytes] = []
    with (
        meter("checking", len(paths), noun) as progress,
        ThreadPoolExecutor(place.workers or cpu_count()) as pool,
    ):
        for start in range(0, len(paths), _CHUNK):
            some = paths[start : start + _CHUNK]
            try:
                for path, answer in zip(some, pool.map(check, some), strict=True):
                    progress.advance()
                    if isinstance(answer, DataError):
                        problems.append(str(answer))
                        continue
                    state, facts = answer
                    found.append(facts)
                    if state is not None:
                        new.append(json.dumps([path, state, astuple(facts)]).encode())
            finally:
                _append(file, new)
    if problems:
        complete = ""
        if place.folder is not None and len(problems) > SHOWN:
            complete = f"\n  all of them: {place.folder / UNREADABLE_FILE}"
            write_text(place.folder / UNREADABLE_FILE, "\n".join(problems) + "\n")
        raise DataError(f"{len(problems)} of {len(paths)} {noun} cannot be used:\n{summarised(problems)}{complete}")
    return found


def _state(path: Path) -> list[int]:
    """Return what tells whether a file is as it was: its size in bytes, and its times in nanoseconds."""
    try:
        found = path.stat()
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _read(file: Path) -> Iterator[tuple[str, tuple[list[int], list[Any]]]]:
    """Yield what is kept, a line per file, later ones in place of earlier; lines that are damaged are passed over."""
    try:
        lines = read_file(file, "it is made anew").splitlines()
    except DataError:
        return
    for line in lines:
        checksum, _, content = line.partition(b" ")
        if checksum == b"%08x" % zlib.crc32(content):
            path, state, facts = json.loads(content)
            yield path, (state, facts)


def _append(file: Path | None, lines: list[bytes]) -> None:
    """Add lines to what is kept, and empty the list; where that cannot be written, say so."""
    if file is not None and lines:
        try:
            with writing(file):
                file.parent.mkdir(parents=True, exist_ok=True)
                with file.open("ab") as stream:
                    # The line break comes first: it ends a line that a killed process left unfinished.
                    stream.write(b"".join(b"\n%08x %s" % (zlib.crc32(line), line) for line in lines))
        except StorageError as error:
            _log.warning("%s; images are checked again the next time", error)
    lines.clear()
