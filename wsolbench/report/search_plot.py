"""Effect of each hyper-parameter that a search has tried, and the distribution of a method's trials."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from wsolbench.config.distributions import Choice, Distribution, LogUniform, Uniform
from wsolbench.report.palette import CATEGORICAL
from wsolbench.report.searches import budget_differences, objective_label
from wsolbench.report.style import new_figure, titled
from wsolbench.search.record import Search

__all__ = ["search_figure"]

_ROW_INCHES = 1.4
_COLUMNS = 5
_LANES = 7  # in which the points of a distribution lie beside each other
_TICKS = 6.0  # points: font size of the values of a choice


def search_figure(searches: Sequence[Search]) -> Figure:
    """Draw panels per method: all its trials, then value against each parameter; the best trial is a star.

    Axes show the whole range that was searched, on a logarithmic scale where draws were log-uniform. Failed trials are
    crosses below.

    Args:
        searches: of one track, at least one.
    """
    counts = [1 + len(search.head.definition.space) for search in searches]
    columns = min(_COLUMNS, max(counts))
    rows = [-(-count // columns) for count in counts]
    figure = new_figure(_ROW_INCHES * sum(rows) + 0.5)
    grid = figure.subplots(sum(rows), columns, sharey=True, squeeze=False)
    first = 0
    for search, used in zip(searches, rows, strict=True):
        panels = list(grid[first : first + used].flat)
        _distribution(panels[0], search)
        for axis, (name, drawn) in zip(panels[1:], search.head.definition.space.items(), strict=False):
            _effect(axis, search, name, drawn)
        for axis in panels[1 + len(search.head.definition.space) :]:
            axis.set_visible(False)
        first += used
    figure.supylabel(objective_label(searches), fontsize="medium")
    titled(figure, f"{searches[0].head.track}: hyper-parameter search, {_budget(searches)}")
    return figure


def _budget(searches: Sequence[Search]) -> str:
    """Return what the title says about the budgets."""
    trials = sorted({search.head.trials for search in searches})
    said = f"{trials[0]} trials" if len(trials) == 1 else f"{trials[0]} to {trials[-1]} trials"
    if not all(search.finished for search in searches):
        return f"{said}, NOT FINISHED"
    if len(searches) == 1:
        return said
    return f"{said} each, UNEQUAL BUDGETS" if budget_differences(searches) else f"{said} each, equal budgets"


def _distribution(axis: Axes, search: Search) -> None:
    """Draw all values, in lanes by number, and their quartiles."""
    numbers = np.arange(len(search.trials))
    lanes = (numbers % _LANES - (_LANES - 1) / 2) / (2 * _LANES)
    _points(axis, search, lanes)
    if search.values:
        low, middle, high = np.percentile(search.values, [25, 50, 75])
        axis.hlines(middle, -0.4, 0.4, color="black", linewidth=1.5)
        axis.hlines([low, high], -0.3, 0.3, color="black", linewidth=0.8, linestyle="--")
    axis.set(xlim=(-0.5, 0.5), xticks=[], xlabel="all, with quartiles")
    axis.set_title(search.head.title, loc="left")


def _effect(axis: Axes, search: Search, name: str, drawn: Distribution) -> None:
    tried = [trial.values[name] for trial in search.trials]
    if isinstance(drawn, Choice):
        ticks = sorted(map(json.dumps, drawn.values), key=_order)
        places = np.array([ticks.index(json.dumps(value)) for value in tried], np.float64)
        axis.set_xticks(range(len(ticks)), list(map(_plain, ticks)), rotation=45, ha="right", fontsize=_TICKS)
        axis.set_xlim(-0.5, len(ticks) - 0.5)
    else:
        places = np.array(tried, np.float64)
        if isinstance(drawn, LogUniform):
            axis.set_xscale("log")
            axis.xaxis.set_major_locator(LogLocator(numticks=4))
            axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.xaxis.set_minor_locator(NullLocator())
        axis.set_xlim(*_padded(drawn))
    _points(axis, search, places)
    axis.set_xlabel(name.partition(".")[2])


def _padded(drawn: Uniform | LogUniform) -> tuple[float, float]:
    """Return the ends of an interval, and a twentieth of it beyond them, so that no point is cut off."""
    if isinstance(drawn, LogUniform):
        factor = (drawn.high / drawn.low) ** 0.05
        return drawn.low / factor, drawn.high * factor
    return drawn.low - 0.05 * (drawn.high - drawn.low), drawn.high + 0.05 * (drawn.high - drawn.low)


def _points(axis: Axes, search: Search, places: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> None:
    values = np.array([np.nan if trial.value is None else trial.value for trial in search.trials], np.float64)
    done = ~np.isnan(values)
    edge: dict[str, Any] = {"markeredgecolor": "black"}
    axis.plot(places[done], values[done], "o", color=CATEGORICAL["blue"], markersize=3.3, markeredgewidth=0.3, **edge)
    if not done.all():
        below = axis.get_xaxis_transform()  # height as a share of the panel
        lowest = np.full(int((~done).sum()), 0.05)
        axis.plot(places[~done], lowest, "x", color=CATEGORICAL["vermilion"], markersize=4, transform=below)
    if search.best is not None:
        best = [trial is search.best for trial in search.trials]
        star = {"markersize": 8, "markeredgewidth": 0.5, "zorder": 3, "clip_on": False, **edge}
        axis.plot(places[best], values[best], "*", color=CATEGORICAL["orange"], **star)


def _plain(text: str) -> str:
    """Return JSON text without its signs."""
    return text.translate(str.maketrans("", "", '[]" ')).replace("null", "none")


def _order(text: str) -> tuple[int, float, str]:
    """Return a key that puts numbers first, by size, and then lists by length and text."""
    value = json.loads(text)
    number = float(value) if isinstance(value, (int, float)) else 0.0
    return (len(value) if isinstance(value, list) else 0, number, text)
