"""CSV files that users write or open: one header, one line per thing, and errors that name the line."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsolbench.errors import DataError, shortened
from wsolbench.files import parse_file

__all__ = ["as_number", "literal", "read_boxes", "read_rows"]

_BOX_COLUMNS = ("id", "x0", "y0", "x1", "y1")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # with what a spreadsheet takes a cell for a formula
_NUMBER = re.compile(r"[-+]?([0-9]{1,18}(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,2})?")


def as_number(text: str) -> float:
    """Return the number that a text writes in decimal digits 0 to 9.

    Raises:
        ValueError: it does not; Python alone would also take ``1_2``, ``nan`` and the digits of other scripts.
    """
    if not _NUMBER.fullmatch(text.strip()):
        raise ValueError(f"'{shortened(text)}' is not a number")
    return float(text)


def literal(text: str) -> str:
    """Return a name for a cell of a CSV file, with ``'`` before it where a spreadsheet would run it as a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and values of each row that is not blank; a byte order mark is no part of the header.

    Raises:
        DataError: the file cannot be read, has another header, or a row of another length.
    """
    text = parse_file(path, partial(str, encoding="utf-8-sig"), "restore it, or write it again")
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        rows = (row for row in reader if "".join(row).strip())
        header = next(rows, [])
        if header != list(columns):
            raise DataError(f"{path}: the header must be {','.join(columns)}, not {shortened(','.join(header))}")
        for row in rows:
            if len(row) != len(columns):
                raise DataError(f"{path}:{reader.line_num}: expected {len(columns)} values, found {len(row)}")
            yield reader.line_num, row
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num} cannot be read ({error})") from None


def read_boxes(path: Path, known: Collection[str], where: str) -> dict[str, NDArray[np.float64]]:
    """Read boxes ``(n, 4)`` by id: the header ``id,x0,y0,x1,y1``, then a line per box, half-open, in pixels.

    Raises:
        DataError: the file cannot be read, or a line is malformed or of an unknown image.
    """
    boxes: dict[str, list[list[float]]] = {}
    for number, (name, *values) in read_rows(path, _BOX_COLUMNS):
        if name not in known:
            raise DataError(f"{path}:{number}: image '{name}' is not in {where}")
        try:
            boxes.setdefault(name, []).append([as_number(value) for value in values])
        except ValueError as error:
            raise DataError(f"{path}:{number}: a box must be four numbers ({error})") from None
    return {name: np.array(found, np.float64) for name, found in boxes.items()}
