"""Figure of hyper-parameter searches: the distribution of a method's trials, and the effect of each parameter."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from wsolbench.config.distributions import Choice, Distribution, LogUniform
from wsolbench.report.figures.style import TALLEST, finish, is_narrow, new_figure
from wsolbench.report.palette import CATEGORICAL
from wsolbench.report.searches import budget_differences, objective_label
from wsolbench.search.record import Search

__all__ = ["search"]

_log = logging.getLogger(__name__)
_LANES = 7  # in which the points of a distribution lie beside each other


def search(searches: Sequence[Search], tallest: float = TALLEST) -> Figure:
    """Draw panels per method: all its trials, then value against each parameter; the best trial is a star.

    Axes show the whole range that was searched, on a logarithmic scale where draws were log-uniform. Failed trials are
    crosses below. The last methods, for which a figure of the tallest height in inches has no room, are left out; the
    title says so, and a warning names them.
    """
    counts = [1 + len(each.head.definition.space) for each in searches]
    least, most = (3, 3) if is_narrow() else (5, 6)
    most = min(most, max(counts))
    columns = next((each for each in range(min(least, most), most) if _height(counts, each) <= tallest), most)
    shown = next(k for k in range(len(counts), 0, -1) if k == 1 or _height(counts[:k], columns) <= tallest)
    left_out = [each.head.method for each in searches[shown:]]
    if left_out:
        _log.warning("a page has no room for %s: draw them with --methods", ", ".join(left_out))
    part = f" ({shown} of {len(searches)} methods)" if left_out else ""
    title = f"{searches[0].head.track}: hyper-parameter search{part}, {_budget(searches)}"
    searches, rows = searches[:shown], _rows(counts[:shown], columns)
    figure = new_figure(_height(counts[:shown], columns))
    grid = figure.subplots(sum(rows), columns, sharey=True, squeeze=False)
    for axis in grid.flat:
        axis.set_visible(False)
    for each, first in zip(searches, np.cumsum([0, *rows]), strict=False):
        axes = iter(grid[first:].flat)
        _distribution(next(axes), each)
        for (name, drawn), axis in zip(each.head.definition.space.items(), axes, strict=False):
            _effect(axis, each, name, drawn)
    figure.supylabel(objective_label(searches))
    return finish(figure, title, tallest=tallest)


def _rows(counts: Sequence[int], columns: int) -> list[int]:
    """Return how many lines each method's panels fill."""
    return [-(-count // columns) for count in counts]


def _height(counts: Sequence[int], columns: int) -> float:
    return 1.4 * sum(_rows(counts, columns)) + 0.5


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
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
        axis.xaxis.set_minor_locator(NullLocator())
    _points(axis, each, np.array(tried, np.float64))


def _short(value: float) -> str:
    """Return a power of ten as a tick says it: ``0.01``, and ``1e-4`` below a thousandth."""
    return f"{value:g}" if value >= 1e-3 else f"{value:.0e}".replace("e-0", "e-")


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
