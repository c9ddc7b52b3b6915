"""Archives to directories that are either whole or not there.

An archive is unpacked beside its target, under a name that nothing reads, and renamed when its last file is written.
What an archive may not do: write outside the directory, make links or devices, grow beyond a bound, or end before its
end: a tar ends in a block of zeros, and compressed files in a checksum.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, Any, NoReturn, Self

from wsolbench.errors import DataError
from wsolbench.runs.progress import Meter, meter

__all__ = ["UNPACKING", "unpack"]

UNPACKING = ".unpacking"
"""What a directory's name ends in while it is being filled; such a one is never read, and made anew."""

_CHUNK = 2**20  # bytes
_MEBIBYTE = 2**20
_MOST_FILES = 5_000_000
_GROWTH = 20  # times the archive's size: photographs hardly shrink, lists by less than this
_ALLOWANCE = 2**30  # bytes that any archive may hold, so that the factor does not bind small ones
_PLAIN = {0, 8}  # file types of Unix, as a zip archive states them: none, or a regular file
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError)  # and OSError without a number


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
        DataError: the archive is damaged, holds something that must not be written, grows beyond the bound, lacks
            ``inner``, or the disk is full. Nothing is left then but the archive.
    """
    if target.exists():
        raise DataError(f"{target} is there already; remove it to unpack {archive.name} again")
    temporary = target.with_name(target.name + UNPACKING)
    shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed
    try:
        temporary.mkdir(parents=True)
        bound = _GROWTH * archive.stat().st_size + _ALLOWANCE if most_bytes is None else most_bytes
        _Writer(archive, temporary, bound, nested=nested).write_all()
        made = _only_directory(temporary) if inner is None else temporary / inner
        if not made.is_dir():
            raise DataError(f"{archive} holds no directory '{inner}'; it is not the archive that is expected")
        made.replace(target)
    except (*_DAMAGED, OSError) as error:
        number = error.errno if isinstance(error, OSError) else None
        if number is None:
            raise DataError(f"{archive} is damaged or no archive ({error}); get it again") from None
        if number == errno.ENOSPC:
            raise DataError(f"the disk of {target.parent} is full; {archive.name} needs more room to unpack") from None
        raise DataError(f"{archive} cannot be unpacked to {target} ({error})") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _only_directory(root: Path) -> Path:
    """Return the directory that everything lies in but for a Mac's own notes, at most one below the root."""
    found = [path for path in root.iterdir() if path.name != "__MACOSX" and not path.name.startswith(".")]
    return found[0] if len(found) == 1 and found[0].is_dir() else root


class _Counted(io.RawIOBase):
    """A file that tells a meter how much of it was read."""

    def __init__(self, stream: IO[bytes], progress: Meter) -> None:
        self._stream, self._progress, self._bytes = stream, progress, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._stream.read(len(buffer))
        buffer[: len(piece)] = piece
        before, self._bytes = self._bytes, self._bytes + len(piece)
        self._progress.advance(self._bytes // _MEBIBYTE - before // _MEBIBYTE)
        return len(piece)


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


def _decompressed(stream: io.BufferedReader) -> io.BufferedIOBase:
    """Return what a tar is read from; each of these readers checks its trailer where it ends."""
    start = stream.peek(len(_XZ))
    if start.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=stream)
    if start.startswith(b"BZh"):
        return bz2.BZ2File(stream)
    if start.startswith(_XZ):
        return lzma.LZMAFile(stream)
    return stream


_XZ = b"\xfd7zXZ\x00"


class _Writer:
    """Writes the members of one archive, counting what they come to."""

    def __init__(self, archive: Path, root: Path, bound: int, *, nested: bool) -> None:
        self._archive, self._root, self._bound, self._nested = archive, root, bound, nested
        self._bytes = self._files = 0

    def write_all(self) -> None:
        size = self._archive.stat().st_size // _MEBIBYTE
        with (
            self._archive.open("rb") as stream,
            meter(f"unpacking {self._archive.name}", size, "MiB") as progress,
        ):
            if zipfile.is_zipfile(stream):
                self._write_zip(stream, progress)
            else:
                stream.seek(0)
                self._write_tar(io.BufferedReader(_Counted(stream, progress), _CHUNK), self._root, nested=self._nested)

    def _write_tar(self, stream: io.BufferedReader, root: Path, *, nested: bool) -> None:
        # Read as a stream, so that a compressed archive is gone through once.
        with tarfile.open(fileobj=_decompressed(stream), mode="r|", tarinfo=_Header) as tar:
            for member in tar:
                path = self._checked(member.name)
                if member.isdir():
                    (root / path).mkdir(parents=True, exist_ok=True)
                    continue
                content = tar.extractfile(member) if member.isreg() else None
                if content is None:
                    self._refuse(member.name, "is a link or a device")
                if nested and path.suffix == ".tar":
                    self._write_tar(content, root / path.with_suffix(""), nested=False)  # type: ignore[arg-type]
                else:
                    self._write(content, root / path, member.name)
            while rest := tar.fileobj.read(_CHUNK):  # to the end, where a checksum may be
                if rest.strip(b"\0"):
                    raise tarfile.ReadError("there is something behind its end block")

    def _write_zip(self, stream: IO[bytes], progress: Meter) -> None:
        done = 0
        with zipfile.ZipFile(stream) as packed:
            for member in packed.infolist():
                path = self._checked(member.filename)
                if member.is_dir():
                    (self._root / path).mkdir(parents=True, exist_ok=True)
                elif (member.external_attr >> 28) not in _PLAIN:
                    self._refuse(member.filename, "is a link or a device")
                else:
                    with packed.open(member) as content:
                        self._write(content, self._root / path, member.filename)
                before, done = done, done + member.compress_size
                progress.advance(done // _MEBIBYTE - before // _MEBIBYTE)

    def _checked(self, name: str) -> PurePosixPath:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts:
            self._refuse(name, "would be written outside the directory")
        return path

    def _write(self, content: IO[bytes], path: Path, name: str) -> None:
        self._files += 1
        if self._files > _MOST_FILES:
            self._refuse(name, f"is one more than {_MOST_FILES} files")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as stream:
            while piece := content.read(_CHUNK):
                self._bytes += len(piece)
                if self._bytes > self._bound:
                    self._refuse(name, f"takes the files beyond {self._bound} bytes")
                stream.write(piece)

    def _refuse(self, name: str, why: str) -> NoReturn:
        raise DataError(f"{self._archive}: '{name}' {why}; nothing was unpacked")
