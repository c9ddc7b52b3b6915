"""Effect of each hyper-parameter that a search has tried, and the distribution of a method's trials."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from wsolbench.palette import CATEGORICAL
from wsolbench.report.searches import budget_differences, objective_label
from wsolbench.report.style import PAGE_WIDTH
from wsolbench.search.record import COMPLETE, Search, SpaceEntry

__all__ = ["search_figure"]

_ROW_INCHES = 1.45
_LANES = 7  # in which the points of a distribution lie beside each other


def search_figure(searches: Sequence[Search]) -> Figure:
    """Draw a row of panels per method: all its trials, then value against each parameter; the best trial is a star.

    Axes of log-uniform parameters are logarithmic, those of choices name the values. Failed trials are crosses below.

    Args:
        searches: of one track, at least one.
    """
    columns = 1 + max(len(search.head.space) for search in searches)
    figure = Figure(figsize=(PAGE_WIDTH, _ROW_INCHES * len(searches) + 0.7))
    panels = figure.subplots(len(searches), columns, sharey=True, squeeze=False)
    for search, axes in zip(searches, panels, strict=True):
        _distribution(axes[0], search)
        for axis, entry in zip(axes[1:], search.head.space, strict=False):
            _effect(axis, search, entry)
        for axis in axes[1 + len(search.head.space) :]:
            axis.set_visible(False)
    figure.supylabel(objective_label(searches), fontsize="medium")
    equal = "equal budgets" if not budget_differences(searches) else "UNEQUAL BUDGETS, which do not compare"
    counts = "equal" if len({search.head.trials for search in searches}) == 1 else "different"
    trials = f"{searches[0].head.trials} trials each" if counts == "equal" else "different numbers of trials"
    compared = f", {equal}" if len(searches) > 1 else ""
    figure.suptitle(f"{searches[0].head.track}: hyper-parameter search, {trials}{compared}")
    return figure


def _distribution(axis: Axes, search: Search) -> None:
    """Draw all values, in lanes by number, and their quartiles."""
    numbers = np.arange(len(search.table))
    lanes = (numbers % _LANES - (_LANES - 1) / 2) / (2 * _LANES)
    _points(axis, search, lanes)
    if search.values:
        low, middle, high = np.percentile(search.values, [25, 50, 75])
        axis.hlines(middle, -0.4, 0.4, color="black", linewidth=1.5)
        axis.hlines([low, high], -0.3, 0.3, color="black", linewidth=0.8, linestyle="--")
    axis.set(xlim=(-0.5, 0.5), xticks=[], title=search.head.title)
    axis.set_xlabel("all trials, quartiles")


def _effect(axis: Axes, search: Search, entry: SpaceEntry) -> None:
    stored = search.table[entry.name]
    if entry.kind == "choice":
        texts = sorted(dict.fromkeys(map(str, stored)), key=_order)
        places = np.array([texts.index(str(value)) for value in stored], np.float64)
        axis.set_xticks(range(len(texts)), [text.replace(" ", "") for text in texts], rotation=30, ha="right")
        axis.set_xlim(-0.5, len(texts) - 0.5)
    else:
        places = stored.to_numpy(np.float64)
        if entry.kind == "log":
            axis.set_xscale("log")
            axis.xaxis.set_minor_formatter(NullFormatter())
    _points(axis, search, places)
    axis.set_xlabel(entry.name.partition(".")[2])


def _points(axis: Axes, search: Search, places: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> None:
    values = search.table["value"].to_numpy(np.float64)
    done = (search.table["state"] == COMPLETE).to_numpy()
    axis.scatter(places[done], values[done], s=11, color=CATEGORICAL["blue"], edgecolors="black", linewidths=0.3)
    if not done.all():
        lowest = np.full((~done).sum(), 0.04)
        below = axis.get_xaxis_transform()
        axis.scatter(places[~done], lowest, s=14, marker="x", color=CATEGORICAL["vermilion"], transform=below)
    if search.best is not None:
        where, colour = (places[search.best], values[search.best]), CATEGORICAL["orange"]
        axis.scatter(*where, s=60, marker="*", color=colour, edgecolors="black", linewidths=0.5, zorder=3)


def _order(text: str) -> tuple[int, float, str]:
    """Return a key that puts numbers first, by size, and then lists by length and text."""
    value = json.loads(text)
    number = float(value) if isinstance(value, (int, float)) else 0.0
    return (len(value) if isinstance(value, list) else 0, number, text)
