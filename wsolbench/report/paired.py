"""How far methods are apart: from the first one, seed by seed; and each pair on the same test images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from wsolbench.report.columns import headline
from wsolbench.report.markdown import escaped, pipe_table
from wsolbench.report.track import Row, TrackResults, number_text, records
from wsolbench.results.load import load_per_image
from wsolbench.results.metrics import METRICS
from wsolbench.results.stats import LEVEL, Difference, Scores, bootstrap_difference, holm, sign_test, summarise_by

__all__ = [
    "PAIR_COLUMNS",
    "PairedTests",
    "TestedPair",
    "differences_section",
    "paired_section",
    "paired_tests",
    "tested_pairs",
]

_HIT = 0.5
_FEWEST_SEEDS = 2

PAIR_COLUMNS = ["pair", "difference", f"{LEVEL:.0%} interval", "p", "p, corrected", "sign test per seed, p"]
"""Headings of a table of tested pairs."""


def differences_section(track: TrackResults) -> str:
    """Return a section on the differences from the first method, paired over seeds, in Markdown.

    Only methods of the first one's recipe are compared. The section is empty if the first method has no results, or
    none is left to compare with it.
    """
    first_run = track.runs.iloc[0]
    rows = track.rows[track.rows["compares"] & (track.rows.index.get_level_values("recipe") == first_run["recipe"])]
    if rows.empty or rows.index[0][3] != first_run["method"] or len(rows) == 1:
        return ""
    first, *others = rows.index
    shown = [each for each in headline(track.truth) if not track.values(first, each.name).empty]
    cells = [
        [escaped(rows.loc[row, "title"]), *(_difference(track, row, first, each.name) for each in shown)]
        for row in others
    ]
    table = pd.DataFrame(cells, columns=["method", *(each.heading for each in shown)])
    heading = f"## Differences from {escaped(rows['title'].iloc[0])}, paired over seeds"
    return f"{heading}\n\n{_reading(track, len(others) * len(shown))}\n\n{pipe_table(table)}"


def _reading(track: TrackResults, intervals: int) -> str:
    if len(track.seeds) == 1:
        return "Points of percent. One seed has no spread: whether a difference is more than chance cannot be said."
    return (
        "Points of percent: mean ± standard deviation of the differences of runs with the same seed, and their "
        f"{LEVEL:.0%} t-interval in brackets. Only where that excludes 0 do the two differ by more than their seeds. "
        f"The {intervals} intervals are not corrected for their number: about one in twenty excludes 0 by chance alone."
    )


def _difference(track: TrackResults, row: Row, first: Row, metric: str) -> str:
    found = (track.values(row, metric) - track.values(first, metric)).dropna()
    if found.empty:
        return "n/a"
    (summary,) = records(summarise_by(pd.DataFrame({"value": found, "all": 0}), ["all"]))
    text = number_text(METRICS[metric], summary.mean, summary.sd, summary.ci95, "+")
    if pd.isna(summary.ci95):
        return text
    low, high = summary.mean - summary.ci95, summary.mean + summary.ci95
    verdict = "includes 0" if low <= 0 <= high else "excludes 0"
    return f"{text} ({low:+.1f} to {high:+.1f}, {verdict})"


@dataclass(frozen=True)
class PairedTests:
    """All pairs of a track, and what a reader has to know about them.

    Attributes:
        title: heading.
        reading: a paragraph in Markdown.
        pairs: a row per pair: :data:`PAIR_COLUMNS` as text, and ``significant``: whether the corrected p is below 0.05;
            empty where there are too few seeds.
    """

    title: str
    reading: str
    pairs: pd.DataFrame


def paired_tests(track: TrackResults, root: Path) -> PairedTests | None:
    """Test every pair of methods of one recipe on the same images.

    Returns:
        The tests; None where no two methods share a recipe, or where the data set has no ``val`` to choose a threshold.

    Raises:
        DataError: a per-image file is missing or damaged, or of other images; the message names it.
    """
    masks = track.truth == "masks"
    chosen = track.summary.get(("p_iou.val" if masks else "gt_known.val", "n"))
    compared = track.rows[track.rows["compares"]]
    rows = compared[chosen.reindex(compared.index) > 0] if chosen is not None else compared.iloc[:0]
    pairs = [(one, other) for one, other in combinations(rows.index, 2) if one[2] == other[2]]
    if not pairs:
        return None
    title = f"Pairs of methods on the same images: {'pIoU, val' if masks else 'GT-known, val'}"
    if rows["n"].min() < _FEWEST_SEEDS:
        too_few = "One seed says nothing about how much training again would change: no test is made."
        return PairedTests(title, too_few, pd.DataFrame(columns=[*PAIR_COLUMNS, "significant"]))
    lines = []
    for each in tested_pairs(track, pairs, root):
        found = each.difference
        names = f"{rows['title'][each.one]!s} - {rows['title'][each.other]!s}"
        interval, by_seed = f"{found.low:+.1f} to {found.high:+.1f}", ", ".join(map(_p, each.by_seed))
        cells = [names, f"{found.points:+.1f}", interval, _p(found.p_value), _p(each.corrected), by_seed]
        lines.append([*cells, each.significant])
    points = "Points of pIoU" if masks else "Points of percent of the test images"
    reading = (
        f"{points}. Interval and p come from a bootstrap of two levels: images, the same for both methods, and seeds, "
        "for each by itself, or for both at once where they read the same trained network. "
        f"The corrected p (Holm) counts all {len(lines)} pairs; **bold** is what stays below 0.05 "
        "then. The exact sign test (McNemar's, of images that are right or wrong) compares two single runs and knows "
        "nothing of training again."
    )
    return PairedTests(title, reading, pd.DataFrame(lines, columns=[*PAIR_COLUMNS, "significant"]))


@dataclass(frozen=True)
class TestedPair:
    """Two rows on the same images.

    Attributes:
        one: a row.
        other: the row that it is compared with.
        difference: one minus other.
        corrected: p-value by Holm, for the number of pairs that were tested together.
        by_seed: p-values of the sign test of runs with the same seed.
    """

    one: Row
    other: Row
    difference: Difference
    corrected: float
    by_seed: tuple[float, ...]

    @property
    def significant(self) -> bool:
        """Whether the corrected p-value is below 0.05."""
        return self.corrected < 1 - LEVEL


def tested_pairs(track: TrackResults, pairs: Sequence[tuple[Row, Row]], root: Path) -> list[TestedPair]:
    """Test pairs of rows by whether, or how well, they localize each test image at the threshold from ``val``.

    A read-out and the method whose network it reads, or two such read-outs, share their networks seed by seed. Where
    ``track`` is several of the same test images in one, a pair may be of two of them.

    Returns:
        A test per pair, without those of which a row has one seed only.

    Raises:
        DataError: a per-image file is missing or damaged, or of other images; the message names it.
    """
    scores = {row: _scores(track, row, root) for row in dict.fromkeys(row for pair in pairs for row in pair)}
    networks = {row: (track.rows["reads"].fillna(row[3])[row], row[2], len(scores[row])) for row in scores}
    found = [
        (one, other, bootstrap_difference(scores[one], scores[other], same_networks=networks[one] == networks[other]))
        for one, other in pairs
    ]
    tested = [(one, other, each) for one, other, each in found if each is not None]
    corrected = holm([each.p_value for *_, each in tested]) if tested else []
    return [
        TestedPair(one, other, each, p, tuple(map(sign_test, scores[one], scores[other])))
        for (one, other, each), p in zip(tested, corrected, strict=True)
    ]


def paired_section(track: TrackResults, root: Path) -> str:
    """Return :func:`paired_tests` as a section in Markdown, empty where there is nothing to test."""
    tests = paired_tests(track, root)
    if tests is None:
        return ""
    table = tests.pairs[PAIR_COLUMNS].assign(pair=tests.pairs["pair"].map(escaped))
    table["difference"] = table["difference"].where(
        ~tests.pairs["significant"].astype(bool), "**" + table["difference"] + "**"
    )
    return f"## {tests.title}\n\n{tests.reading}\n" + ("" if table.empty else f"\n{pipe_table(table)}")


def _scores(track: TrackResults, row: Row, root: Path) -> Scores:
    """Return how well a row localizes each test image at the threshold from ``val``, ``(seeds, images)``.

    Whether the IoU with a true box is at least 0.5, bool; where a track has no boxes, the overlap with the mask,
    float64 in [0, 1].
    """
    masks = track.truth == "masks"
    column = "mask_iou_val" if masks else "iou_val"
    keys = track.runs_of(row)["key"].tolist()
    table = load_per_image(row[0], keys, root, [column])
    overlaps = table[column].to_numpy(np.float64).reshape(len(keys), -1)
    return overlaps if masks else overlaps >= _HIT


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"
