"""Every image of a data set looked at once, and not again while it stays as it is."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from wsolbench.data.images import SHOWN, decode, read_bytes, summarised
from wsolbench.errors import DataError
from wsolbench.progress import meter

__all__ = ["ImageFacts", "inspect_images", "remembering"]

UNREADABLE_FILE = "unreadable.txt"
_CHUNK = 50_000  # images between two writes of what was found: a minute's work or so
_SETTLED = 2_000_000_000  # nanoseconds: a file changed later than this before it is read may change unseen
_SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("bytes", pa.int64()),
        ("mtime", pa.int64()),
        ("ctime", pa.int64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("sha256", pa.string()),
    ]
)
_folder: ContextVar[Path | None] = ContextVar("remembering", default=None)


@dataclass(frozen=True)
class ImageFacts:
    """What an index needs to know of an image file.

    Attributes:
        width: pixels.
        height: pixels.
        sha256: hex digest of the file.
    """

    width: int
    height: int
    sha256: str


@dataclass(frozen=True)
class _State:
    """What tells whether a file is as it was: size in bytes, times in nanoseconds."""

    bytes: int
    mtime: int
    ctime: int


_Known = dict[str, tuple[_State, ImageFacts]]


class _Record:
    """What is known of the images below one folder, and the file that keeps it."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._known = {} if file is None else _read(file)
        self._changed = False

    def of(self, path: str, state: _State | None) -> ImageFacts | None:
        known = self._known.get(path)
        return known[1] if known is not None and known[0] == state else None

    def put(self, path: str, state: _State | None, facts: ImageFacts) -> None:
        """Keep the facts of a file in this state; without one, forget what was known."""
        if state is None:
            self._changed |= self._known.pop(path, None) is not None
        elif self.of(path, state) is None:
            self._known[path] = (state, facts)
            self._changed = True

    def save(self) -> None:
        if self._file is not None and self._changed:
            _write(self._file, self._known)
            self._changed = False


@contextmanager
def remembering(folder: Path) -> Iterator[None]:
    """Keep what :func:`inspect_images` finds in ``folder`` while the context is open, and use what is kept there.

    An image counts as known while its size and times stay as they were. Where images cannot be used, their full list is
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
        Size and digest of each image, in the given order.

    Raises:
        DataError: images are missing or unreadable; lists the first 10 and says how many there are.
    """
    folder = _folder.get()
    name = f"{hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]}.parquet"
    record = _Record(None if folder is None else folder / name)
    problems: list[str] = []
    found: list[ImageFacts] = []
    with (
        meter("checking", len(paths), "images") as progress,
        ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool,
    ):
        for start in range(0, len(paths), _CHUNK):
            try:
                for answer in _looked_at(root, paths[start : start + _CHUNK], record, pool):
                    progress.advance()
                    if isinstance(answer, DataError):
                        problems.append(str(answer))
                    else:
                        found.append(answer)
            finally:
                record.save()
    if problems:
        complete = "" if folder is None or len(problems) <= SHOWN else f"\n  all of them: {_listed(folder, problems)}"
        raise DataError(f"{len(problems)} of {len(paths)} images cannot be used:\n{summarised(problems)}{complete}")
    return found


def _looked_at(
    root: Path, paths: Sequence[str], record: _Record, pool: ThreadPoolExecutor
) -> Iterator[ImageFacts | DataError]:
    """Yield what is found of each image, in order, and enter it into the record."""

    def look(path: str) -> tuple[_State | None, ImageFacts] | DataError:
        state = _state(root / path)
        known = record.of(path, state)
        if known is not None:
            return state, known
        settled = state is not None and max(state.mtime, state.ctime) < time.time_ns() - _SETTLED
        try:
            data = read_bytes(root / path)
            height, width = decode(root / path, data).shape[:2]
        except DataError as error:
            return error
        return (state if settled else None), ImageFacts(width, height, hashlib.sha256(data).hexdigest())

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


def _read(record: Path) -> _Known:
    """Return what is kept; nothing where it is damaged or of another version, so that all is looked at again."""
    try:
        table = pq.read_table(record)
    except (OSError, pa.ArrowInvalid):
        return {}
    if not table.schema.equals(_SCHEMA):
        return {}
    columns = table.to_pydict()
    rows = zip(*(columns[name] for name in _SCHEMA.names), strict=True)
    return {
        path: (_State(size, mtime, ctime), ImageFacts(w, h, digest)) for path, size, mtime, ctime, w, h, digest in rows
    }


def _write(record: Path, known: _Known) -> None:
    states, facts = [each[0] for each in known.values()], [each[1] for each in known.values()]
    columns = [
        list(known),
        *([getattr(state, name) for state in states] for name in ("bytes", "mtime", "ctime")),
        *([getattr(each, name) for each in facts] for name in ("width", "height", "sha256")),
    ]
    table = pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)], schema=_SCHEMA
    )
    record.parent.mkdir(parents=True, exist_ok=True)
    temporary = record.with_name(f"{record.name}.{os.getpid()}.tmp")
    try:
        pq.write_table(table, temporary)
        temporary.replace(record)
    finally:
        temporary.unlink(missing_ok=True)


def _listed(folder: Path, problems: list[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / UNREADABLE_FILE).write_text("\n".join(problems) + "\n", encoding="utf-8")
    return folder / UNREADABLE_FILE
