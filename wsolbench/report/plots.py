"""What else there is to see of a track: overlaps, sizes, misses, and localization against classification.

Methods are told apart by marker and line, kinds of miss by hatch, and only then by colour, so that all of it can be
read in grey.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from wsolbench.config.paths import Layout
from wsolbench.errors import DataError
from wsolbench.report.columns import columns_named, summarised
from wsolbench.report.costs import read_provenance
from wsolbench.report.palette import CATEGORICAL
from wsolbench.report.style import PAGE_WIDTH, row_label, seeds_phrase
from wsolbench.results.load import Row, TrackResults, blocks_of
from wsolbench.results.per_image import read_per_image
from wsolbench.results.run_result import RunResult
from wsolbench.results.stats import spread

__all__ = [
    "heat_figure",
    "iou_figure",
    "looks",
    "miss_figure",
    "size_figure",
    "speed_figure",
    "trade_off_figure",
]

_MARKERS = "osD^vP*X<>ph"
_LINES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1)))  # five, and seven hues: no pair comes twice in 35
_COLOURS = [
    CATEGORICAL[name] for name in ("blue", "vermilion", "bluish green", "reddish purple", "black", "orange", "sky blue")
]
_SIZES = ("small", "medium", "large")
_KINDS = {
    "part": ("part only", CATEGORICAL["sky blue"], ""),
    "more": ("too much", CATEGORICAL["orange"], "////"),
    "multi_instance": ("several objects", CATEGORICAL["yellow"], ".."),
    "background": ("background", "0.25", ""),
    "other": ("other", "white", "\\\\\\\\"),
}
_ROW_INCHES = 0.3
_WHISKER: dict[str, Any] = {"color": "black", "capsize": 3, "elinewidth": 1.4, "zorder": 6}
_PART_WHISKER: dict[str, Any] = {"color": "0.35", "capsize": 1.5, "elinewidth": 0.7, "capthick": 0.7, "zorder": 5}


def iou_figure(results: TrackResults, root: Path) -> Figure:
    """Draw the share of test images whose box reaches an IoU, over the IoU; at the threshold from ``val``.

    Lines are means over seeds, bands one sample standard deviation. Where a track has no ``val``, the fixed threshold
    is taken, and the title says so.
    """
    rows = _drawn(results)
    column, title = _threshold_of(rows)
    grid = np.linspace(0, 1, 51)
    figure = Figure(figsize=(PAGE_WIDTH, 3.6))
    axis = figure.subplots()
    for look, row in zip(looks(rows), rows, strict=True):
        frames = read_per_image(results, row, root, [column])
        reached = np.stack([(frame[column].to_numpy()[:, None] >= grid).mean(0) * 100 for frame in frames])
        mean = reached.mean(0)
        axis.plot(grid, mean, label=row_label(row, len(results.seeds)), markevery=5, **look)
        if len(frames) > 1:
            deviation = reached.std(0, ddof=1)
            axis.fill_between(grid, mean - deviation, mean + deviation, color=look["color"], alpha=0.15, linewidth=0)
    axis.axvline(0.5, color="black", linewidth=0.8, linestyle=(0, (1, 1.5)))
    axis.set(xlim=(0, 1), ylim=(0, 100), xlabel="IoU with the best true box", ylabel="test images that reach it (%)")
    figure.suptitle(f"{results.track}: overlap, {title}, {seeds_phrase(results)}")
    figure.legend(loc="outside right center")
    return figure


def size_figure(results: TrackResults) -> Figure:
    """Draw GT-known Loc by object size: a group per size, a marker per method, whiskers of one standard deviation."""
    rows = _drawn(results)
    _, title = _threshold_of(rows)
    key = "val" if "val" in title else "fixed"
    figure = Figure(figsize=(PAGE_WIDTH, 3.4))
    axis = figure.subplots()
    sizes = [size for size in _SIZES if getattr(rows[0].runs[0].by_size, size).images]
    for index, (look, row) in enumerate(zip(looks(rows), rows, strict=True)):
        offset = (index + 0.5) / len(rows) - 0.5
        for place, size in enumerate(sizes):
            values = [getattr(getattr(run.by_size, size).gt_known, key) for run in row.runs]
            summary = spread([value for value in values if value is not None])
            style = {**look, "linestyle": "none"}
            where = place + 0.8 * offset
            axis.errorbar(where, summary.mean, yerr=summary.sd, capsize=2, elinewidth=1, clip_on=False, **style)
    counts = [getattr(rows[0].runs[0].by_size, size).images for size in sizes]
    axis.set_xticks(range(len(sizes)), [f"{size}\n{count} images" for size, count in zip(sizes, counts, strict=True)])
    axis.set(ylim=(0, 100), ylabel="GT-known Loc (%)", xlim=(-0.5, len(sizes) - 0.5))
    axis.grid(visible=False, axis="x")
    figure.suptitle(f"{results.track}: by object size, {title}, {seeds_phrase(results)}")
    _legend(figure, rows, results)
    return figure


def miss_figure(results: TrackResults) -> Figure:
    """Draw the kinds of miss: a bar per method, mean shares of the test images over seeds; what is left is correct.

    A whisker at the end of a bar is one sample standard deviation of all misses; a thin one at the end of a part is
    that of this kind of miss. Without a spread there is no whisker.
    """
    rows = _drawn(results)
    _, title = _threshold_of(rows)
    key = "val" if "val" in title else "fixed"
    figure = Figure(figsize=(PAGE_WIDTH, _ROW_INCHES * len(rows) + 1.3))
    axis = figure.subplots()
    for place, row in enumerate(rows):
        left = 0.0
        for index, (kind, (_, colour, hatch)) in enumerate(_KINDS.items()):
            share = spread(getattr(getattr(run.misses, key), kind) for run in row.runs)
            look: dict[str, Any] = {"facecolor": colour, "hatch": hatch, "edgecolor": "0.2", "linewidth": 0.5}
            axis.barh(place, share.mean, left=left, height=0.72, **look)
            left += share.mean
            if share.sd:
                axis.errorbar(left, place + 0.06 + 0.06 * index, xerr=share.sd, **_PART_WHISKER)
        totals = spread(_missed(run, key) for run in row.runs)
        if totals.sd:
            axis.errorbar(totals.mean, place - 0.16, xerr=totals.sd, **_WHISKER)
    axis.set_yticks(range(len(rows)), [row_label(row, len(results.seeds)) for row in rows])
    axis.set(xlim=(0, 100), xlabel="missed test images (%)", ylim=(len(rows) - 0.5, -0.5))
    axis.grid(visible=False, axis="y")
    figure.suptitle(f"{results.track}: kinds of miss, {title}, {seeds_phrase(results)}")
    handles = [
        Patch(label=name, facecolor=colour, hatch=hatch, edgecolor="0.2") for name, colour, hatch in _KINDS.values()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=5)
    return figure


def trade_off_figure(results: TrackResults) -> Figure:
    """Draw localization against classification: a marker per method, whiskers of one standard deviation both ways."""
    rows = [row for row in _drawn(results) if row.runs[0].cls.top1 is not None]
    _, title = _threshold_of(_drawn(results))
    across, up = columns_named("cls.top1", "gt_known.val" if "val" in title else "gt_known.fixed")
    figure = Figure(figsize=(PAGE_WIDTH, 3.4))
    axis = figure.subplots()
    for look, row in zip(looks(rows), rows, strict=True):
        x, y = summarised(row, across), summarised(row, up)
        if x is not None and y is not None:
            style = {**look, "linestyle": "none", "markersize": 7}
            axis.errorbar(x.mean, y.mean, xerr=x.sd, yerr=y.sd, capsize=2, elinewidth=1, **style)
    axis.set(xlabel="Top-1 Cls (%)", ylabel="GT-known Loc (%)")
    figure.suptitle(f"{results.track}: localization and classification, {title}, {seeds_phrase(results)}")
    _legend(figure, rows, results)
    return figure


def speed_figure(results: TrackResults, root: Path) -> Figure:
    """Draw localization against the time of a training, from the provenance of the runs: of one machine, or of several.

    Raises:
        DataError: a run's provenance is not here.
    """
    rows = [row for row in _drawn(results) if row.kind != "baseline"]
    _, title = _threshold_of(_drawn(results))
    (up,) = columns_named("gt_known.val" if "val" in title else "gt_known.fixed")
    figure = Figure(figsize=(PAGE_WIDTH, 3.4))
    axis = figure.subplots()
    for look, row in zip(looks(rows), rows, strict=True):
        seconds = []
        for run in row.runs:
            seen = read_provenance(run, root)
            if seen is None:
                path = Layout(root).provenance(run.key)
                raise DataError(f"{path} is missing, or of other data; train the run (`wsolbench train {run.key}`)")
            seconds.append(seen.wall_seconds.training)
        x, y = spread(seconds), summarised(row, up)
        if y is not None:
            style = {**look, "linestyle": "none", "markersize": 7}
            axis.errorbar(x.mean, y.mean, xerr=x.sd, yerr=y.sd, capsize=2, elinewidth=1, **style)
    axis.set(xlabel="seconds of training", ylabel="GT-known Loc (%)")
    axis.set_xlim(left=0)
    figure.suptitle(f"{results.track}: localization and time, {title}, {seeds_phrase(results)}")
    _legend(figure, rows, results)
    return figure


def heat_figure(tracks: Sequence[TrackResults], name: str) -> Figure:
    """Draw a number of every method on every track as a table of shades, the number in each cell.

    Args:
        tracks: measured ones.
        name: of the column: ``max_box_acc``.
    """
    (shown,) = columns_named(name)
    names = {row: row_label(row, len(results.seeds)) for results in tracks for row in results.measured}
    titles = list(dict.fromkeys(names.values()))
    values = np.full((len(titles), len(tracks)), np.nan)
    for column, results in enumerate(tracks):
        for row in results.measured:
            summary = summarised(row, shown)
            if summary is not None:
                values[titles.index(names[row]), column] = summary.mean
    figure = Figure(figsize=(PAGE_WIDTH, _ROW_INCHES * len(titles) + 1.2))
    axis = figure.subplots()
    axis.imshow(values, cmap="Greys", vmin=0, vmax=150, aspect="auto")  # never so dark that the number is lost
    for (line, column), value in np.ndenumerate(values):
        axis.text(column, line, "n/a" if np.isnan(value) else f"{value:.1f}", ha="center", va="center")
    axis.set_yticks(range(len(titles)), titles)
    axis.set_xticks(range(len(tracks)), [results.track for results in tracks])
    axis.grid(visible=False)
    figure.suptitle(f"{shown.heading} (%), mean over seeds")
    return figure


def _drawn(results: TrackResults) -> list[Row]:
    """Rows in the order of the tables, without those that have no boxes to speak of."""
    rows = [row for _, block in blocks_of(results.measured) for row in block]
    return [row for row in rows if row.runs[0].gt_known.fixed is not None]


def _missed(run: RunResult, key: str) -> float:
    """Return the share of test images that a run misses at a threshold, percent."""
    return float(sum(getattr(getattr(run.misses, key), kind) for kind in _KINDS))


def _threshold_of(rows: Sequence[Row]) -> tuple[str, str]:
    """Return the per-image column and the words for the threshold that a track's figures use."""
    chosen = all(run.gt_known.val is not None for row in rows for run in row.runs)
    return ("iou_val", "threshold from val") if chosen else ("iou_fixed", "fixed threshold")


def looks(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return marker, line and colour of each row; no two rows share marker and line."""
    return [
        {
            "marker": _MARKERS[index % len(_MARKERS)],
            "linestyle": _LINES[index % len(_LINES)],
            "color": _COLOURS[index % len(_COLOURS)],
            "markersize": 4.5,
            "linewidth": 1.3,
            "markeredgecolor": "black",
            "markeredgewidth": 0.4,
        }
        for index in range(len(rows))
    ]


def _legend(figure: Figure, rows: Sequence[Row], results: TrackResults) -> None:
    handles = [
        Line2D([], [], label=row_label(row, len(results.seeds)), **{**look, "linestyle": "none"})
        for look, row in zip(looks(rows), rows, strict=True)
    ]
    figure.legend(handles=handles, loc="outside right center")
