"""Methods over tracks: mean ranks, whether they differ, and the honest answer where there are too few tracks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from wsolbench.report.columns import Column, columns_named, summarised
from wsolbench.report.markdown import escaped, pipe_table
from wsolbench.results.load import Row, TrackResults
from wsolbench.results.significance import RankTest, critical_difference, fewest_tracks, friedman, mean_ranks
from wsolbench.results.stats import LEVEL

__all__ = ["RANKED", "Ranking", "ranking", "rankings", "ranks_csv", "ranks_section"]

RANKED = columns_named("gt_known.val", "px_ap")
"""What methods are ranked by: boxes and pixels, neither with a threshold from the test split."""

_FEWEST_METHODS = 3
_ROUGH_TRACKS = 10  # Demsar, section 3.2.2: the chi-square distribution holds for more than these


@dataclass(frozen=True)
class Ranking:
    """Methods by their mean rank over tracks.

    Attributes:
        column: what they are ranked by, mean over seeds.
        tracks: names of those on which two methods of one recipe or more have the number.
        datasets: how many data sets these tracks have.
        titles: by method, of those that have the number on all tracks, in the order of the settings.
        left_out: titles of those that have it on some only, or by another recipe.
        ranks: mean rank by method, 1 is best; empty where there are too few tracks or methods.
        critical: by how much mean ranks must differ; None likewise.
        test: whether the methods differ at all; None likewise.
    """

    column: Column
    tracks: tuple[str, ...]
    datasets: int
    titles: dict[str, str]
    left_out: tuple[str, ...]
    ranks: dict[str, float]
    critical: float | None
    test: RankTest | None

    @property
    def differs(self) -> bool:
        """Whether the methods do not all rank alike; without that, no pair is said to differ."""
        return self.test is not None and self.test.f_p_value < 1 - LEVEL

    @property
    def groups(self) -> list[list[str]]:
        """Return the largest groups of methods, best first, that are not told apart: what bars join in a diagram."""
        order = sorted(self.ranks, key=lambda method: self.ranks[method])
        if self.critical is None or not self.differs:
            return [order] if order else []
        found: list[list[str]] = []
        for start, first in enumerate(order):
            group = [each for each in order[start:] if self.ranks[each] - self.ranks[first] < self.critical]
            if len(group) > 1 and not (found and set(group) <= set(found[-1])):
                found.append(group)
        return found

    @property
    def why_not(self) -> str:
        """Return why nothing is ranked, empty if something is."""
        if self.ranks:
            return ""
        start = f"{self.column.heading}: nothing is ranked, because"
        methods = len(self.titles)
        if methods < _FEWEST_METHODS:
            where = "on every track, each by the recipe of its first method" if self.tracks else "by one recipe"
            return f"{start} {_count(methods, 'method')} can be compared {where}, and it takes {_FEWEST_METHODS}."
        return (
            f"{start} {_count(len(self.tracks), 'track')} cannot tell {methods} methods apart: below "
            f"{fewest_tracks(methods)} tracks, not even the best on each of them would differ from the worst on each "
            f"(Nemenyi's test, {LEVEL:.0%})."
        )

    @property
    def reading(self) -> str:
        """Return what a reader has to know about the ranks; without markup."""
        if not self.ranks or self.critical is None:
            return self.why_not
        parts = [
            f"{self.column.heading}: mean ranks over {len(self.tracks)} tracks ({', '.join(self.tracks)}), 1 is best."
        ]
        if self.test is None:
            parts.append("All methods tie on every track.")
        else:
            parts.append(
                f"Friedman's chi-square is {self.test.chi2:.2f} (p {_p(self.test.p_value)}), Iman and Davenport's F "
                f"{self.test.f:.2f} (p {_p(self.test.f_p_value)})."
            )
        parts.append(
            f"Mean ranks that differ by less than {self.critical:.2f} are not told apart (Nemenyi's test, {LEVEL:.0%})."
            if self.differs
            else "That is no evidence that the methods rank differently, so that no pair of them is told apart."
        )
        if len(self.tracks) <= _ROUGH_TRACKS:
            parts.append(f"With {_ROUGH_TRACKS} tracks or fewer these probabilities are rough.")
        if self.datasets < len(self.tracks):
            parts.append(
                f"The tracks share {_count(self.datasets, 'data set')} and are not independent, as the test takes them "
                "to be: the true probabilities are larger."
            )
        if self.left_out:
            parts.append(f"Left out, without a number by the same recipe on every track: {', '.join(self.left_out)}.")
        return " ".join(parts)


def rankings(tracks: Sequence[TrackResults]) -> list[Ranking]:
    """Return a ranking per column of :data:`RANKED` that any track defines; boxes and pixels share none."""
    rows = [row for results in tracks for row in results.measured]
    defined = [each for each in RANKED if any(summarised(row, each) for row in rows)]
    return [ranking(tracks, each) for each in defined or RANKED[:1]]


def ranking(tracks: Sequence[TrackResults], column: Column) -> Ranking:
    """Rank the methods of several tracks by a number.

    On each track those methods compete that have the recipe of its first method; variants and baselines never do.

    Args:
        tracks: measured ones.
        column: higher is better.
    """
    competing = {results.track: _competing(results, column) for results in tracks}
    competing = {track: rows for track, rows in competing.items() if len(rows) > 1}
    every = {row.method: row.title for results in tracks for row in results.measured if row.kind == "method"}
    titles = {
        method: title
        for method, title in every.items()
        if competing and all(method in rows for rows in competing.values())
    }
    sets = {results.runs[0].dataset for results in tracks if results.track in competing}
    left_out = tuple(title for method, title in every.items() if method not in titles)
    names = tuple(competing)
    if len(titles) < _FEWEST_METHODS or len(names) < fewest_tracks(len(titles)):
        return Ranking(column, names, len(sets), titles, left_out, {}, None, None)
    scores = {method: [rows[method] for rows in competing.values()] for method in titles}
    critical = critical_difference(len(titles), len(names))
    return Ranking(column, names, len(sets), titles, left_out, mean_ranks(scores), critical, friedman(scores))


def ranks_csv(found: Sequence[Ranking]) -> str:
    """Return all rankings as CSV, a row per number and method; the header alone where nothing is ranked."""
    rows = [
        {
            "number": each.column.name,
            "method": method,
            "title": each.titles[method],
            "mean_rank": rank,
            "tracks": len(each.tracks),
            "critical_difference": each.critical,
            "friedman_chi2": each.test.chi2 if each.test else None,
            "friedman_p": each.test.p_value if each.test else None,
            "iman_davenport_f": each.test.f if each.test else None,
            "iman_davenport_p": each.test.f_p_value if each.test else None,
        }
        for each in found
        for method, rank in each.ranks.items()
    ]
    columns = ["number", "method", "title", "mean_rank", "tracks", "critical_difference"]
    columns += ["friedman_chi2", "friedman_p", "iman_davenport_f", "iman_davenport_p"]
    return pd.DataFrame(rows, columns=columns).to_csv(index=False, lineterminator="\n")


def ranks_section(found: Sequence[Ranking]) -> str:
    """Return the rankings as a section in Markdown."""
    parts = ["## Methods over tracks\n"]
    for each in found:
        parts.append(f"{escaped(each.reading)}\n")
        if each.ranks:
            order = sorted(each.ranks, key=lambda method: each.ranks[method])
            lines = [
                [escaped(each.titles[method]), f"{each.ranks[method]:.2f}", _apart(each, method)] for method in order
            ]
            parts.append(pipe_table(["method", "mean rank", "differs from"], lines))
    if any(each.ranks for each in found):
        parts.append("![Critical difference](plots/critical_difference.svg)\n")
    return "\n".join(parts)


def _competing(results: TrackResults, column: Column) -> dict[str, float]:
    """Return the mean over seeds by method, of those with the recipe of the first."""
    rows: list[Row] = [row for row in results.measured if row.kind == "method"]
    found = {row.method: summarised(row, column) for row in rows if row.recipe == rows[0].recipe}
    return {method: summary.mean for method, summary in found.items() if summary is not None}


def _apart(each: Ranking, method: str) -> str:
    """Return the titles of the methods that one differs from."""
    alike = {other for group in each.groups if method in group for other in group} | {method}
    return ", ".join(escaped(title) for other, title in each.titles.items() if other not in alike) or "none"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "below 0.001"
