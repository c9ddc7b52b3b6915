"""The split files of Choe et al.: one line per image, or per box, comma separated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsolbench.errors import DataError

__all__ = ["Entry", "read_list", "read_metadata"]

_BOX = 4


@dataclass(frozen=True)
class Entry:
    """What the files say of an image.

    Attributes:
        id: image id: a path.
        label: class, from 0.
        width: pixels, as stated.
        height: pixels, as stated.
        boxes: ``(n, 4)`` float64 ``x0, y0, x1, y1`` as written; none where the split has masks.
    """

    id: str
    label: int
    width: int
    height: int
    boxes: NDArray[np.float64]


def read_list(path: Path) -> list[str]:
    """Return the lines of a text file, without empty ones.

    Raises:
        DataError: it is missing or cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); restore it from the data set") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def read_metadata(directory: Path) -> dict[str, Entry]:
    """Read ``image_ids.txt``, ``class_labels.txt``, ``image_sizes.txt`` and, where it is there, ``localization.txt``.

    Returns:
        Entries by image id, in the order of ``image_ids.txt``.

    Raises:
        DataError: a file is missing, a line is malformed, or the files are not about the same images; the message names
            file and line, or image.
    """
    ids = read_list(directory / "image_ids.txt")
    labels = {name: values[0] for name, values in _numbers(directory / "class_labels.txt", 1)}
    sizes = dict(_numbers(directory / "image_sizes.txt", 2))
    boxes: dict[str, list[list[int]]] = {name: [] for name in ids}
    localization = directory / "localization.txt"
    if localization.is_file() and localization.stat().st_size:
        first = read_list(localization)[0]
        for name, values in _numbers(localization, _BOX) if first.count(",") == _BOX else ():
            if name not in boxes:
                raise DataError(f"{localization}: image '{name}' is not in {directory / 'image_ids.txt'}")
            boxes[name].append(values)
    for name in ids:
        for file, table in (("class_labels.txt", labels), ("image_sizes.txt", sizes)):
            if name not in table:
                raise DataError(f"{directory / file}: image '{name}' of image_ids.txt is missing")
    found = {}
    for name in ids:
        width, height = sizes[name]
        found[name] = Entry(name, labels[name], width, height, np.array(boxes[name], np.float64).reshape(-1, _BOX))
    return found


def _numbers(path: Path, count: int) -> list[tuple[str, list[int]]]:
    rows = []
    for number, line in enumerate(read_list(path), start=1):
        name, *values = line.rsplit(",", count)
        if len(values) != count or not all(value.strip().lstrip("-").isdecimal() for value in values):
            raise DataError(f"{path}:{number}: expected an image id and {count} whole numbers, found '{line}'")
        rows.append((name, [int(value) for value in values]))
    return rows
