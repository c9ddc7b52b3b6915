"""Fetch a file, resuming after a break, and take it only if it is the right one. Imports no torch."""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import requests

from wsolbench.errors import DataError, StorageError
from wsolbench.files import writing
from wsolbench.runs.progress import meter

__all__ = ["fetch", "verify"]

_CHUNK = 2**16  # bytes; at most as much is lost when a connection breaks
_MEBIBYTE = 2**20
_MOST = 2**34  # bytes of an answer whose length is not known from anywhere; what is larger has a published size
_TIMEOUT = (10, 60)  # seconds to connect, and between two pieces
_ATTEMPTS = 4
_PAUSE = 1.0  # seconds, doubled with every attempt
_BROKEN = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError, EOFError)


def fetch(
    urls: str | Sequence[str],
    target: Path,
    *,
    size: int | None = None,
    sha256: str | None = None,
    md5: str | None = None,
) -> None:
    """Download a file from the first address that gives it; it appears when it is whole and verified.

    What was received is kept beside it as ``<name>.part``; a later call goes on from there where the server allows it.

    Raises:
        DataError: no address gave the file, or what it gave has another size or digest, both of which are named.
        StorageError: the disk has no room for it, or does not take it.
    """
    if target.is_file() and (size or sha256 or md5):
        if verify(target, size=size, sha256=sha256, md5=md5) is None:
            return
        target.unlink()
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    problems = []
    for url in [urls] if isinstance(urls, str) else urls:
        try:
            for attempt in range(_ATTEMPTS):
                try:
                    _receive(url, part, target.name, size, has_digest=bool(sha256 or md5))
                    break
                except _BROKEN:
                    if attempt == _ATTEMPTS - 1:
                        raise
                    time.sleep(_PAUSE * 2**attempt)
            problem = verify(part, size=size, sha256=sha256, md5=md5)
        except DataError as error:
            problem = str(error)
        except (requests.RequestException, EOFError) as error:
            problems.append(f"{url}: {_reason(error)}")
            continue
        if problem is None:
            part.replace(target)
            return
        part.unlink(missing_ok=True)
        problems.append(f"{url}: {problem}")
    listed = "\n".join(f"  {problem}" for problem in problems)
    raise DataError(f"{target.name} could not be fetched:\n{listed}")


def _receive(url: str, part: Path, name: str, size: int | None, *, has_digest: bool) -> None:
    """Receive the file, or what follows the part that is there."""
    have = part.stat().st_size if part.is_file() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
        if have and response.status_code == requests.codes.requested_range_not_satisfiable:
            if have == (_stated(response, "Content-Range", r"bytes \*/([0-9]+)") or size):
                return  # everything is there; the digest, if there is one, decides
            part.unlink()
            raise EOFError(f"the server has no more than the {have} bytes of an earlier attempt, which is removed")
        response.raise_for_status()
        start = have if response.status_code == requests.codes.partial_content else 0
        if start and start != _stated(response, "Content-Range", r"bytes ([0-9]+)-.*"):
            part.unlink()
            raise EOFError(f"the server sent another part of the file than what follows byte {have}")
        length = _stated(response, "Content-Length", r"([0-9]+)")
        total = size if length is None else start + length
        if size is not None and total != size:
            raise DataError(f"has {total} bytes, expected are {size}")
        if total is None and not has_digest and response.headers.get("Transfer-Encoding", "").lower() != "chunked":
            raise DataError("the server does not say where the file ends, so that a broken connection goes unnoticed")
        free = shutil.disk_usage(part.parent).free
        if total is not None and total - start > free:
            raise StorageError(f"{name} has {total} bytes, and the disk of {part.parent} has {free} free; make room")
        with writing(part):
            opened = part.open("r+b" if start else "wb")
        with opened as stream, meter(name, (total or 0) // _MEBIBYTE, "MiB") as progress:
            stream.seek(start)
            stream.truncate()
            progress.advance(start // _MEBIBYTE)
            done, most = start, _MOST if total is None else total
            for piece in response.iter_content(_CHUNK):
                progress.advance((done + len(piece)) // _MEBIBYTE - done // _MEBIBYTE)
                done += len(piece)
                if done > most:
                    raise DataError(f"the server sends more than the {most} bytes that it should have at most")
                with writing(part):  # and no more: what requests raises is an OSError, too
                    stream.write(piece)
    if total is not None and done < total:
        raise EOFError(f"the connection ended after {done} of {total} bytes")


def _stated(response: requests.Response, header: str, form: str) -> int | None:
    """Return the number in a header of the answer, None where there is none in this form."""
    found = re.fullmatch(form, response.headers.get(header, "").strip())
    return int(found[1]) if found else None


def verify(path: Path, *, size: int | None = None, sha256: str | None = None, md5: str | None = None) -> str | None:
    """Return what is wrong with a file, with what was found and what was expected, or None; see :func:`fetch`."""
    found = path.stat().st_size
    if size is not None and found != size:
        return f"has {found} bytes, expected are {size}"
    for name, wanted in (("sha256", sha256), ("md5", md5)):
        if wanted:
            digest = hashlib.new(name, usedforsecurity=False)
            with path.open("rb") as stream, meter(f"checking {path.name}", found // _MEBIBYTE, "MiB") as progress:
                while piece := stream.read(_MEBIBYTE):
                    digest.update(piece)
                    progress.advance()
            if not digest.hexdigest().startswith(wanted.lower()):
                return f"{name} is {digest.hexdigest()}, expected is {wanted}"
    return None


def _reason(error: Exception) -> str:
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}"
    return "no connection" if isinstance(error, requests.ConnectionError) else str(error)
