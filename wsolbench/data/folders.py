"""Walk through folders of people's files: links are followed, each directory once, and names are UTF-8."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from wsolbench.errors import DataError, counted, first_three

__all__ = ["IMAGE_SUFFIXES", "directories", "files_below", "is_nameable", "refuse_bad_names", "walk"]

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
"""What the names of images and masks end in, in either case."""


def files_below(folder: Path) -> list[str]:
    """Return what :func:`walk` finds, if :func:`refuse_bad_names` lets it pass."""
    found = walk(folder)
    refuse_bad_names(folder, found)
    return found


def walk(folder: Path) -> list[str]:
    """Return the paths of all files of :func:`directories`, relative to ``folder`` and with forward slashes, in order.

    Hidden files are left out. Of a folder that does not exist, there are none.
    """
    found = [
        (place / name).relative_to(folder).as_posix()
        for place, names in directories(folder)
        for name in names
        if not name.startswith(".")
    ]
    return sorted(found, key=lambda path: path.split("/"))


def directories(folder: Path, onerror: Callable[[OSError], object] | None = None) -> Iterator[tuple[Path, list[str]]]:
    """Yield a folder and all below it that are not hidden, each with the names of its files.

    Links to files and directories are followed; a directory that was entered under another name already, or that the
    folder itself lies in, is left out.
    """
    above = [each.stat() for each in folder.resolve().parents] if folder.is_dir() else []
    entered = {(state.st_dev, state.st_ino) for state in above}
    for place, below, names in os.walk(folder, onerror=onerror, followlinks=True):
        state = Path(place).stat()
        if (state.st_dev, state.st_ino) in entered:
            below.clear()
            continue
        entered.add((state.st_dev, state.st_ino))
        below[:] = sorted(name for name in below if not name.startswith("."))
        yield Path(place), names


def refuse_bad_names(root: Path, paths: Iterable[str]) -> None:
    """Refuse names that could not be written into a table at the end of an hour's work.

    Raises:
        DataError: names are not UTF-8, or this process's locale cannot name them; says how many, and the first three.
    """
    bad = [path for path in paths if not is_nameable(path)]
    if not bad:
        return
    encoding = sys.getfilesystemencoding()
    cure = "rename them" if encoding == "utf-8" else f"set PYTHONUTF8=1: this locale's names are {encoding}"
    what = counted(len(bad), "file name is", "file names are")
    raise DataError(f"{root}: {what} not UTF-8 ({first_three([ascii(path) for path in bad])}); {cure}")


def is_nameable(path: str) -> bool:
    """Return whether a path can be written as UTF-8, and named in this process's locale."""
    try:
        path.encode()
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True
