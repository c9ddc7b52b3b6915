"""Every image and mask of a data set opened once, and not again while it stays as it is."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from wsolbench.data.folders import refuse_bad_names
from wsolbench.data.images import SHOWN, measure, read_bytes, summarised
from wsolbench.data.masks import MaskFacts, measure_mask
from wsolbench.data.parquet import read_parquet
from wsolbench.errors import DataError, StorageError
from wsolbench.files import bytes_sha256, parse_file, replacing
from wsolbench.runs.progress import meter

__all__ = ["ImageFacts", "inspect_images", "inspect_masks", "remembering"]

UNREADABLE_FILE = "unreadable.txt"
_CHUNK = 50_000  # images between two writes of what was found: a minute's work or so
_SETTLED = 2_000_000_000  # nanoseconds: a file changed later than this before it is read may change unseen
_ARROW = {"str": pa.string(), "int": pa.int64(), "float": pa.float64()}
_log = logging.getLogger("wsolbench.prepare")
F = TypeVar("F", bound="ImageFacts | MaskFacts")
_folder: ContextVar[Path | None] = ContextVar("remembering", default=None)


@dataclass(frozen=True)
class ImageFacts:
    """What an index needs to know of an image file.

    Attributes:
        width: pixels, as stored.
        height: pixels, as stored.
        sha256: hex digest of the file.
        orientation: what its EXIF states, 1 to 8; 1 where it states none.
    """

    width: int
    height: int
    sha256: str
    orientation: int = 1


@dataclass(frozen=True)
class _State:
    """What tells whether a file is as it was: size in bytes, times in nanoseconds."""

    bytes: int
    mtime: int
    ctime: int


class _Record(Generic[F]):
    """What is known of the files below one folder, and the file that keeps it."""

    def __init__(self, file: Path | None, kind: type[F]) -> None:
        self._file = file
        columns = [each for of in (_State, kind) for each in fields(of)]
        self._schema = pa.schema([("path", pa.string()), *((each.name, _ARROW[str(each.type)]) for each in columns)])
        self._kind = kind
        self._known: dict[str, tuple[_State, F]] = {} if file is None else self._read(file)
        self._changed = False

    def of(self, path: str, state: _State | None) -> F | None:
        known = self._known.get(path)
        return known[1] if known is not None and known[0] == state else None

    def put(self, path: str, state: _State | None, facts: F) -> None:
        """Keep the facts of a file in this state; without one, forget what was known."""
        if state is None:
            self._changed |= self._known.pop(path, None) is not None
        elif self.of(path, state) is None:
            self._known[path] = (state, facts)
            self._changed = True

    def save(self) -> None:
        if self._file is None or not self._changed:
            return
        rows = [(path, *astuple(state), *astuple(facts)) for path, (state, facts) in self._known.items()]
        arrays = [pa.array(column, of.type) for column, of in zip(zip(*rows, strict=True), self._schema, strict=True)]
        try:
            with replacing(self._file) as temporary:
                pq.write_table(pa.table(arrays, schema=self._schema), temporary, write_page_checksum=True)
        except StorageError as error:
            _log.warning("%s; images are checked again the next time", error)
        self._changed = False

    def _read(self, file: Path) -> dict[str, tuple[_State, F]]:
        """Return what is kept; nothing where it is damaged or of another version, so that all is opened again."""
        try:
            table = parse_file(file, read_parquet, "it is made anew")
        except DataError:
            return {}
        if not table.schema.equals(self._schema):
            return {}
        rows = zip(*(table[name].to_pylist() for name in self._schema.names), strict=True)
        split = len(fields(_State))
        return {path: (_State(*values[:split]), self._kind(*values[split:])) for path, *values in rows}


@contextmanager
def remembering(folder: Path) -> Iterator[None]:
    """Keep what is found by inspection in ``folder`` while the context is open, and use what is kept there.

    A file counts as known while its size and times stay as they were. Where files cannot be used, their full list is
    written to ``unreadable.txt`` there.
    """
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


def inspect_images(root: Path, paths: Sequence[str], *, threads: int | None = None) -> list[ImageFacts]:
    """Decode every image once, so that damage is found before training and not in its fifth hour.

    Args:
        root: folder that the paths are relative to.
        paths: image files.
        threads: decoding threads; None for one per processor.

    Returns:
        Size, digest and orientation of each image, in the given order.

    Raises:
        DataError: images are missing, unreadable, or have names that are not UTF-8; lists the first 10 and says how
            many there are.
    """

    def examine(path: Path, data: bytes) -> ImageFacts:
        width, height, orientation = measure(path, data)
        return ImageFacts(width, height, bytes_sha256(data), orientation)

    return _inspected(root, paths, "images", ImageFacts, examine, threads)


def inspect_masks(root: Path, paths: Sequence[str], above: int, ignore_grey: int | None) -> list[MaskFacts]:
    """Decode every mask once, as evaluation does.

    Args:
        root: folder that the paths are relative to.
        paths: mask files.
        above: see :class:`wsolbench.data.dataset.Truth`, ``mask_above``.
        ignore_grey: likewise.

    Raises:
        DataError: masks are missing, unreadable or ambiguous, or their names are not UTF-8, as for images.
    """

    def examine(path: Path, data: bytes) -> MaskFacts:
        return measure_mask(path, data, above, ignore_grey)

    return _inspected(root, paths, f"masks {above} {ignore_grey}", MaskFacts, examine)


def _inspected(
    root: Path,
    paths: Sequence[str],
    what: str,
    kind: type[F],
    examine: Callable[[Path, bytes], F],
    threads: int | None = None,
) -> list[F]:
    folder, noun = _folder.get(), what.split(maxsplit=1)[0]
    refuse_bad_names(root, paths)
    name = hashlib.sha256(b"\0".join([os.fsencode(root.resolve()), what.encode()])).hexdigest()[:16]
    record = _Record(None if folder is None else folder / f"{name}.parquet", kind)
    problems: list[str] = []
    found: list[F] = []
    with (
        meter("checking", len(paths), noun) as progress,
        ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool,
    ):
        for start in range(0, len(paths), _CHUNK):
            try:
                for answer in _examined(root, paths[start : start + _CHUNK], record, pool, examine):
                    progress.advance()
                    if isinstance(answer, DataError):
                        problems.append(str(answer))
                    else:
                        found.append(answer)
            finally:
                record.save()
    if problems:
        complete = "" if folder is None or len(problems) <= SHOWN else f"\n  all of them: {_listed(folder, problems)}"
        raise DataError(f"{len(problems)} of {len(paths)} {noun} cannot be used:\n{summarised(problems)}{complete}")
    return found


def _examined(
    root: Path,
    paths: Sequence[str],
    record: _Record[F],
    pool: ThreadPoolExecutor,
    examine: Callable[[Path, bytes], F],
) -> Iterator[F | DataError]:
    """Yield what is found of each file, in order, and enter it into the record."""

    def look(path: str) -> tuple[_State | None, F] | DataError:
        state = _state(root / path)
        known = record.of(path, state)
        if known is not None:
            return state, known
        settled = state is not None and max(state.mtime, state.ctime) < time.time_ns() - _SETTLED
        try:
            facts = examine(root / path, read_bytes(root / path))
        except DataError as error:
            return error
        return (state if settled else None), facts

    for path, answer in zip(paths, pool.map(look, paths), strict=True):
        if isinstance(answer, DataError):
            yield answer
            continue
        record.put(path, *answer)
        yield answer[1]


def _state(path: Path) -> _State | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return _State(found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _listed(folder: Path, problems: list[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / UNREADABLE_FILE).write_text("\n".join(problems) + "\n", encoding="utf-8")
    return folder / UNREADABLE_FILE
