"""Tests between methods on the same test images."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from wsolbench.report.markdown import escaped, pipe_table
from wsolbench.results.load import Row, TrackResults
from wsolbench.results.per_image import read_per_image
from wsolbench.results.significance import Scores, bootstrap_difference, holm, sign_test
from wsolbench.results.stats import LEVEL

__all__ = ["PAIR_COLUMNS", "PairedTests", "TestedPair", "paired_section", "paired_tests", "read_scores"]

_HIT = 0.5
_FEWEST_SEEDS = 2

PAIR_COLUMNS = ("pair", "difference", f"{LEVEL:.0%} interval", "p", "p, corrected", "sign test per seed, p")
"""Headings of a table of tested pairs."""


def read_scores(results: TrackResults, row: Row, root: Path) -> Scores:
    """Return how well a row localizes each test image at the threshold from ``val``.

    Returns:
        ``(seeds, images)``, images in index order: whether the IoU with a true box is at least 0.5, bool; where a track
        has no boxes, the overlap with the mask, float64 in [0, 1].

    Raises:
        DataError: a per-image file is missing or damaged, or of other images; the message names it.
    """
    masks = results.truth == "masks"
    column = "mask_iou_val" if masks else "iou_val"
    frames = read_per_image(results, row, root, [column])
    overlaps = np.stack([frame[column].to_numpy(np.float64) for frame in frames])
    return overlaps if masks else overlaps >= _HIT


@dataclass(frozen=True)
class TestedPair:
    """Two methods on the same images, as text for people.

    Attributes:
        first: title.
        second: title.
        points: first minus second, in points of percent of the test images, or of pIoU.
        significant: whether the corrected p is below 0.05.
        interval: of the difference.
        p_value: of the bootstrap.
        corrected: the same by Holm's correction for all pairs of the track.
        by_seed: p of the sign test, seed by seed.
    """

    first: str
    second: str
    points: str
    significant: bool
    interval: str
    p_value: str
    corrected: str
    by_seed: str


@dataclass(frozen=True)
class PairedTests:
    """All pairs of a track, and what a reader has to know about them; no pair where there are too few seeds."""

    title: str
    reading: str
    pairs: tuple[TestedPair, ...]


def paired_tests(results: TrackResults, root: Path) -> PairedTests | None:
    """Test every pair of methods of one recipe on the same images.

    Returns:
        The tests; None where no two methods share a recipe, or where the data set has no ``val`` to choose a threshold.

    Raises:
        DataError: see :func:`read_scores`.
    """
    masks = results.truth == "masks"
    rows = [
        row
        for row in results.measured
        if row.kind == "method" and (row.runs[0].p_iou if masks else row.runs[0].gt_known).val is not None
    ]
    pairs = [pair for pair in combinations(rows, 2) if pair[0].recipe == pair[1].recipe]
    if not pairs:
        return None
    what = "pIoU, val" if masks else "GT-known, val"
    if min(len(row.runs) for row in rows) < _FEWEST_SEEDS:
        return PairedTests(_TITLE.format(what=what), _TOO_FEW, ())
    scores = {id(row): read_scores(results, row, root) for row in rows}
    found = [(first, second, bootstrap_difference(scores[id(first)], scores[id(second)])) for first, second in pairs]
    tested = [(first, second, difference) for first, second, difference in found if difference is not None]
    adjusted = holm([difference.p_value for _, _, difference in tested])
    return PairedTests(
        _TITLE.format(what=what),
        _READING.format(
            count=len(tested), points="Points of pIoU" if masks else "Points of percent of the test images"
        ),
        tuple(
            TestedPair(
                first=first.title,
                second=second.title,
                points=f"{difference.points:+.1f}",
                significant=corrected < 1 - LEVEL,
                interval=f"{difference.low:+.1f} to {difference.high:+.1f}",
                p_value=_p(difference.p_value),
                corrected=_p(corrected),
                by_seed=_by_seed(scores[id(first)], scores[id(second)]),
            )
            for (first, second, difference), corrected in zip(tested, adjusted, strict=True)
        ),
    )


def paired_section(results: TrackResults, root: Path) -> str:
    """Return :func:`paired_tests` as a section in Markdown, empty where there is nothing to test.

    Raises:
        DataError: see :func:`read_scores`.
    """
    tests = paired_tests(results, root)
    if tests is None:
        return ""
    lines = [
        [
            f"{escaped(each.first)} - {escaped(each.second)}",
            f"**{each.points}**" if each.significant else each.points,
            each.interval,
            each.p_value,
            each.corrected,
            each.by_seed,
        ]
        for each in tests.pairs
    ]
    return f"## {tests.title}\n\n{tests.reading}\n" + ("\n" + pipe_table(PAIR_COLUMNS, lines) if lines else "")


_TITLE = "Pairs of methods on the same images: {what}"
_TOO_FEW = "One seed says nothing about how much training again would change: no test is made."
_READING = (
    "{points}. Interval and p come from a bootstrap of two levels: images, the same for "
    "both methods, and seeds, for each by itself. The corrected p (Holm) counts all {count} pairs; **bold** is what "
    "stays below 0.05 then. The exact sign test (McNemar's, of images that are right or wrong) compares two single "
    "runs and knows nothing of training again."
)


def _by_seed(first: Scores, second: Scores) -> str:
    return ", ".join(_p(sign_test(one, other)) for one, other in zip(first, second, strict=False))


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"
