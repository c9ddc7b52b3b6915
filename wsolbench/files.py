"""Write files and directories so that they are whole or not there; read them with their digest checked; lock.

Nothing here knows what a file means. A temporary file has a name of its own, ``.<name>.<random>.tmp``, beside its
target, so that two processes never write into one; git and DVC pass such names over. Where a function takes a ``cure``,
that says what to do about a file that is missing or damaged, and ends the message: ``train the run again``.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from wsolbench.errors import DataError, StorageError, WsolbenchError, shortened

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = [
    "OF_THE_DISK",
    "bytes_sha256",
    "check_record",
    "file_sha256",
    "locked",
    "open_regular",
    "parquet_bytes",
    "parse_file",
    "read_file",
    "read_parquet",
    "reason",
    "replace_directory",
    "replacing",
    "with_digest",
    "write_bytes",
    "write_text",
    "writing",
]

OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
"""Numbers of an ``OSError`` that only the user can do something about."""
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux
_DIGEST_KEY = "sha256"
T = TypeVar("T")


def bytes_sha256(content: bytes) -> str:
    """Return the hex sha256 of some bytes."""
    return hashlib.sha256(content).hexdigest()


def file_sha256(path: Path, cure: str = "restore it") -> str:
    """Return the hex sha256 of a file; raises as :func:`open_regular`."""
    with open_regular(path, cure) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def open_regular(path: Path, cure: str = "restore it") -> BufferedReader:
    """Open a regular file (or a link to one) to read, and nothing else: a pipe or a device would block, or never end.

    Raises:
        DataError: the file is missing, is no regular file, or cannot be opened; the message names it.
    """
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise DataError(f"{path} is missing; {cure}") from None
    except (OSError, ValueError) as error:  # the latter: a zero byte in the name
        raise DataError(f"{path} cannot be read ({reason(error)}); {cure}") from None
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise DataError(f"{path} is not a regular file; {cure}")
    return open(number, "rb")  # noqa: PTH123 - of a number


def read_file(path: Path, cure: str, sha256: str | None = None) -> bytes:
    """Return what a stored file holds; with a digest, only if it is the one that was recorded.

    Raises:
        DataError: the file is missing, unreadable, or not the recorded one; the message names it.
    """
    with open_regular(path, cure) as stream:
        try:
            content = stream.read()
        except OSError as error:
            raise DataError(f"{path} cannot be read ({reason(error)}); {cure}") from None
    if sha256 is not None and bytes_sha256(content) != sha256:
        raise DataError(
            f"{path} is damaged (its sha256 is {bytes_sha256(content)[:12]}..., recorded is {sha256[:12]}...); {cure}"
        )
    return content


def parse_file(path: Path, parse: Callable[[bytes], T], cure: str, sha256: str | None = None) -> T:
    """Return what a parser makes of a stored file, or say that the file is damaged, whatever the parser raises.

    Args:
        path: the file.
        parse: makes something of its content; it does nothing else, since all that it raises is taken for damage.
        cure: what to do where it is missing or damaged.
        sha256: hex digest that was recorded when it was written; None where there is none.

    Raises:
        DataError: the file cannot be read or parsed; the message is one line and names it. A
            :class:`~wsolbench.errors.WsolbenchError` of the parser goes through.
    """
    content = read_file(path, cure, sha256)
    try:
        return parse(content)
    except WsolbenchError:
        raise
    except Exception as error:  # noqa: BLE001 - of numpy, zipfile, Arrow, YAML and so on, or a lack of memory
        raise DataError(f"{path} is damaged ({reason(error)}); {cure}") from None


def parquet_bytes(frame: pd.DataFrame) -> bytes:
    """Return a table as a small Parquet file, without its index; equal tables give equal bytes.

    Bytes of floating-point numbers are stored by their place, since hardly a number occurs twice, and neither
    statistics nor schemas of Arrow and pandas are stored: the file is a third smaller.
    """
    import pandas as pd  # noqa: PLC0415 - slow
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import parquet  # noqa: PLC0415

    table = pa.Table.from_pandas(frame, preserve_index=False, nthreads=1).replace_schema_metadata(None)
    stream = pa.BufferOutputStream()
    parquet.write_table(
        table,
        stream,
        compression="zstd",
        use_dictionary=False,
        use_byte_stream_split=[name for name in frame if pd.api.types.is_float_dtype(frame[name])],
        write_statistics=False,
        write_page_checksum=True,
        store_schema=False,
    )
    content: bytes = stream.getvalue().to_pybytes()
    return content


def read_parquet(source: Path | bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the table of a Parquet file, read in the calling thread.

    ``pyarrow.parquet.read_table`` and ``pandas.read_parquet`` start Arrow's pools of threads, even when told to use
    none. A process that ends while such a thread starts is aborted now and then ("terminate called without an active
    exception"), after its work is done but with a failing exit status.

    Args:
        source: the file, or what it holds.
        columns: those to read, by default all.

    Raises:
        OSError: the file is missing or cannot be read.
        pa.ArrowException: it is no Parquet file, is damaged, or lacks a column.
    """
    import pyarrow as pa  # noqa: PLC0415 - slow
    from pyarrow import parquet  # noqa: PLC0415

    content = source if isinstance(source, bytes) else source.read_bytes()
    with parquet.ParquetFile(pa.BufferReader(content), page_checksum_verification=True) as file:
        names = file.schema_arrow.names
        if missing := [name for name in columns or () if name not in names]:
            raise pa.ArrowKeyError(f"no column {missing[0]!r}")
        table = file.read(columns=None if columns is None else list(columns), use_threads=False)
    table.validate(full=True)  # texts that are not UTF-8
    return table


def reason(error: Exception) -> str:
    """Return what an exception of Python or a library says, in one line of at most 200 characters."""
    from pydantic import ValidationError  # noqa: PLC0415 - half of the time that `wsolbench --help` takes

    said: object = error
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        said = ": ".join(part for part in (".".join(map(str, first["loc"])), first["msg"]) if part)
    elif isinstance(error, OSError) and error.strerror:
        said = error.strerror
    return shortened(str(said)) or type(error).__name__


def with_digest(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record of plain data with the sha256 of its content as a further entry, ``sha256``."""
    plain = {key: value for key, value in record.items() if key != _DIGEST_KEY}
    return {**plain, _DIGEST_KEY: bytes_sha256(json.dumps(plain, sort_keys=True).encode())}


def check_record(record: Any, path: Path, cure: str) -> dict[str, Any]:
    """Return a record that was read from ``path``, if it is what :func:`with_digest` returned when it was written.

    Raises:
        DataError: it is not.
    """
    try:
        whole = isinstance(record, dict) and with_digest(record)[_DIGEST_KEY] == record.get(_DIGEST_KEY)
    except (TypeError, ValueError):  # keys or values that JSON does not have
        whole = False
    if not whole:
        raise DataError(f"{path} is damaged (its content is not what its digest says); {cure}")
    return dict(record)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what goes wrong with disk or rights while ``path`` is written into a StorageError that names it."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written ({reason(error)}); make room, or see to it that you may write there"
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; what was written there replaces ``path`` when the context ends well.

    Directories above are made. The content reaches the disk before the rename. After an error, nothing is left.
    """
    temporary = _beside(path, "tmp")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
            temporary.replace(path)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that it holds the old content or the new, whole, whenever the process ends."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, line ends as they are, as :func:`write_bytes` does."""
    write_bytes(path, text.encode())


def replace_directory(new: Path, target: Path) -> None:
    """Put a finished directory of the same file system where an older one may be, by one rename; remove the older one.

    Where the file system cannot exchange two names (NFS, systems other than Linux), the older one is renamed first: a
    process that is killed just then leaves none in its place, but never a part of one.
    """
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(target):
            new.rename(target)
            return
        old = new
        if not _exchange(new, target):
            old = _beside(target, "old")
            target.rename(old)
            new.rename(target)
        shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()


@contextmanager
def locked(path: Path, refuse: WsolbenchError | None = None) -> Iterator[IO[str]]:
    """Hold a lock that the operating system lets go when the process ends; children do not inherit it.

    Args:
        path: file to lock, made if need be, with the directories above; it stays, and is yielded open.
        refuse: raised at once where another process (or another part of this one) holds the lock; None waits.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = path.open("a+", encoding="utf-8")
    with opened as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | (0 if refuse is None else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise refuse or error from None
        _held.add(stream)
        try:
            yield stream
        finally:
            _held.discard(stream)


_held: set[IO[str]] = set()


def _let_go() -> None:
    """Close a parent's locks in its forked child: a loader's worker that outlives its trainer must not hold them."""
    for stream in _held:
        stream.close()


os.register_at_fork(after_in_child=_let_go)


def _beside(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.{kind}")


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step, and return whether system and file system could."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):  # no Linux, or an old libc
        return False
    names = _AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other)
    return bool(renameat2(*names, _RENAME_EXCHANGE) == 0)
