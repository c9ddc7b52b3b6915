"""Archives that are damaged, or that nobody packs: unpacked as they were, or named, and never a part of them."""

from __future__ import annotations

import io
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from tests.hostile.damage import answer, exchanged
from tests.hostile.test_inputs import harms_of
from wsolbench.acquire.unpack import unpack
from wsolbench.errors import DataError

FILES: Mapping[str, bytes] = {f"photographs/{k}.jpg": np.random.default_rng(k).bytes(700) for k in range(3)}


def packed(mode: str) -> bytes:
    stream = io.BytesIO()
    if mode == "zip":
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
            for name, content in FILES.items():
                made.writestr(name, content)
        return stream.getvalue()
    with tarfile.open(fileobj=stream, mode=mode) as tar:  # type: ignore[call-overload]
        for name, content in FILES.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def record(key: str, value: str) -> bytes:
    """Return a record of a pax header, which begins with its own length."""
    rest = f" {key}={value}\n".encode()
    length = next(size for size in range(len(rest), len(rest) + 9) if len(str(size)) + len(rest) == size)
    return str(length).encode() + rest


def tar_with(pax: Mapping[str, str] | None = None, name: bytes = b"a", kind: bytes = b"0") -> bytes:
    """Return a tar of one file whose headers say what tarfile itself would not write."""
    header = tarfile.TarInfo("a")
    header.type = kind
    content = header.tobuf(tarfile.USTAR_FORMAT).replace(b"a".ljust(100, b"\0"), name.ljust(100, b"\0"), 1)
    total = sum(content[:148]) + sum(content[156:512]) + 8 * 32
    content = content[:148] + b"%06o\0 " % total + content[156:]
    records = b"".join(record(k, v) for k, v in (pax or {}).items())
    if records:
        extended = tarfile.TarInfo("x")
        extended.type, extended.size = tarfile.XHDTYPE, len(records)
        content = extended.tobuf(tarfile.USTAR_FORMAT) + records.ljust(512, b"\0") + content
    return content + bytes(1024)


def zip_with(**changes: int) -> bytes:
    """Return a zip of one file whose headers, both of them, have other flags, version or method."""
    content = bytearray(packed("zip"))
    places = {"version": (4, 6), "flags": (6, 8), "method": (8, 10)}
    for signature, key in ((b"PK\3\4", 0), (b"PK\1\2", 1)):
        start = content.find(signature)
        while start >= 0:
            for name, value in changes.items():
                struct.pack_into("<H", content, start + places[name][key], value)
            start = content.find(signature, start + 4)
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    {
        "pax path with NUL": tar_with({"path": "a\0b"}),
        "pax sparse": tar_with({"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "a,b"}),
        "pax sparse numbers": tar_with({"GNU.sparse.map": "a,b"}),
        "pax size": tar_with({"size": "abc"}),
        "pax negative size": tar_with({"size": "-5"}),
        "name that is not UTF-8": tar_with(name=b"\xff\xfe"),
        "long name": tar_with({"path": "a" * 300}),
        "deep": tar_with({"path": "a/" * 3000}),
        "old GNU sparse": tar_with(kind=tarfile.GNUTYPE_SPARSE),
        "encrypted zip": zip_with(flags=1),
        "zip version 255": zip_with(version=255),
        "zip method 99": zip_with(method=99),
        "zip method 14": zip_with(method=14),
        "zip method 12": zip_with(method=12),
        "patched zip": zip_with(flags=32),
        "strongly encrypted zip": zip_with(flags=64),
        "zip name of bad UTF-8": zip_with(flags=0x800).replace(b"photographs", b"\xff\xfe\xfdtographs"),
        "zip name with NUL": packed("zip").replace(b"photographs", b"photo\0raphs"),
        "nothing but an end": bytes(1024),
    }.items(),
    ids=lambda each: each[0],
)  # fmt: skip
def test_an_archive_that_nobody_packs_is_unpacked_or_named(tmp_path: Path, content: tuple[str, bytes]) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(content[1])
    _, error = answer(lambda: unpack(archive, tmp_path / "target"))
    if error is not None:
        assert isinstance(error, DataError)
        assert "archive" in str(error)
    assert sorted(path.name for path in tmp_path.iterdir()) == (["archive"] if error else ["archive", "target"])


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz", "zip"])
def test_a_damaged_archive_is_unpacked_as_it_was_or_named(tmp_path: Path, mode: str) -> None:
    archive, target, content = tmp_path / "archive", tmp_path / "target", packed(mode)
    archive.write_bytes(content)
    found = 0
    for harm in harms_of(content, 60, 2):
        with exchanged(archive, harm):
            _, error = answer(lambda: unpack(archive, target))
        assert error is None or (isinstance(error, DataError) and "archive" in str(error)), error
        if target.is_dir():
            assert error is None
            kept = {path.name: path.read_bytes() for path in target.rglob("*.jpg")}
            # A plain tar has checksums of its headers only; what is compressed, of everything.
            assert mode == "w" or set(kept.values()) <= set(FILES.values())
            found += 1
            shutil.rmtree(target)
    assert found < 40
