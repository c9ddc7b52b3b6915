"""Methods over tracks: mean ranks, whether they differ, and the honest answer where there are too few tracks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
from scikit_posthocs import posthoc_nemenyi_friedman

from wsolbench.errors import counted
from wsolbench.report.markdown import escaped, pipe_table
from wsolbench.report.track import TrackResults, records
from wsolbench.results.metrics import Metric, metrics_named
from wsolbench.results.stats import LEVEL, RankTest, critical_difference, fewest_tracks, friedman

__all__ = ["RANKED", "Ranking", "ranking", "rankings", "ranks_csv", "ranks_section"]

RANKED = metrics_named("gt_known.val", "px_ap")
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
        scores: a row per track and a column per method; empty where there are too few of either.
    """

    column: Metric
    tracks: tuple[str, ...]
    datasets: int
    titles: dict[str, str]
    left_out: tuple[str, ...]
    scores: pd.DataFrame

    @cached_property
    def ranks(self) -> dict[str, float]:
        """Mean rank by method, 1 is best, ties share the mean of their ranks; empty where nothing is ranked."""
        return {str(method): rank for method, rank in self.scores.rank(axis=1, ascending=False).mean().items()}

    @property
    def critical(self) -> float | None:
        """By how much mean ranks must differ; None where nothing is ranked."""
        return None if self.scores.empty else critical_difference(len(self.titles), len(self.tracks))

    @cached_property
    def test(self) -> RankTest | None:
        """Whether the methods differ at all; None where nothing is ranked, or all tie."""
        return friedman(self.scores)

    @property
    def differs(self) -> bool:
        """Whether the methods do not all rank alike; without that, no pair is said to differ."""
        return self.test is not None and self.test.f_p_value < 1 - LEVEL

    @cached_property
    def p_values(self) -> pd.DataFrame:
        """Nemenyi's p-value for each pair of methods; 1 where :attr:`differs` is false."""
        methods = self.scores.columns
        if not self.differs:
            return pd.DataFrame(1.0, methods, methods)
        found: pd.DataFrame = posthoc_nemenyi_friedman(-self.scores.to_numpy())
        return found.set_axis(methods, axis=0).set_axis(methods, axis=1)

    @property
    def groups(self) -> list[list[str]]:
        """The largest groups of methods, best first, that are not told apart: what bars join in a diagram."""
        order = sorted(self.ranks, key=self.ranks.__getitem__)
        if not self.differs:
            return [order] if order else []
        alike = (self.p_values >= 1 - LEVEL).loc[order, order].to_numpy()
        found: list[list[str]] = []
        for start in range(len(order)):
            group = order[start : start + int(alike[start, start:].sum())]
            if len(group) > 1 and not (found and set(group) <= set(found[-1])):
                found.append(group)
        return found

    @property
    def why_not(self) -> str:
        """Why nothing is ranked, empty if something is."""
        if self.ranks:
            return ""
        start, methods = f"{self.column.heading}: nothing is ranked, because", len(self.titles)
        if methods < _FEWEST_METHODS:
            where = "on every track, each by the recipe of its first method" if self.tracks else "by one recipe"
            return f"{start} {counted(methods, 'method')} can be compared {where}, and it takes {_FEWEST_METHODS}."
        return (
            f"{start} {counted(len(self.tracks), 'track')} cannot tell {methods} methods apart: below "
            f"{fewest_tracks(methods)} tracks, not even the best on each of them would differ from the worst on each "
            f"(Nemenyi's test, {LEVEL:.0%})."
        )

    @property
    def reading(self) -> str:
        """What a reader has to know about the ranks; without markup."""
        if self.critical is None:
            return self.why_not
        count, test = len(self.tracks), self.test
        parts = [f"{self.column.heading}: mean ranks over {count} tracks ({', '.join(self.tracks)}), 1 is best."]
        if test is None:
            parts.append("All methods tie on every track.")
        else:
            parts.append(
                f"Friedman's chi-square is {test.chi2:.2f} (p {_p(test.p_value)}), Iman and Davenport's F "
                f"{test.f:.2f} (p {_p(test.f_p_value)})."
            )
        parts.append(
            f"Mean ranks that differ by less than {self.critical:.2f} are not told apart (Nemenyi's test, {LEVEL:.0%})."
            if self.differs
            else "That is no evidence that the methods rank differently, so that no pair of them is told apart."
        )
        if count <= _ROUGH_TRACKS:
            parts.append(f"With {_ROUGH_TRACKS} tracks or fewer these probabilities are rough.")
        if self.datasets < count:
            parts.append(
                f"The tracks share {counted(self.datasets, 'data set')} and are not independent, as the test takes "
                "them to be: the true probabilities are larger."
            )
        if self.left_out:
            parts.append(f"Left out, without a number by the same recipe on every track: {', '.join(self.left_out)}.")
        return " ".join(parts)


def rankings(tracks: Sequence[TrackResults]) -> list[Ranking]:
    """Return a ranking per number of :data:`RANKED` that any track defines; boxes and pixels share none."""
    defined = {name for track in tracks for name in track.summary.columns.get_level_values(0)}
    return [ranking(tracks, each) for each in RANKED if each.name in defined] or [ranking(tracks, RANKED[0])]


def ranking(tracks: Sequence[TrackResults], column: Metric) -> Ranking:
    """Rank the methods of several tracks by a number.

    On each track those methods compete that have the recipe of its first method; variants, baselines and entries never
    do.
    """
    competing = {track.name: _competing(track, column) for track in tracks}
    competing = {name: scores for name, scores in competing.items() if len(scores) > 1}
    every: dict[str, str] = {}
    for track in tracks:
        every |= {method: every.get(method, title) for method, title in _titles(track).items()}
    common = [name for name in every if competing and all(name in scores for scores in competing.values())]
    sets = {track.measured["dataset"].iloc[0] for track in tracks if track.name in competing}
    enough = len(common) >= _FEWEST_METHODS and len(competing) >= fewest_tracks(len(common))
    scores = pd.DataFrame(competing).T[common] if enough else pd.DataFrame()
    left_out = tuple(title for method, title in every.items() if method not in common)
    return Ranking(column, tuple(competing), len(sets), {name: every[name] for name in common}, left_out, scores)


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
            differ = each.p_values < 1 - LEVEL
            lines = [
                [
                    escaped(each.titles[method]),
                    f"{each.ranks[method]:.2f}",
                    ", ".join(escaped(each.titles[other]) for other in each.titles if differ.loc[method, other])
                    or "none",
                ]
                for method in sorted(each.ranks, key=each.ranks.__getitem__)
            ]
            parts.append(pipe_table(pd.DataFrame(lines, columns=["method", "mean rank", "differs from"])))
    if any(each.ranks for each in found):
        parts.append("![Critical difference](plots/critical_difference.webp)\n")
    return "\n".join(parts)


def _titles(track: TrackResults) -> dict[str, str]:
    """Return the titles of the methods that could compete, in the order of the settings."""
    rows = track.rows[track.rows["compares"]]
    order = {str(name): place for place, name in enumerate(track.runs["method"].unique())}
    titles = {row.Index[3]: str(row.title) for row in records(rows)}
    return dict(sorted(titles.items(), key=lambda item: order[item[0]]))


def _competing(track: TrackResults, column: Metric) -> dict[str, float]:
    """Return the mean over seeds by method, of those with the recipe of the first."""
    rows = track.rows[track.rows["compares"]]
    if rows.empty or column.name not in track.summary:
        return {}
    means = track.summary[column.name]["mean"].reindex(rows.index).dropna()
    first = means.index[means.index.get_level_values("recipe") == rows.index[0][2]]
    return {str(row[3]): float(means[row]) for row in first}


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "below 0.001"
