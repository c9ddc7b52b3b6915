"""Archives to directories that are either whole or not there.

An archive is unpacked beside its target, under a name that nothing reads, and renamed when its last file is written.
What an archive may not do: write outside the directory, make links or devices, grow beyond a bound, or end before its
end: a tar ends in a block of zeros, and compressed files in a checksum.
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
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Any, Self, cast

from wsolbench.errors import DataError, StorageError, WsolbenchError, shortened
from wsolbench.files import OF_THE_DISK, open_regular, reason
from wsolbench.runs.progress import Meter, meter

__all__ = ["UNPACKING", "unpack"]

UNPACKING = ".unpacking"
"""What a directory's name ends in while it is being filled; such a one is never read, and made anew."""

_MEBIBYTE = 2**20
_MOST_FILES = 5_000_000
_GROWTH = 20  # times the archive's size: photographs hardly shrink, lists by less than this
_ALLOWANCE = 2**30  # bytes that any archive may hold, so that the factor does not bind small ones
_XZ = b"\xfd7zXZ\x00"


def unpack(
    archive: Path, target: Path, *, inner: str | None = None, nested: bool = False, most_bytes: int | None = None
) -> None:
    """Unpack a tar (plain, gz, bz2, xz) or zip archive so that ``target`` appears whole or not at all.

    Args:
        archive: the file.
        target: directory to make; it must not exist.
        inner: the directory in it that is to become ``target``; None for all that is in it, or, where that is one
            directory and nothing else, for what is in that.
        nested: unpack tars in the tar, too, each to a directory of its name, as the training images of ILSVRC come.
        most_bytes: what the files may have together; None for 20 times the archive's size plus 1 GiB.

    Raises:
        DataError: the archive is damaged, holds something that must not be written, grows beyond the bound or lacks
            ``inner``. Nothing is left then but the archive.
        StorageError: the disk is full, or ``target`` cannot be written.
    """
    if target.exists():
        raise DataError(f"{target} is there already; remove it to unpack {archive.name} again")
    temporary = target.with_name(target.name + UNPACKING)
    shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed
    try:
        temporary.mkdir(parents=True)
        with open_regular(archive, "get it again") as stream:
            size = os.fstat(stream.fileno()).st_size
            bound = _GROWTH * size + _ALLOWANCE if most_bytes is None else most_bytes
            with meter(f"unpacking {archive.name}", size // _MEBIBYTE, "MiB") as progress:
                _Writer(archive, stream, bound, progress).write_all(temporary, nested=nested)
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


def _decompressed(stream: BufferedReader) -> Any:
    """Return what a tar is read from; each of these readers checks its trailer at its end, and tarfile's do not."""
    start = stream.peek(len(_XZ))
    if start.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=stream)
    if start.startswith(b"BZh"):
        return bz2.BZ2File(stream)
    return lzma.LZMAFile(stream) if start.startswith(_XZ) else stream


class _Writer:
    """Writes the members of one archive, counting what they come to."""

    def __init__(self, archive: Path, stream: BufferedReader, bound: int, progress: Meter) -> None:
        self._archive, self._stream, self._bound, self._progress = archive, stream, bound, progress
        self._bytes = self._files = self._shown = 0

    def write_all(self, root: Path, *, nested: bool) -> None:
        if zipfile.is_zipfile(self._stream):
            self._write_zip(root)
        else:
            self._stream.seek(0)
            self._write_tar(self._stream, root, nested=nested)

    def _write_tar(self, stream: BufferedReader, root: Path, *, nested: bool) -> None:
        # Read as a stream, so that a compressed archive is gone through once.
        with tarfile.open(fileobj=_decompressed(stream), mode="r|", tarinfo=_Header) as tar:
            for member in tar:
                path = self._accepted(root, member.name, member.size, plain=member.isreg() or member.isdir())
                content = tar.extractfile(member) if nested and path.suffix == ".tar" else None
                if content is None:
                    tar.extract(member.replace(name=str(path)), root, set_attrs=False, filter="data")
                else:
                    self._write_tar(cast("BufferedReader", content), root / path.with_suffix(""), nested=False)
            while rest := tar.fileobj.read(_MEBIBYTE):  # to the end, where a checksum may be
                if rest.strip(b"\0"):
                    raise tarfile.ReadError("there is something behind its end block")

    def _write_zip(self, root: Path) -> None:
        with zipfile.ZipFile(self._stream) as packed:
            for member in packed.infolist():
                kind = stat.S_IFMT(member.external_attr >> 16)
                plain = kind in {0, stat.S_IFREG} or (member.is_dir() and kind == stat.S_IFDIR)
                path = self._accepted(root, member.filename, member.file_size, plain=plain)
                member.filename = f"{path}/" if member.is_dir() else str(path)
                packed.extract(member, root)

    def _accepted(self, root: Path, name: str, size: int, *, plain: bool) -> PurePosixPath:
        """Return where a member goes below ``root``; no more is read of it than the size that its header states.

        Raises:
            DataError: it must not be written.
        """
        path = PurePosixPath(name.replace("\\", "/"))
        self._files, self._bytes = self._files + 1, self._bytes + size
        why = None
        if path.is_absolute() or ".." in path.parts:
            why = "would be written outside the directory"
        elif not plain:
            why = "is a link or a device"
        elif (root / path).is_file():
            why = "is packed twice"
        elif self._files > _MOST_FILES:
            why = f"is one more than {_MOST_FILES} files"
        elif self._bytes > self._bound:
            why = f"takes the files beyond {self._bound} bytes"
        if why is not None:
            raise DataError(f"{self._archive}: '{shortened(name)}' {why}; nothing was unpacked")
        read = self._stream.tell() // _MEBIBYTE
        self._progress.advance(max(read - self._shown, 0))
        self._shown = max(read, self._shown)
        return path
