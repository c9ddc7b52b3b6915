"""Images are checked once, and again only when their files change."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wsolbench.acquire import inspection
from wsolbench.acquire.inspection import inspect_images, keep_checks
from wsolbench.errors import DataError

LONG_AGO = 10**9


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of six pictures that count as settled however new they are."""
    monkeypatch.setattr(inspection, "_SETTLED", -(10**12))
    for number in range(6):
        picture = np.full((20 + number, 30, 3), number, np.uint8)
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(picture).save(tmp_path / "images" / f"{number}.png")
    return tmp_path / "images"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of images as they are decoded."""
    names: list[str] = []
    measure = inspection.measure
    monkeypatch.setattr(inspection, "measure", lambda path, data: names.append(path.name) or measure(path, data))
    return names


def paths(images: Path) -> list[str]:
    return sorted(path.name for path in images.iterdir())


def test_what_was_found_is_remembered(images: Path, decoded: list[str], tmp_path: Path) -> None:
    expected = inspect_images(images, paths(images))
    assert len(decoded) == 6
    with keep_checks(tmp_path / "memory"):
        assert inspect_images(images, paths(images)) == expected
        decoded.clear()
        assert inspect_images(images, paths(images)) == expected
        assert inspect_images(images, paths(images)[::-1]) == expected[::-1]
    assert decoded == []
    inspect_images(images, paths(images))
    assert len(decoded) == 6  # nothing is remembered outside the context


@pytest.mark.parametrize("kept", ["size", "nothing"])
def test_a_file_that_changed_is_checked_again(images: Path, decoded: list[str], tmp_path: Path, kept: str) -> None:
    with keep_checks(tmp_path / "memory"):
        before = inspect_images(images, paths(images))
        decoded.clear()
        target, stat = images / "3.png", (images / "3.png").stat()
        if kept == "size":  # and its time of modification, as a careless copy keeps it
            data = bytearray(target.read_bytes())
            Image.fromarray(np.full((23, 30, 3), 77, np.uint8)).save(target)
            target.write_bytes(target.read_bytes().ljust(len(data), b"\0")[: max(len(data), target.stat().st_size)])
            os.utime(target, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        else:
            Image.fromarray(np.full((99, 30, 3), 77, np.uint8)).save(target)
        after = inspect_images(images, paths(images))
        assert decoded == ["3.png"]
        assert [one == other for one, other in zip(before, after, strict=True)] == [True, True, True, False, True, True]
        decoded.clear()
        assert inspect_images(images, paths(images)) == after
    assert decoded == []


def test_a_file_that_is_still_being_written_is_not_trusted(
    images: Path, decoded: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "_SETTLED", 10**12)
    with keep_checks(tmp_path / "memory"):
        for _ in range(2):
            inspect_images(images, paths(images))
    assert len(decoded) == 12


def test_what_was_found_before_an_interruption_is_kept(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = inspection.measure

    def interrupted(path: Path, data: bytes) -> tuple[int, int, int]:
        if path.name == "4.png":
            raise KeyboardInterrupt
        return measure(path, data)

    with keep_checks(tmp_path / "memory"):
        with monkeypatch.context() as patch:
            patch.setattr(inspection, "measure", interrupted)
            with pytest.raises(KeyboardInterrupt):
                inspect_images(images, paths(images))
        names: list[str] = []
        monkeypatch.setattr(inspection, "measure", lambda path, data: names.append(path.name) or measure(path, data))
        inspect_images(images, paths(images))
    assert "4.png" in names
    assert {*names} <= {"4.png", "5.png"}  # by several threads, in any order


@pytest.mark.parametrize("damage", [b"", b"00000000 []", None])
def test_what_is_damaged_is_checked_again(
    images: Path, decoded: list[str], tmp_path: Path, damage: bytes | None
) -> None:
    with keep_checks(tmp_path / "memory"):
        expected = inspect_images(images, paths(images))
        (file,) = (tmp_path / "memory").iterdir()
        file.write_bytes(file.read_bytes()[:-30] if damage is None else damage)
        decoded.clear()
        assert inspect_images(images, paths(images)) == expected
    assert len(decoded) == (1 if damage is None else 6)


def test_two_folders_do_not_share_what_is_remembered(images: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    Image.new("RGB", (7, 5)).save(other / "3.png")
    with keep_checks(tmp_path / "memory"):
        inspect_images(images, paths(images))
        assert [(facts.width, facts.height) for facts in inspect_images(other, ["3.png"])] == [(7, 5)]


def test_all_unreadable_images_are_listed_in_a_file(images: Path, tmp_path: Path) -> None:
    gone = [f"gone{number}.png" for number in range(12)]
    with keep_checks(tmp_path / "memory"):
        with pytest.raises(DataError, match=r"(?s)12 of 18 images cannot be used.*all of them: .*unreadable\.txt"):
            inspect_images(images, [*paths(images), *gone])
        lines = (tmp_path / "memory" / "unreadable.txt").read_text().splitlines()
    assert [name in line for name, line in zip(gone, lines, strict=True)] == [True] * 12
