"""Figure of hyper-parameter searches: the distribution of a method's trials, and the effect of each parameter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from wsolbench.config.distributions import Choice, Distribution, LogUniform
from wsolbench.report.figures.style import finish, is_narrow, new_figure
from wsolbench.report.palette import CATEGORICAL
from wsolbench.report.searches import budget_differences, objective_label
from wsolbench.search.record import Search

__all__ = ["search"]

_LANES = 7  # in which the points of a distribution lie beside each other


def search(searches: Sequence[Search]) -> Figure:
    """Draw panels per method: all its trials, then value against each parameter; the best trial is a star.

    Axes show the whole range that was searched, on a logarithmic scale where draws were log-uniform. Failed trials are
    crosses below.
    """
    counts = [1 + len(each.head.definition.space) for each in searches]
    columns = min(3 if is_narrow() else 5, max(counts))
    rows = [-(-count // columns) for count in counts]
    figure = new_figure(1.4 * sum(rows) + 0.5)
    grid = figure.subplots(sum(rows), columns, sharey=True, squeeze=False)
    for axis in grid.flat:
        axis.set_visible(False)
    for each, first in zip(searches, np.cumsum([0, *rows]), strict=False):
        axes = iter(grid[first:].flat)
        _distribution(next(axes), each)
        for (name, drawn), axis in zip(each.head.definition.space.items(), axes, strict=False):
            _effect(axis, each, name, drawn)
    figure.supylabel(objective_label(searches))
    return finish(figure, f"{searches[0].head.track}: hyper-parameter search, {_budget(searches)}")


def _budget(searches: Sequence[Search]) -> str:
    """Return what the title says about the budgets."""
    trials = sorted({each.head.trials for each in searches})
    said = f"{trials[0]} trials" if len(trials) == 1 else f"{trials[0]} to {trials[-1]} trials"
    if not all(each.finished for each in searches):
        return f"{said}, NOT FINISHED"
    if len(searches) == 1:
        return said
    return f"{said} each, UNEQUAL BUDGETS" if budget_differences(searches) else f"{said} each, equal budgets"


def _distribution(axis: Axes, each: Search) -> None:
    """Draw all values, in lanes by number, and their quartiles."""
    _points(axis, each, (np.arange(len(each.trials)) % _LANES - (_LANES - 1) / 2) / (2 * _LANES))
    if each.values:
        low, middle, high = np.percentile(each.values, [25, 50, 75])
        axis.hlines(middle, -0.4, 0.4, color="black", linewidth=1.5)
        axis.hlines([low, high], -0.3, 0.3, color="black", linewidth=0.8, linestyle="--")
    axis.set(xlim=(-0.5, 0.5), xticks=[], xlabel="all, with quartiles")
    axis.set_title(each.head.title, loc="left")


def _effect(axis: Axes, each: Search, name: str, drawn: Distribution) -> None:
    tried = [trial.values[name] for trial in each.trials]
    axis.set_xlabel(name.partition(".")[2])
    if isinstance(drawn, Choice):
        ticks = list(map(_plain, drawn.values))
        axis.set_xticks(range(len(ticks)), ticks, rotation=90, fontsize=6)
        axis.set_xlim(-0.5, len(ticks) - 0.5)
        tried = [ticks.index(_plain(value)) for value in tried]
    else:
        axis.set_xlim(drawn.low, drawn.high)
    if isinstance(drawn, LogUniform):
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(numticks=4))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.xaxis.set_minor_locator(NullLocator())
    _points(axis, each, np.array(tried, np.float64))


def _plain(value: object) -> str:
    """Return a value that was to be chosen, as a tick says it."""
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else "none" if value is None else str(value)


def _points(axis: Axes, each: Search, places: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> None:
    axis.set_visible(True)
    values = np.array([np.nan if trial.value is None else trial.value for trial in each.trials], np.float64)
    failed, best = np.isnan(values), np.array([trial is each.best for trial in each.trials], bool)
    edge: dict[str, Any] = {"markeredgecolor": "black", "clip_on": False}
    star: dict[str, Any] = {"color": CATEGORICAL["yellow"], "markersize": 8, "markeredgewidth": 0.5, "zorder": 3}
    if not failed.all():  # nothing has no extent, for which the layout would make room
        axis.plot(places[~failed], values[~failed], "o", color="0.5", markersize=3.3, markeredgewidth=0.3, **edge)
    low: dict[str, Any] = {"transform": axis.get_xaxis_transform()}  # height as a share of the panel
    axis.plot(places[failed], np.full(failed.sum(), 0.05), "x", color="black", markersize=4, **low)
    if best.any():
        axis.plot(places[best], values[best], "*", **star, **edge)
