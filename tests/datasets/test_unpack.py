"""Archives become whole directories or none, and write nowhere else."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from wsolbench.acquire import unpack as module
from wsolbench.acquire.unpack import UNPACKING, unpack
from wsolbench.errors import DataError, StorageError

FILES = {"birds/a/1.jpg": b"one" * 999, "birds/a/2.jpg": b"two", "birds/b/3.jpg": b"", "notes.txt": b"n"}


def tar_of(path: Path, files: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def zip_of(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return path


def found_in(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def one_of(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz", "zip"])
def test_all_files_arrive_as_they_are(tmp_path: Path, mode: str) -> None:
    archive = tmp_path / "archive"
    zip_of(archive, FILES) if mode == "zip" else tar_of(archive, FILES, mode)
    unpack(archive, tmp_path / "all")
    assert found_in(tmp_path / "all") == FILES
    unpack(archive, tmp_path / "birds", inner="birds")
    below = {name.removeprefix("birds/"): content for name, content in FILES.items() if name.startswith("birds")}
    assert found_in(tmp_path / "birds") == below
    assert one_of(tmp_path) == ["all", "archive", "birds"]


def test_a_top_directory_that_holds_everything_is_left_out(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "a.tar", {"v0.7/0/x.jpeg": b"x", "v0.7/1/y.jpeg": b"y"}, "w")
    unpack(archive, tmp_path / "v2")
    assert found_in(tmp_path / "v2") == {"0/x.jpeg": b"x", "1/y.jpeg": b"y"}


@pytest.mark.parametrize("note", ["._birds", ".DS_Store", "__MACOSX/._1.jpg"])
def test_a_top_directory_is_left_out_beside_what_a_mac_packs(tmp_path: Path, note: str) -> None:
    birds = {name: content for name, content in FILES.items() if name.startswith("birds")}
    unpack(zip_of(tmp_path / "archive", {note: b"mac", **birds}), tmp_path / "found")
    assert found_in(tmp_path / "found") == {name.removeprefix("birds/"): birds[name] for name in birds}


def test_a_tar_of_tars_becomes_a_directory_of_each(tmp_path: Path) -> None:
    inner = {f"n0{k}.tar": tar_of(tmp_path / f"n0{k}.tar", {f"{k}.JPEG": bytes([k])}, "w").read_bytes() for k in (1, 2)}
    archive = tar_of(tmp_path / "train.tar", inner, "w")
    unpack(archive, tmp_path / "train", nested=True)
    assert found_in(tmp_path / "train") == {"n01/1.JPEG": b"\x01", "n02/2.JPEG": b"\x02"}
    unpack(archive, tmp_path / "as it is")
    assert found_in(tmp_path / "as it is") == inner


@pytest.mark.parametrize("pack", [tar_of, zip_of])
@pytest.mark.parametrize("name", ["../out", "a/../../out", "/tmp/out", "a\\..\\..\\out"])
def test_nothing_is_written_outside(tmp_path: Path, pack: Callable[..., Path], name: str) -> None:
    (tmp_path / "below").mkdir()
    archive = pack(tmp_path / "below" / "archive", {"fine": b"1", name: b"2"})
    with pytest.raises(DataError, match=r"would be written outside the directory; nothing was unpacked"):
        unpack(archive, tmp_path / "below" / "target")
    assert (one_of(tmp_path), one_of(tmp_path / "below")) == (["below"], ["archive"])


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_of_a_tar_are_refused(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        member = tarfile.TarInfo("trap")
        member.type, member.linkname = kind, "/etc/passwd"
        tar.addfile(member)
    with pytest.raises(DataError, match="'trap' is a link or a device"):
        unpack(tmp_path / "a.tar", tmp_path / "target")
    assert one_of(tmp_path) == ["a.tar"]


def test_links_of_a_zip_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        link = zipfile.ZipInfo("trap")
        link.external_attr = 0o120777 << 16
        packed.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match="'trap' is a link or a device"):
        unpack(tmp_path / "a.zip", tmp_path / "target")


@pytest.mark.parametrize("pack", [tar_of, zip_of])
def test_an_archive_cannot_grow_without_bound(
    tmp_path: Path, pack: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = pack(tmp_path / "bomb", {"zeros": bytes(3_000_000)})
    assert archive.stat().st_size < 10_000
    monkeypatch.setattr(module, "_ALLOWANCE", 2_000_000)
    with pytest.raises(DataError, match=r"'zeros' takes the files beyond 2\d{6} bytes"):
        unpack(archive, tmp_path / "target")
    assert one_of(tmp_path) == ["bomb"]
    monkeypatch.setattr(module, "_ALLOWANCE", 3_000_000)
    unpack(archive, tmp_path / "target")


@pytest.fixture
def photographs(tmp_path: Path) -> dict[str, bytes]:
    return {f"{k}.jpg": os.urandom(1500) for k in range(4)}  # 512 of header, 1536 of content


@pytest.mark.parametrize("length", [2048, 2 * 2048, 2 * 2048 + 100, 3 * 2048 + 511, 4 * 2048])
@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_without_its_end_block_is_refused(
    tmp_path: Path, photographs: dict[str, bytes], mode: str, length: int
) -> None:
    """Cut at a header, within one, and behind the last file; packed as if that were all."""
    cut = tar_of(tmp_path / "whole", photographs, "w").read_bytes()[:length]
    opened = {"w": open, "w:gz": gzip.open, "w:bz2": bz2.open, "w:xz": lzma.open}[mode]
    with opened(tmp_path / "archive", "wb") as stream:
        stream.write(cut)
    with pytest.raises(DataError, match=r"archive is damaged or no archive"):
        unpack(tmp_path / "archive", tmp_path / "target")
    assert one_of(tmp_path) == ["archive", "whole"]


def test_a_tar_whose_later_header_is_damaged_or_zero_is_refused(tmp_path: Path, photographs: dict[str, bytes]) -> None:
    whole = tar_of(tmp_path / "archive", photographs, "w").read_bytes()
    for block in (b"x" * 512, bytes(512), whole[2048:2148] + b"7" + whole[2149:2560]):
        (tmp_path / "archive").write_bytes(whole[:2048] + block + whole[2560:])
        with pytest.raises(DataError, match=r"archive is damaged or no archive"):
            unpack(tmp_path / "archive", tmp_path / "target")
    (tmp_path / "archive").write_bytes(whole[: 4 * 2048 + 512])  # one end block is enough
    unpack(tmp_path / "archive", tmp_path / "target")
    assert found_in(tmp_path / "target") == photographs


def test_a_tar_in_a_tar_is_read_to_its_end_block(tmp_path: Path, photographs: dict[str, bytes]) -> None:
    inner = tar_of(tmp_path / "inner", photographs, "w").read_bytes()
    archive = tar_of(tmp_path / "archive", {"n1.tar": inner, "n2.tar": inner[:4096]}, "w")
    with pytest.raises(DataError, match=r"archive is damaged or no archive"):
        unpack(archive, tmp_path / "target", nested=True)


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz", "zip"])
def test_ten_flipped_bytes_of_what_is_compressed_are_noticed(
    tmp_path: Path, photographs: dict[str, bytes], mode: str
) -> None:
    archive = tmp_path / "archive"
    zip_of(archive, photographs) if mode == "zip" else tar_of(archive, photographs, mode)
    whole = archive.read_bytes()
    for place in range(100, len(whole) - 400, len(whole) // 9):  # content that cannot be compressed is stored as it is
        flipped = bytes(byte ^ 0xFF for byte in whole[place : place + 10])
        archive.write_bytes(whole[:place] + flipped + whole[place + 10 :])
        with pytest.raises(DataError, match=r"archive is damaged or no archive"):
            unpack(archive, tmp_path / "target")
    assert one_of(tmp_path) == ["archive"]


@pytest.mark.parametrize("change", [lambda data: data[:-8], lambda data: data[:-3], lambda data: data[:-8] + bytes(8)])
def test_a_gz_file_without_its_checksum_or_with_a_wrong_one_is_refused(
    tmp_path: Path, photographs: dict[str, bytes], change: Callable[[bytes], bytes]
) -> None:
    archive = tar_of(tmp_path / "archive", photographs)
    archive.write_bytes(change(archive.read_bytes()))
    with pytest.raises(DataError, match=r"archive is damaged or no archive"):
        unpack(archive, tmp_path / "target")
    assert one_of(tmp_path) == ["archive"]


def test_a_file_that_is_packed_twice_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for content in (b"1", b"22"):
            member = tarfile.TarInfo("same")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    with pytest.raises(DataError, match="'same' is packed twice"):
        unpack(tmp_path / "a.tar", tmp_path / "target")
    assert one_of(tmp_path) == ["a.tar"]


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tar_of(tmp_path / "archive", FILES)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", full)
        with pytest.raises(StorageError, match=r"archive cannot be unpacked to .*No space left"):
            unpack(archive, tmp_path / "target")
    assert one_of(tmp_path) == ["archive"]
    unpack(archive, tmp_path / "target")


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    with pytest.raises(DataError, match="target is there already; remove it"):
        unpack(tar_of(tmp_path / "archive", FILES), tmp_path / "target")


def test_an_archive_without_the_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no directory 'fish'"):
        unpack(tar_of(tmp_path / "archive", FILES), tmp_path / "fish", inner="fish")
    assert one_of(tmp_path) == ["archive"]


def test_killed_while_unpacking_it_starts_anew(tmp_path: Path) -> None:
    """SIGKILL in the middle leaves a directory that nobody takes for whole, and that the next call replaces."""
    content = {f"{k}.jpg": os.urandom(1000) for k in range(400)}
    archive = tar_of(tmp_path / "archive.tar", content, "w")
    code = (
        "import shutil, sys, time\nfrom pathlib import Path\nfrom wsolbench.acquire import unpack as m\n"
        "copy = shutil.copyfileobj\n"
        "def slow(*a, **k):\n    time.sleep(0.005)\n    copy(*a, **k)\n"
        "shutil.copyfileobj = slow\n"
        "m.unpack(Path(sys.argv[1]), Path(sys.argv[2]))\n"
    )
    target = tmp_path / "target"
    unfinished = tmp_path / f"target{UNPACKING}"
    process = subprocess.Popen([sys.executable, "-c", code, str(archive), str(target)])
    while not (unfinished.is_dir() and len(list(unfinished.iterdir())) > 20):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert unfinished.is_dir()
    assert not target.exists()
    unpack(archive, target)
    assert found_in(target) == content
    assert one_of(tmp_path) == ["archive.tar", "target"]
