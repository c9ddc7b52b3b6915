"""How far each method is from the first one, beside the spread of the seeds."""

from __future__ import annotations

from wsolbench.report.columns import Column, by_seed, headline, summarised
from wsolbench.report.markdown import escaped, pipe_table
from wsolbench.report.shown import measured
from wsolbench.results.load import Row, TrackResults
from wsolbench.results.stats import LEVEL, paired_difference

__all__ = ["differences_table"]


def differences_table(results: TrackResults) -> str:
    """Return a section on the differences from the first method of ``run.methods``, paired over seeds.

    Only methods of the first one's recipe are compared. The section is empty if the first method has no results, or
    none is left to compare with it.
    """
    first = results.rows[0]
    if first.kind != "method" or not first.runs:
        return ""
    compared = [row for row in results.measured[1:] if row.kind == "method" and row.recipe == first.recipe]
    shown = [each for each in headline(results) if summarised(first, each)]
    cells = [[escaped(row.title), *(_cell(row, first, each) for each in shown)] for row in compared]
    if not cells:
        return ""
    heading = f"## Differences from {escaped(first.title)}, paired over seeds\n\n"
    table = pipe_table(["method", *(each.heading for each in shown)], cells)
    return f"{heading}{_reading(results, len(cells) * len(shown))}\n\n{table}"


def _reading(results: TrackResults, intervals: int) -> str:
    if len(results.seeds) == 1:
        return "Points of percent. One seed has no spread: whether a difference is more than chance cannot be said."
    return (
        "Points of percent: mean ± standard deviation of the differences of runs with the same seed, and their "
        f"{LEVEL:.0%} t-interval in brackets. Only where that excludes 0 do the two differ by more than their seeds. "
        f"The {intervals} intervals are not corrected for their number: about one in twenty excludes 0 by chance alone."
    )


def _cell(row: Row, first: Row, shown: Column) -> str:
    difference = paired_difference(by_seed(row, shown), by_seed(first, shown))
    text = measured(difference, shown, sign="+")
    ends = difference.interval() if difference else None
    if difference is None or ends is None:
        return text
    verdict = "excludes 0" if difference.excludes_zero() else "includes 0"
    return f"{text} ({ends[0]:+.1f} to {ends[1]:+.1f}, {verdict})"
