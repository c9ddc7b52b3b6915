"""Published against measured numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wsolbench.errors import DataError
from wsolbench.report.columns import summarised
from wsolbench.report.plots import look
from wsolbench.report.published import Comparison, Published, comparisons, why_not
from wsolbench.report.style import legend, new_figure, titled
from wsolbench.results.load import TrackResults

__all__ = ["published_figure"]

_FREE = 3  # points of percent around the numbers


def published_figure(tracks: Sequence[TrackResults], published: Published) -> Figure:
    """Draw every published number against ours of the same thing: on the dotted line they are equal.

    Marker and colour are the method's, and filled markers are those of one source; where sources contradict one
    another, all are drawn, hollow. Whiskers are one sample standard deviation over our seeds.

    Args:
        tracks: measured ones.
        published: numbers and the rules by which they compare.

    Raises:
        DataError: nothing is comparable; the message says why, track by track.
    """
    found = [each for results in tracks for each in comparisons(results, published)]
    if not found:
        reasons = "; ".join(f"{results.track}: {_reason(results, published)}" for results in tracks)
        raise DataError(f"no published number may stand beside ours ({reasons})")
    plain: dict[str, Any] = {"linestyle": "none", "markersize": 6}
    styles: dict[str, dict[str, Any]] = {}
    for each in found:
        styles.setdefault(each.row.title, look(each.row) | plain)
    figure = new_figure(4.6)
    axis = figure.subplots()
    values: list[float] = []
    for each in found:
        values += _draw(axis, each, styles[each.row.title])
    ends = (min(values) - _FREE, max(values) + _FREE)
    axis.plot(ends, ends, color="black", linewidth=0.9, linestyle=(0, (1, 1.5)), zorder=1)
    axis.set(xlim=ends, ylim=ends, aspect="equal", xlabel="published (%)", ylabel="measured here (%)")
    numbers = ", ".join(dict.fromkeys(each.column.heading for each in found))
    titled(figure, f"{', '.join(dict.fromkeys(each.track for each in found))}: published and measured, {numbers}")
    handles = [Line2D([], [], label=title, **style) for title, style in styles.items()]
    if any(each.contradictory for each in found):
        hollow = next(iter(styles.values())) | {"markerfacecolor": "white", "color": "0.3", "markeredgecolor": "0.3"}
        handles.append(Line2D([], [], label="hollow: sources disagree", **hollow))
    legend(figure, handles)
    return figure


def _draw(axis: Axes, each: Comparison, style: dict[str, Any]) -> list[float]:
    ours = summarised(each.row, each.column)
    if ours is None:
        return []
    look = style | ({"markerfacecolor": "white", "markeredgecolor": style["color"]} if each.contradictory else {})
    theirs = sorted(set(each.published["value"]))
    for value in theirs:
        axis.errorbar(value, ours.mean, yerr=ours.sd, capsize=2, elinewidth=1, **look)
    spread = ours.sd or 0.0
    return [*theirs, ours.mean - spread, ours.mean + spread]


def _reason(results: TrackResults, published: Published) -> str:
    return why_not(results, published) or "no source measured these methods by these rules"
