"""Figures over tracks: mean ranks with what tells methods apart, and published numbers against measured ones."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scikit_posthocs import critical_difference_diagram

from wsolbench.report.figures.rows import labelled, styles_of
from wsolbench.report.figures.style import finish, is_narrow, new_figure, wrapped, zoomed
from wsolbench.report.ranks import Ranking
from wsolbench.report.track import records
from wsolbench.results.metrics import METRICS
from wsolbench.results.stats import LEVEL

__all__ = ["critical_difference", "published"]

_FREE = 3  # points of percent around the numbers


def critical_difference(found: Sequence[Ranking], frame: pd.DataFrame) -> Figure:
    """Draw a diagram per ranking (Demsar, JMLR 2006, figure 1).

    Best ranks are left. A bar of the length of the critical difference stands above the axis; bars below it join
    groups of methods that are not told apart. A ranking with too few tracks is a sentence that says so.
    """
    heights = [
        1.1 + 0.27 * (len(each.ranks) / (1 if is_narrow() else 2) + len(each.groups)) if each.ranks else 0.7
        for each in found
    ]
    figure = new_figure(sum(heights) + 0.4)
    axes = figure.subplots(len(found), 1, height_ratios=heights, squeeze=False)[:, 0]
    for axis, each in zip(axes, found, strict=True):
        if each.ranks:
            _diagram(axis, each, frame)
        else:
            axis.set_axis_off()
            text = wrapped(each.why_not, figure.get_figwidth() - 0.2, mpl.rcParams["font.size"])
            axis.text(0, 0.5, text, va="center", transform=axis.transAxes)
    return finish(figure, "Mean ranks over tracks")


def _diagram(axis: Axes, each: Ranking, frame: pd.DataFrame) -> None:
    methods = styles_of(frame.drop_duplicates("method").assign(row=lambda own: own["method"]))
    titles = {method: wrapped(title, 1.1, 8, 2) if is_narrow() else title for method, title in each.titles.items()}
    ranks = pd.Series(each.ranks).rename(titles)
    alike = pd.DataFrame(0.0, ranks.index, ranks.index)  # as p-values: 1 where two are not told apart
    for group in each.groups:
        names = [titles[method] for method in group]
        alike.loc[names, names] = 1.0
    drawn = critical_difference_diagram(
        ranks, alike, ax=axis, left_only=is_narrow(), label_fmt_left="{label} ({rank:.2f})",
        label_fmt_right="{label} ({rank:.2f})", text_h_margin=0.3, elbow_props={"linewidth": 1},
        crossbar_props={"linewidth": 2.5, "color": "0.35"}, marker_props={"s": 12, "zorder": 4},
        color_palette={titles[method]: methods[method]["color"] for method in each.titles},
    )  # fmt: skip
    for bar in (line for lines in drawn["crossbars"] for line in lines):  # its points are in the order of a set
        bar.set_xdata(sorted(bar.get_xdata()))
    axis.grid(visible=False)
    axis.spines["top"].set_visible(True)
    axis.set_xlim(1, len(ranks))
    axis.set_xticks(range(1, len(ranks) + 1))
    low, _ = axis.get_ylim()
    axis.set_ylim(low, 2.6)
    if each.critical is not None:
        axis.plot([1, 1 + each.critical], [1.6, 1.6], color="black", linewidth=2, marker="|", markersize=6)
        words = f"critical difference {each.critical:.2f} ({LEVEL:.0%})"
        axis.text(1, 2, words, fontsize=mpl.rcParams["xtick.labelsize"])
    heading = f"{each.column.heading}, {len(each.tracks)} tracks"
    axis.set_title(heading if each.differs else f"{heading}: no evidence of a difference", loc="left")


def published(frame: pd.DataFrame, found: pd.DataFrame) -> Figure:
    """Draw every published number against ours of the same thing: on the dotted line they are equal.

    Marker and colour are the method's, and filled markers are those of one source; where sources contradict one
    another, all are drawn, hollow. Whiskers are one sample standard deviation over our seeds.
    """
    rows = labelled(frame).drop_duplicates(["method", "recipe"])
    rows = rows[rows["method"].isin(found["method"])]
    rows["row"] = rows["row"].cat.remove_unused_categories()
    styles = {row: style | {"linestyle": "none", "markersize": 6} for row, style in styles_of(rows).items()}
    names = rows.set_index(["method", "recipe"])["row"]
    figure = new_figure(3.3 if is_narrow() else 4.6)
    axis = figure.subplots()
    for each in records(found):
        style = styles[names[each.method, each.recipe]]
        hollow = {"markerfacecolor": "white", "markeredgecolor": style["color"]} if each.contradictory else {}
        axis.errorbar(
            each.published, each.measured_mean, yerr=each.measured_sd, capsize=2, elinewidth=1, **style | hollow
        )
    ours, sd, theirs = found["measured_mean"], found["measured_sd"].fillna(0), found["published"]
    ends = min((ours - sd).min(), theirs.min()) - _FREE, max((ours + sd).max(), theirs.max()) + _FREE
    axis.plot(ends, ends, color="black", linewidth=0.9, linestyle=(0, (1, 1.5)), zorder=1)
    axis.set(xlim=ends, ylim=ends, aspect="equal")
    zoomed(axis, "x", "published")
    zoomed(axis, "y", "measured here")
    numbers = ", ".join(METRICS[name].heading for name in found["number"].unique())
    handles = [Line2D([], [], label=row, **style) for row, style in styles.items()]
    if found["contradictory"].any():
        hollow = {"linestyle": "none", "marker": "o", "markerfacecolor": "white", "markeredgecolor": "0.3"}
        handles.append(Line2D([], [], label="hollow: sources disagree", **hollow))
    return finish(figure, f"{', '.join(found['track'].unique())}: published and measured, {numbers}", handles)
