"""The split files of Choe et al.: one line per image, or per box, comma separated."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsolbench.data.tables import as_number
from wsolbench.errors import DataError, shortened
from wsolbench.files import parse_file

__all__ = ["Entry", "class_names", "numbered_lines", "read_labels", "read_list", "read_metadata"]

_BOX = 4
_log = logging.getLogger("wsolbench.prepare")
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_MOST_CLASSES = 100_000  # more than any data set has; a table of a billion classes would take all memory
_LONGEST_SIDE = 1_000_000  # pixels


@dataclass(frozen=True)
class Entry:
    """What the files say of an image.

    Attributes:
        id: image id: a path.
        label: class, from 0.
        width: pixels, as stated; 0 where there are masks and ``image_sizes.txt`` is empty or missing, as
            OpenImages30k's is.
        height: pixels, as stated, or 0.
        boxes: ``(n, 4)`` float64 ``x0, y0, x1, y1`` as written; none where the split has masks.
        masks: mask files as written, one per object; none where the split has boxes.
        ignore: mask file of what counts for neither side, or None.
    """

    id: str
    label: int
    width: int
    height: int
    boxes: NDArray[np.float64]
    masks: tuple[str, ...] = ()
    ignore: str | None = None


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number, from 1, and text of the lines of a file that are not blank; a byte order mark is no text."""
    text = parse_file(path, partial(str, encoding="utf-8-sig"), "restore it from the data set")
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line.strip()


def read_list(path: Path) -> list[str]:
    """Return the lines of a text file, without blank ones."""
    return [line for _, line in numbered_lines(path)]


def read_labels(path: Path, ids: list[str]) -> dict[str, int]:
    """Read a file of lines ``id,label``, and return the label, from 0, of each of ``ids``, in their order.

    Raises:
        DataError: the file is missing, a line is malformed or says again what an earlier one says, or an image has no
            label; the message names file and line, or image.
    """
    return {name: label for name, (label,) in _table(path, 1, ids, range(_MOST_CLASSES)).items()}


def read_metadata(directory: Path, *, labels: str = "class_labels.txt", sizes: bool = True) -> dict[str, Entry]:
    """Read ``image_ids.txt``, ``class_labels.txt``, ``image_sizes.txt`` and, where it is there, ``localization.txt``.

    A line of ``localization.txt`` is ``id,x0,y0,x1,y1`` for a box or ``id,mask,ignore`` for a mask; the ignore file may
    be left out.

    Args:
        directory: that holds the files.
        labels: name of the file of labels.
        sizes: False leaves ``image_sizes.txt`` closed.

    Returns:
        Entries by image id, in the order of ``image_ids.txt``.

    Raises:
        DataError: a file is missing, a line is malformed or says again what an earlier one says, or the files are not
            about the same images; the message names file and line, or image.
    """
    ids = read_list(directory / "image_ids.txt")
    if len(set(ids)) < len(ids):
        twice = next(name for name, count in Counter(ids).items() if count > 1)
        raise DataError(f"{directory / 'image_ids.txt'}: image '{twice}' occurs twice")
    label_of = read_labels(directory / labels, ids)
    located = _located(directory / "localization.txt", ids)
    stated = directory / "image_sizes.txt"
    has_masks_only = not any(each.boxes for each in located.values())
    unknown = not sizes or (has_masks_only and not (stated.is_file() and read_list(stated)))
    stated_sizes = {name: [0, 0] for name in ids} if unknown else _table(stated, 2, ids, range(1, _LONGEST_SIDE + 1))
    entries = {}
    for name, found in located.items():
        (width, height), boxes = stated_sizes[name], np.array(found.boxes, np.float64).reshape(-1, _BOX)
        entries[name] = Entry(name, label_of[name], width, height, boxes, tuple(found.masks), found.ignore)
    return entries


def class_names(path: Path, labels: set[int]) -> list[str]:
    """Read the names of all classes, one per line; where the file is missing, they are the numbers from 0.

    Labels that seem to count from 1 are said: none is 0, and all others up to the highest occur.

    Raises:
        DataError: there are fewer names than classes.
    """
    count = max(labels, default=-1) + 1
    if not path.is_file():
        if count > 2 and labels == set(range(1, count)):
            _log.warning(
                "%s: no image has class 0, and every other one up to %d occurs: are labels counted from 1? They count "
                "from 0; without class 0, name all classes in %s",
                path.parent,
                count - 1,
                path.name,
            )
        return [str(label) for label in range(count)]
    names = read_list(path)
    if len(names) < count:
        from_one = "; counted from 1? Labels count from 0" if len(names) == count - 1 and 0 not in labels else ""
        raise DataError(
            f"{path} names {len(names)} classes, but label {count - 1} occurs{from_one}; add a line for each class"
        )
    return names


@dataclass
class _Located:
    boxes: list[list[float]] = field(default_factory=list)
    masks: list[str] = field(default_factory=list)
    ignore: str | None = None


def _located(path: Path, ids: list[str]) -> dict[str, _Located]:
    found = {name: _Located() for name in ids}
    for number, line in numbered_lines(path) if path.is_file() else ():
        name, *values = line.rsplit(",", _BOX)
        box = _as_box(values)
        if box is None:
            name, *values = line.split(",")
        if name not in found:
            raise DataError(f"{path}:{number}: image '{name}' is not in {path.with_name('image_ids.txt')}")
        if box is not None:
            found[name].boxes.append(box)
            continue
        if not 1 <= len(values) <= 2 or not values[0]:
            raise DataError(f"{path}:{number}: expected id,x0,y0,x1,y1 or id,mask,ignore, found '{shortened(line)}'")
        if values[0] in found[name].masks:
            raise DataError(f"{path}:{number}: mask '{values[0]}' of image '{name}' occurs twice")
        found[name].masks.append(values[0])
        found[name].ignore = found[name].ignore or (values[1] if len(values) > 1 else "") or None
    return found


def _as_box(values: list[str]) -> list[float] | None:
    try:
        return [as_number(value) for value in values] if len(values) == _BOX else None
    except ValueError:
        return None


def _table(path: Path, count: int, ids: list[str], valid: range) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for number, line in numbered_lines(path):
        name, *values = line.rsplit(",", count)
        if len(values) != count or not all(_WHOLE.fullmatch(value.strip()) for value in values):
            raise DataError(f"{path}:{number}: expected an image id and {count} whole numbers, not '{shortened(line)}'")
        if name in rows:
            raise DataError(f"{path}:{number}: image '{name}' has a line already; remove one of them")
        rows[name] = [int(value) for value in values]
        wrong = [value for value in rows[name] if value not in valid]
        if wrong:
            expected = f"expected is {valid.start} or more, at most {valid.stop - 1}"
            raise DataError(f"{path}:{number}: image '{name}' has {wrong[0]}, {expected}")
    missing = [name for name in ids if name not in rows]
    if missing:
        raise DataError(f"{path}: image '{missing[0]}' of image_ids.txt is missing")
    return {name: rows[name] for name in ids}
