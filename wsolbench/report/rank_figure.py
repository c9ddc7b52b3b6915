"""Critical-difference diagrams: mean ranks on a line, and bars that join what is not told apart."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wsolbench.report.palette import CATEGORICAL
from wsolbench.report.ranks import Ranking
from wsolbench.report.style import new_figure, titled
from wsolbench.results.stats import LEVEL

__all__ = ["rank_figure"]

_LINE_INCHES = 0.2
_STEP = 1.0  # between two labels, in units of the vertical axis
_TEXT_INCHES = 0.55


def rank_figure(found: Sequence[Ranking]) -> Figure:
    """Draw a diagram per ranking (Demsar, JMLR 2006, figure 1); call it inside a figure style.

    Best ranks are left. A bar of the length of the critical difference stands above the axis; bars below it join
    groups of methods that are not told apart. A ranking with too few tracks is a sentence that says so.
    """
    lines = [_lines(each) * _LINE_INCHES + 0.6 if each.ranks else _TEXT_INCHES for each in found]
    figure = new_figure(sum(lines) + 0.3)
    axes = figure.subplots(len(found), 1, height_ratios=lines, squeeze=False)[:, 0]
    for axis, each in zip(axes, found, strict=True):
        axis.set_axis_off()
        if each.ranks:
            _diagram(axis, each)
        else:
            axis.text(0, 0.5, textwrap.fill(each.why_not, 110), va="center", transform=axis.transAxes)
    titled(figure, "Mean ranks over tracks")
    return figure


def _lines(each: Ranking) -> float:
    """Height of a diagram in lines of text: critical difference, axis, bars, and labels in two columns."""
    return 3.5 + 0.6 * len(each.groups) + (len(each.ranks) + 1) // 2


def _diagram(axis: Axes, each: Ranking) -> None:
    order = sorted(each.ranks, key=lambda method: each.ranks[method])
    last, half = len(order), (len(order) + 1) // 2
    axis.hlines(0, 1, last, color="black", linewidth=1)
    for tick in range(1, last + 1):
        axis.vlines(tick, 0, 0.2, color="black", linewidth=1)
        axis.text(tick, 0.35, str(tick), ha="center", va="bottom", fontsize=7)
    if each.critical is not None:
        ends = (1.0, 1.0 + each.critical)
        words = f"critical difference {each.critical:.2f} ({LEVEL:.0%})"
        axis.hlines(1.7, *ends, color=CATEGORICAL["vermilion"], linewidth=2)
        axis.vlines(ends, 1.5, 1.9, color=CATEGORICAL["vermilion"], linewidth=1)
        axis.text(ends[1] + 0.05, 1.7, words, va="center", fontsize=7)
    for index, group in enumerate(each.groups):
        ranks = [each.ranks[method] for method in group]
        ends = (min(ranks) - 0.04, max(ranks) + 0.04)
        axis.hlines(-0.5 - 0.6 * index, *ends, color=CATEGORICAL["blue"], linewidth=3, zorder=3)
    lowest = -0.6 - 0.6 * len(each.groups)
    margin = 0.05 * (last - 1)
    for place, method in enumerate(order):
        rank, is_left = each.ranks[method], place < half
        height = lowest - _STEP * (place if is_left else last - 1 - place)
        outward = -margin if is_left else margin
        edge = (1.0 if is_left else last) + outward
        axis.plot([rank, rank, edge], [0, height, height], color="0.3", linewidth=0.8)
        label = f"{each.titles[method]} ({rank:.2f})"
        axis.text(edge + outward / 3, height, label, va="center", ha="right" if is_left else "left")
    axis.set_xlim(1 - 0.45 * (last - 1), last + 0.45 * (last - 1))
    axis.set_ylim(lowest - _STEP * (half - 1) - 0.6, 2.3)
    heading = f"{each.column.heading}, {len(each.tracks)} tracks"
    axis.set_title(heading if each.differs else f"{heading}: no evidence of a difference", loc="left")
