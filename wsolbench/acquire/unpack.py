"""Archives to directories that are either whole or not there.

An archive is unpacked beside its target, under a name that nothing reads, and renamed when its last file is written.
What an archive may not do: write outside the directory or twice to one file, make links or devices, grow beyond a
bound, or end before its end: a tar ends in a block of zeros, and compressed files in a checksum.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, Self, cast

from wsolbench.errors import DataError, StorageError, WsolbenchError, shortened
from wsolbench.files import OF_THE_DISK, open_regular, reason
from wsolbench.runs.progress import meter

__all__ = ["UNPACKING", "unpack"]

UNPACKING = ".unpacking"
"""What a directory's name ends in while it is being filled; such a one is never read, and made anew."""

_MEBIBYTE = 2**20
_MOST_FILES = 5_000_000
_GROWTH = 20  # times the archive's size: photographs hardly shrink, lists by less than this
_ALLOWANCE = 2**30  # bytes that any archive may hold, so that the factor does not bind small ones
_XZ = b"\xfd7zXZ\x00"
_Members = Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]


def unpack(archive: Path, target: Path, *, inner: str | None = None, nested: bool = False) -> None:
    """Unpack a tar (plain, gz, bz2, xz) or zip archive so that ``target`` appears whole or not at all.

    Args:
        archive: the file.
        target: directory to make; it must not exist.
        inner: the directory in it that is to become ``target``; None for all that is in it, or, where that is one
            directory and nothing else, for what is in that.
        nested: unpack tars in the tar, too, each to a directory of its name, as the training images of ILSVRC come.

    Raises:
        DataError: the archive is damaged, holds something that must not be written, grows beyond 20 times its size
            plus 1 GiB, or lacks ``inner``. Nothing is left then but the archive.
        StorageError: the disk is full, or ``target`` cannot be written.
    """
    if target.exists():
        raise DataError(f"{target} is there already; remove it to unpack {archive.name} again")
    temporary = target.with_name(target.name + UNPACKING)
    shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed
    try:
        temporary.mkdir(parents=True)
        with open_regular(archive, "get it again") as stream:
            _write(stream, archive, temporary, nested)
        made = _only_directory(temporary) if inner is None else temporary / inner
        if not made.is_dir():
            raise DataError(f"{archive} holds no directory '{inner}'; it is not the archive that is expected")
        made.replace(target)
    except WsolbenchError:
        raise
    except Exception as error:  # noqa: BLE001 - of tarfile, zipfile and what decompresses
        if isinstance(error, OSError) and error.errno in OF_THE_DISK:
            raise StorageError(f"{archive} cannot be unpacked to {target} ({reason(error)})") from None
        raise DataError(f"{archive} is damaged or no archive ({reason(error)}); get it again") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _only_directory(root: Path) -> Path:
    """Return the directory that everything lies in but for a Mac's own notes, at most one below the root."""
    found = [path for path in root.iterdir() if path.name != "__MACOSX" and not path.name.startswith(".")]
    return found[0] if len(found) == 1 and found[0].is_dir() else root


def _write(stream: BufferedReader, archive: Path, root: Path, nested: bool) -> None:
    """Write all members below ``root``; of each, no more is read than the size that its header states."""
    size, total, seen = os.fstat(stream.fileno()).st_size, 0, 0
    bound = _GROWTH * size + _ALLOWANCE
    members = _of_zip(stream) if zipfile.is_zipfile(stream) else _of_tar(stream, nested)
    stream.seek(0)
    with meter(f"unpacking {archive.name}", size // _MEBIBYTE, "MiB") as progress:
        for number, (member, content) in enumerate(members, 1):
            total += member.size
            path, why = root / member.name, None
            if not (member.isreg() or member.isdir()):
                why = "is a link or a device"
            elif _filtered(member, root) != member.name:
                why = "would be written outside the directory"
            elif path.is_file():
                why = "is packed twice"
            elif number > _MOST_FILES:
                why = f"is one more than {_MOST_FILES} files"
            elif total > bound:
                why = f"takes the files beyond {bound} bytes"
            if why is not None:
                raise DataError(f"{archive}: '{shortened(member.name)}' {why}; nothing was unpacked")
            (path if content is None else path.parent).mkdir(parents=True, exist_ok=True)
            if content is not None:
                with path.open("xb") as target:
                    shutil.copyfileobj(content, target, _MEBIBYTE)
            read = stream.tell() // _MEBIBYTE
            progress.advance(max(read - seen, 0))
            seen = max(read, seen)


def _filtered(member: tarfile.TarInfo, root: Path) -> str | None:
    """Return the name under which tarfile's filter for data would let a member be written below ``root``."""
    try:
        return tarfile.data_filter(member, str(root)).name
    except tarfile.FilterError:
        return None


class _Header(tarfile.TarInfo):
    """A member's header; what tarfile takes for the end of a tar is an error unless it is an end block."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tar)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined] # a block of zeros
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error or 'it ends without an end block'}") from None


def _of_tar(stream: BufferedReader, nested: bool) -> _Members:
    # Read as a stream, so that a compressed archive is gone through once.
    with tarfile.open(fileobj=_decompressed(stream), mode="r|", tarinfo=_Header) as tar:
        for member in tar:
            member.name = member.name.replace("\\", "/")
            content = tar.extractfile(member) if member.isreg() else None
            if nested and content is not None and member.name.endswith(".tar"):
                for each, inner in _of_tar(cast("BufferedReader", content), nested=False):
                    each.name = f"{member.name.removesuffix('.tar')}/{each.name}"
                    yield each, inner
            else:
                yield member, content
        while rest := tar.fileobj.read(_MEBIBYTE):  # to the end, where a checksum may be
            if rest.strip(b"\0"):
                raise tarfile.ReadError("there is something behind its end block")


def _decompressed(stream: BufferedReader) -> Any:
    """Return what a tar is read from; each of these readers checks its trailer at its end, and tarfile's do not."""
    start = stream.peek(len(_XZ))
    if start.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=stream)
    if start.startswith(b"BZh"):
        return bz2.BZ2File(stream)
    return lzma.LZMAFile(stream) if start.startswith(_XZ) else stream


def _of_zip(stream: BufferedReader) -> _Members:
    with zipfile.ZipFile(stream) as packed:
        for info in packed.infolist():
            member, kind = tarfile.TarInfo(info.filename.replace("\\", "/")), stat.S_IFMT(info.external_attr >> 16)
            member.size = info.file_size
            if info.is_dir():
                member.name, member.type = member.name.rstrip("/"), tarfile.DIRTYPE
            elif kind not in {0, stat.S_IFREG}:
                member.type = tarfile.SYMTYPE
            yield member, None if info.is_dir() else packed.open(info)
