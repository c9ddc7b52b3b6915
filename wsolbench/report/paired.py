"""Tests between methods on the same test images."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from wsolbench.errors import DataError
from wsolbench.layout import Layout
from wsolbench.report.markdown import escaped, pipe_table
from wsolbench.report.results import Row, TrackResults, remedy
from wsolbench.significance import Difference, Hits, bootstrap_difference, holm, mcnemar
from wsolbench.stats import LEVEL

__all__ = ["paired_section", "read_hits"]

_COLUMN = "iou_val"
_HIT = 0.5
_FEWEST_SEEDS = 2


def read_hits(results: TrackResults, row: Row, root: Path) -> Hits:
    """Return which test images a row localizes at the threshold from ``val``, GT-known, at an IoU of at least 0.5.

    Returns:
        ``(seeds, images)``, images in index order.

    Raises:
        DataError: a per-image file is missing or damaged, or of other images; the message names it.
    """
    layout, hits, ids = Layout(root), [], None
    for run in row.runs:
        path = layout.per_image(results.track, run.key)
        try:
            frame = pd.read_parquet(path, columns=["id", _COLUMN])
        except FileNotFoundError:
            raise DataError(f"{path} is missing; {remedy(row.kind, run.key)}") from None
        except (OSError, ValueError, pa.ArrowException) as error:
            raise DataError(f"{path} is damaged ({error}); delete it and {remedy(row.kind, run.key)}") from None
        found = frame["id"].tolist()
        if ids is not None and found != ids:
            raise DataError(f"{path} is of other images than {row.runs[0].key}; {remedy(row.kind, run.key)}")
        ids = found
        hits.append(frame[_COLUMN].to_numpy(np.float64) >= _HIT)
    return np.stack(hits)


def paired_section(results: TrackResults, root: Path) -> str:
    """Return a section with every pair of methods of one recipe, tested on the same images.

    Empty where no two methods share a recipe, or where the data set has no ``val`` to choose a threshold.

    Raises:
        DataError: see :func:`read_hits`.
    """
    rows = [row for row in results.measured if row.kind == "method" and row.runs[0].gt_known.val is not None]
    pairs = [pair for pair in combinations(rows, 2) if pair[0].recipe == pair[1].recipe]
    if not pairs:
        return ""
    heading = "## Pairs of methods on the same images: GT-known, val\n\n"
    if min(len(row.runs) for row in rows) < _FEWEST_SEEDS:
        return heading + "One seed says nothing about how much training again would change: no test is made.\n"
    hits = {id(row): read_hits(results, row, root) for row in rows}
    found = [(first, second, bootstrap_difference(hits[id(first)], hits[id(second)])) for first, second in pairs]
    tested = [(first, second, difference) for first, second, difference in found if difference is not None]
    adjusted = holm([difference.p_value for _, _, difference in tested])
    lines = [
        [
            f"{escaped(first.title)} - {escaped(second.title)}",
            *_numbers(difference, p_value),
            _by_seed(hits[id(first)], hits[id(second)]),
        ]
        for (first, second, difference), p_value in zip(tested, adjusted, strict=True)
    ]
    columns = ["pair", "difference", f"{LEVEL:.0%} interval", "p", "p, corrected", "McNemar per seed, p"]
    return heading + _READING.format(count=len(lines)) + pipe_table(columns, lines)


_READING = (
    "Points of percent of the test images. Interval and p come from a bootstrap of two levels: images, the same for "
    "both methods, and seeds, for each by itself. The corrected p (Holm) counts all {count} pairs; **bold** is what "
    "stays below 0.05 then. McNemar's exact test compares two single runs and knows nothing of training again.\n\n"
)


def _numbers(difference: Difference, p_value: float) -> list[str]:
    points = f"{difference.points:+.1f}"
    if p_value < 1 - LEVEL:
        points = f"**{points}**"
    return [points, f"{difference.low:+.1f} to {difference.high:+.1f}", _p(difference.p_value), _p(p_value)]


def _by_seed(first: Hits, second: Hits) -> str:
    return ", ".join(_p(mcnemar(one, other)) for one, other in zip(first, second, strict=False))


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"
