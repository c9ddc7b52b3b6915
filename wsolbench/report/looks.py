"""The look of each row, by its key alone: the same in every figure and on the page, whatever else there is.

A look is a number below 420, whose rests by 7, 12 and 5 are those of colour, marker and line: three numbers without a
common divisor, so that each combination has one number, and those below 84 each pair of colour and marker.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import count
from typing import get_args

import pandas as pd

from wsolbench.config.settings import Colour, Line, Look, Marker, Settings
from wsolbench.files import bytes_sha256

__all__ = ["COLOURS", "LINES", "MARKERS", "looks_of", "with_looks"]

COLOURS, MARKERS, LINES = (get_args(kind) for kind in (Colour, Marker, Line))
"""Names of the colours, markers and lines of ``report.looks``, each at its number."""

_PAIRS = len(COLOURS) * len(MARKERS)


def looks_of(keys: Iterable[str], table: Mapping[str, Look]) -> dict[str, int]:
    """Return the numbers of looks.

    Args:
        keys: of rows, in the order of the settings.
        table: ``report.looks``; a key that is in it has this look.

    Returns:
        Numbers by key. The others get one by a hash of their key; where the table or an earlier key has its colour and
        marker, by the next hash. Only where there are more than 84 keys, two have the same.
    """
    fixed = {key: _number(look) for key, look in table.items()}
    taken, found = {number % _PAIRS for number in fixed.values()}, {}
    for key in dict.fromkeys(keys):
        found[key] = fixed[key] if key in fixed else _free(key, taken)
        taken.add(found[key] % _PAIRS)
    return found


def with_looks(frame: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Return a frame of results with ``look``, the number of each row's.

    It depends on the keys that the settings know, not on those that the frame has rows of. Read-outs have none: they
    are rows as ``<readout>_of_<method>`` only.
    """
    if frame.empty:
        return frame.assign(look=0)
    keys = [key for key in frame["method"].cat.categories if key not in settings.run.readouts]
    looks = looks_of(keys, settings.report.looks)
    return frame.assign(look=frame["method"].astype(str).map(looks))


def _number(look: Look) -> int:
    wanted = COLOURS.index(look.colour), MARKERS.index(look.marker), LINES.index(look.line)
    return next(each for each in count() if (each % len(COLOURS), each % len(MARKERS), each % len(LINES)) == wanted)


def _free(key: str, taken: set[int]) -> int:
    full = len(taken) >= _PAIRS
    hashes = (int(bytes_sha256(f"{key} {attempt}".encode())[:12], 16) % _PAIRS for attempt in count())
    return next(each for each in hashes if full or each not in taken)
