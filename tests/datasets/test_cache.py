"""Pictures from a cache are those from the files, for everybody, and a broken cache is never one."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wsolbench.config.paths import Layout
from wsolbench.config.settings import RuntimeSettings
from wsolbench.data import cache as module
from wsolbench.data.cache import Pictures, Reading, pictures_of
from wsolbench.data.dataset import Item, Split
from wsolbench.data.images import resize
from wsolbench.errors import DataError
from wsolbench.files import file_sha256, locked

SIDE, COUNT = 16, 7


def noise(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (20 + number, 30, 3), np.uint8)


@pytest.fixture
def split(tmp_path: Path) -> Split:
    items = []
    for number in range(COUNT):
        path = tmp_path / "images" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(noise(number)).save(path)
        items.append(Item(path.name, path.name, 0, 30, 20 + number, "train", file_sha256(path)))
    return Split("train", items, ["only"], "digest")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def reading(folder: Path, threads: int = 2) -> Reading:
    return Reading(threads, folder, 10**9)


def all_of(pictures: Pictures) -> np.ndarray:
    return np.stack([pictures[number] for number in range(COUNT)])


def is_cached(pictures: Pictures) -> bool:
    return isinstance(pictures, np.ndarray)


EXPECTED = np.stack([resize(noise(number), (SIDE, SIDE)) for number in range(COUNT)])


@pytest.mark.parametrize("threads", [1, 3])
def test_cached_and_direct_pictures_are_those_of_the_files(
    split: Split, tmp_path: Path, folder: Path, threads: int
) -> None:
    root = tmp_path / "images"
    cached = pictures_of(split, root, SIDE, reading(folder, threads))
    assert is_cached(cached)
    assert np.array_equal(all_of(cached), EXPECTED)
    for direct in (Reading(threads), Reading(threads, folder, COUNT * SIDE * SIDE * 3 - 1)):
        found = pictures_of(split, root, SIDE, direct)
        assert not is_cached(found)
        assert np.array_equal(all_of(found), EXPECTED)
    assert is_cached(pictures_of(split, root, SIDE, Reading(1, folder, COUNT * SIDE * SIDE * 3)))


def test_a_cache_is_built_once_and_read_without_the_files(split: Split, tmp_path: Path, folder: Path) -> None:
    pictures_of(split, tmp_path / "images", SIDE, reading(folder))
    again = pictures_of(split, tmp_path / "gone", SIDE, reading(folder))
    assert np.array_equal(all_of(again), EXPECTED)
    with pytest.raises((ValueError, OSError)):
        again[0][:] = 0  # shared by all runs: nobody may write
    assert {path.suffix for path in folder.iterdir()} == {".u8", ".json", ".lock"}


def test_other_content_sizes_and_libraries_have_other_caches(
    split: Split, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "images"
    pictures_of(split, root, SIDE, reading(folder))
    pictures_of(split, root, SIDE + 1, reading(folder))
    pictures_of(replace(split, items=split.items[::-1]), root, SIDE, reading(folder))
    pictures_of(replace(split, items=split.items[:3]), root, SIDE, reading(folder))
    pictures_of(replace(split, name="test", class_names=["a", "b"]), root, SIDE, reading(folder))  # the same pictures
    assert len(list(folder.glob("*.u8"))) == 4
    monkeypatch.setattr("PIL.__version__", "0.0.1")
    pictures_of(split, root, SIDE, reading(folder))
    assert len(list(folder.glob("*.u8"))) == 5


def test_an_image_that_changed_is_refused_while_the_cache_is_built(split: Split, tmp_path: Path, folder: Path) -> None:
    Image.fromarray(255 - noise(4)).save(tmp_path / "images" / "4.png")
    with pytest.raises(DataError, match=r"4\.png: the file has changed since prepare"):
        pictures_of(split, tmp_path / "images", SIDE, reading(folder))
    assert [path.suffix for path in folder.iterdir()] == [".lock"]


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0", lambda data: b""])
def test_a_cache_of_another_size_is_built_anew(
    split: Split, tmp_path: Path, folder: Path, change: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "images"
    pictures_of(split, root, SIDE, reading(folder))
    (file,) = folder.glob("*.u8")
    whole = file.read_bytes()
    file.write_bytes(change(whole))
    assert np.array_equal(all_of(pictures_of(split, root, SIDE, reading(folder))), EXPECTED)
    assert caplog.text.count("is damaged; it is built anew") == 1
    assert file.read_bytes() == whole


def test_a_bit_that_flipped_anywhere_is_noticed_by_the_next_run(
    split: Split, tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "images"
    pictures_of(split, root, SIDE, reading(folder))
    (file,) = folder.glob("*.u8")
    whole = file.read_bytes()
    for place in (*range(0, len(whole), 499), len(whole) - 1):
        with file.open("r+b") as stream:
            stream.seek(place)
            stream.write(bytes([whole[place] ^ 4]))
        os.utime(file, (place, place))
        caplog.clear()
        assert np.array_equal(all_of(pictures_of(split, root, SIDE, reading(folder))), EXPECTED)
        assert caplog.text.count("is damaged; it is built anew") == 1


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"size": 0, "time": 0, "crc32": 0}'])
def test_without_its_record_a_cache_is_built_anew(split: Split, tmp_path: Path, folder: Path, content: bytes) -> None:
    for _ in range(2):
        assert np.array_equal(all_of(pictures_of(split, tmp_path / "images", SIDE, reading(folder))), EXPECTED)
        (record,) = folder.glob("*.json")
        record.write_bytes(content)


def test_a_copy_is_checked_once(split: Split, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures_of(split, tmp_path / "images", SIDE, reading(folder))
    (file,) = folder.glob("*.u8")
    os.utime(file, (1, 1))
    pictures_of(split, tmp_path / "gone", SIDE, reading(folder))
    monkeypatch.setattr(module, "_crc32", lambda _: pytest.fail("it was read again"))
    pictures_of(split, tmp_path / "gone", SIDE, reading(folder))


def test_a_whole_cache_is_not_locked_and_may_be_a_copy(split: Split, tmp_path: Path, folder: Path) -> None:
    pictures_of(split, tmp_path / "images", SIDE, reading(folder))
    ((lock,), (file,)) = folder.glob("*.lock"), folder.glob("*.u8")
    os.utime(file, (1, 1))  # as a copy on another machine
    with locked(lock):  # of a process that builds it, too, and has not yet seen that it is there
        assert np.array_equal(all_of(pictures_of(split, tmp_path / "gone", SIDE, reading(folder))), EXPECTED)


@pytest.mark.parametrize(("workers", "expected"), [("auto", 6), (3, 3), (0, 1)])
def test_images_are_decoded_by_the_workers_or_all_cores_whatever_the_networks_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int | str, expected: int
) -> None:
    monkeypatch.setattr(module, "cpu_count", lambda: 6)
    for threads in (1, 8):
        assert Reading.of(RuntimeSettings(threads=threads, workers=workers), Layout(tmp_path)).workers == expected


def test_of_several_runs_on_a_machine_each_decodes_with_its_share_of_the_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")  # as the launcher says
    assert Reading.of(RuntimeSettings(), Layout(tmp_path)).workers == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_means_no_cache(
    split: Split,
    tmp_path: Path,
    folder: Path,
    number: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(module.os, "posix_fallocate", full)
    found = pictures_of(split, tmp_path / "images", SIDE, reading(folder))
    assert np.array_equal(all_of(found), EXPECTED)
    assert not is_cached(found)
    assert "its images are decoded in every epoch" in caplog.text
    assert [path.suffix for path in folder.iterdir()] == [".lock"]


BUILD = """
import sys, time
from pathlib import Path
import pyarrow.parquet
from wsolbench.data import cache
from wsolbench.data.index import read_split
direct = cache._Direct.__getitem__
def slow(self, index):
    time.sleep(float(sys.argv[3]))
    return direct(self, index)
cache._Direct.__getitem__ = slow
index, folder = Path(sys.argv[1]), Path(sys.argv[2])
print(cache.pictures_of(read_split(index, "test"), index, 48, cache.Reading(1, folder, 10**9))[0].sum())
"""


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Return a prepared data set that another process can read."""
    from wsolbench.data.index import write_index
    from wsolbench.datasets.shapes import Shapes

    shapes, directory = Shapes(image_size=48, num_classes=2, train=1, val=1, test=40), tmp_path / "index"
    write_index(directory, shapes.contents(directory), shapes.image_root(directory))
    return directory


def test_killed_while_building_it_is_built_anew(index: Path, folder: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", BUILD, str(index), str(folder), "0.05"])
    while not (folder.is_dir() and list(folder.glob("*.tmp"))):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)  # 40 pictures take two seconds
    process.wait()
    assert {path.suffix for path in folder.iterdir()} == {".lock", ".tmp"}
    from wsolbench.data.index import read_split

    split = read_split(index, "test")
    found = pictures_of(split, index, 48, Reading(1, folder, 10**9))
    direct = pictures_of(split, index, 48, Reading())
    assert all(np.array_equal(found[number], direct[number]) for number in range(len(split)))
    assert {path.suffix for path in folder.iterdir()} == {".lock", ".json", ".u8"}


def test_two_processes_build_it_once(index: Path, folder: Path) -> None:
    command = [sys.executable, "-c", BUILD, str(index), str(folder), "0.02"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    sums = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sums[0] == sums[1] != ""
    assert len(list(folder.glob("*.u8"))) == 1
