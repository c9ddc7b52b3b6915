"""What else there is to see of a track: overlaps, sizes, misses, and localization against classification.

Methods are told apart by marker and line, kinds of miss by hatch, and only then by colour, so that all of it can be
read in grey. A track without boxes is measured by the pixels of its masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from wsolbench.config.paths import Layout
from wsolbench.errors import DataError
from wsolbench.report.columns import at_val, columns_named, localization, summarised
from wsolbench.report.costs import read_provenance
from wsolbench.report.palette import CATEGORICAL
from wsolbench.report.style import legend, new_figure, row_label, seeds_phrase, titled
from wsolbench.results.load import Row, TrackResults, blocks_of
from wsolbench.results.per_image import read_per_image
from wsolbench.results.run_result import RunResult
from wsolbench.results.stats import spread

__all__ = [
    "heat_figure",
    "iou_figure",
    "look",
    "miss_figure",
    "scored_rows",
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
_BOX_KINDS = {
    "part": ("part only", CATEGORICAL["sky blue"], ""),
    "more": ("too much", CATEGORICAL["orange"], "////"),
    "multi_instance": ("several objects", CATEGORICAL["yellow"], ".."),
    "background": ("background", "0.25", ""),
    "other": ("other", "white", "\\\\\\\\"),
}
_PIXEL_KINDS = {
    "missed": ("object missed", CATEGORICAL["sky blue"], ""),
    "context": ("around the object", CATEGORICAL["orange"], "////"),
    "background": ("background", "0.25", ""),
}
_ROW_INCHES = 0.3
_WHISKER: dict[str, Any] = {"color": "black", "capsize": 3, "elinewidth": 1.4, "zorder": 6}
_PART_WHISKER: dict[str, Any] = {"color": "0.35", "capsize": 1.5, "elinewidth": 0.7, "capthick": 0.7, "zorder": 5}


def iou_figure(results: TrackResults, root: Path) -> Figure:
    """Draw the share of test images whose prediction reaches an IoU, over the IoU; at the threshold from ``val``.

    Lines are means over seeds, bands one sample standard deviation. Where a track has no ``val``, the fixed threshold
    is taken, and the title says so.
    """
    key, title = _threshold_of(results)
    column = f"mask_iou_{key}" if results.truth == "masks" else f"iou_{key}"
    grid = np.linspace(0, 1, 51)
    figure = new_figure(3.6)
    axis = figure.subplots()
    rows = scored_rows(results)
    for row in rows:
        frames = read_per_image(results, row, root, [column])
        reached = np.stack([(frame[column].to_numpy()[:, None] >= grid).mean(0) * 100 for frame in frames])
        mean = reached.mean(0)
        axis.plot(grid, mean, markevery=5, **look(row))
        if len(frames) > 1:
            deviation = reached.std(0, ddof=1)
            axis.fill_between(grid, mean - deviation, mean + deviation, color=look(row)["color"], alpha=0.15, lw=0)
    axis.axvline(0.5, color="black", linewidth=0.8, linestyle=(0, (1, 1.5)))
    truth = "mask" if results.truth == "masks" else "best true box"
    axis.set(xlim=(0, 1), ylim=(0, 100), xlabel=f"IoU with the {truth}", ylabel="test images that reach it (%)")
    titled(figure, f"{results.track}: overlap, {title}, {seeds_phrase(results)}")
    legend(figure, _handles(rows, results, lines=True))
    return figure


def size_figure(results: TrackResults) -> Figure:
    """Draw localization by object size: a group per size, a marker per method, whiskers of one standard deviation."""
    key, title = _threshold_of(results)
    rows, masks = scored_rows(results), results.truth == "masks"
    figure = new_figure(3.4)
    axis = figure.subplots()
    images = {size: getattr(rows[0].runs[0].by_size, size).images for size in _SIZES}
    sizes = [size for size in _SIZES if images[size]]
    for index, row in enumerate(rows):
        offset = (index + 0.5) / len(rows) - 0.5
        for place, size in enumerate(sizes):
            blocks = [getattr(run.by_size, size) for run in row.runs]
            values = [getattr(block.p_iou if masks else block.gt_known, key) for block in blocks]
            _point(axis, row, [place + 0.8 * offset], values, clip_on=False)
    axis.set_xticks(range(len(sizes)), [f"{size}\n{images[size]} images" for size in sizes])
    axis.set(ylim=(0, 100), ylabel="pIoU (%)" if masks else "GT-known Loc (%)", xlim=(-0.5, len(sizes) - 0.5))
    axis.grid(visible=False, axis="x")
    titled(figure, f"{results.track}: by object size, {title}, {seeds_phrase(results)}")
    legend(figure, _handles(rows, results))
    return figure


def miss_figure(results: TrackResults) -> Figure:
    """Draw the kinds of miss: a bar per method, mean shares over seeds; what is left is correct.

    Of boxes, they are shares of the test images. Of masks, they are what the overlap of an image lacks: pixels of the
    object that were missed, and pixels off it, around the object (a tenth of the image's side) and farther away. A
    whisker at the end of a bar is one sample standard deviation of all misses; a thin one at the end of a part is that
    of this kind of miss. Without a spread there is no whisker.
    """
    key, title = _threshold_of(results)
    rows, masks = scored_rows(results), results.truth == "masks"
    kinds = _PIXEL_KINDS if masks else _BOX_KINDS
    figure = new_figure(_ROW_INCHES * len(rows) + 1.3)
    axis = figure.subplots()
    for place, row in enumerate(rows):
        shares = [_shares(run, key, list(kinds), masks=masks) for run in row.runs]
        left = 0.0
        for index, (kind, (_, colour, hatch)) in enumerate(kinds.items()):
            share = spread(each[kind] for each in shares)
            style: dict[str, Any] = {"facecolor": colour, "hatch": hatch, "edgecolor": "0.2", "linewidth": 0.5}
            axis.barh(place, share.mean, left=left, height=0.72, **style)
            left += share.mean
            if share.sd:
                axis.errorbar(left, place + 0.06 + 0.06 * index, xerr=share.sd, **_PART_WHISKER)
        totals = spread(sum(each.values()) for each in shares)
        if totals.sd:
            axis.errorbar(totals.mean, place - 0.16, xerr=totals.sd, **_WHISKER)
    axis.set_yticks(range(len(rows)), [row_label(row, len(results.seeds)) for row in rows])
    what = "pixels of prediction and mask, mean over images (%)" if masks else "missed test images (%)"
    axis.set(xlim=(0, 100), xlabel=what, ylim=(len(rows) - 0.5, -0.5))
    axis.grid(visible=False, axis="y")
    titled(figure, f"{results.track}: kinds of miss, {title}, {seeds_phrase(results)}")
    patches = [
        Patch(label=name, facecolor=colour, hatch=hatch, edgecolor="0.2") for name, colour, hatch in kinds.values()
    ]
    legend(figure, patches, columns=5)
    return figure


def trade_off_figure(results: TrackResults) -> Figure:
    """Draw localization against classification: a marker per method, whiskers of one standard deviation both ways."""
    (across,), up = columns_named("cls.top1"), localization(results)
    rows = [row for row in scored_rows(results) if summarised(row, across) and summarised(row, up)]
    figure = new_figure(3.4)
    axis = figure.subplots()
    for row in rows:
        x, y = ([each.value(run) for run in row.runs] for each in (across, up))
        _point(axis, row, x, y, markersize=7)
    axis.set(xlabel="Top-1 Cls (%)", ylabel=f"{up.heading} (%)")
    titled(figure, f"{results.track}: localization and classification, {seeds_phrase(results)}")
    legend(figure, _handles(rows, results))
    return figure


def speed_figure(results: TrackResults, root: Path) -> Figure:
    """Draw localization against the time of a training, from the provenance of the runs: of one machine, or of several.

    Raises:
        DataError: a run's provenance is not here.
    """
    up = localization(results)
    rows = [row for row in scored_rows(results) if row.kind != "baseline"]
    figure = new_figure(3.4)
    axis = figure.subplots()
    for row in rows:
        seconds = []
        for run in row.runs:
            seen = read_provenance(run, root)
            if seen is None:
                path = Layout(root).provenance(run.key)
                raise DataError(f"{path} is missing, or of other data; train the run (`wsolbench train {run.key}`)")
            seconds.append(seen.wall_seconds.training)
        _point(axis, row, seconds, [up.value(run) for run in row.runs], markersize=7)
    axis.set(xlabel="seconds of training", ylabel=f"{up.heading} (%)")
    axis.set_xlim(left=0)
    titled(figure, f"{results.track}: localization and time, {seeds_phrase(results)}")
    legend(figure, _handles(rows, results))
    return figure


def heat_figure(tracks: Sequence[TrackResults]) -> Figure:
    """Draw a number of every method on every track as a table of shades, the number in each cell.

    MaxBoxAcc on tracks with boxes; PxAP on the others, in a table of their own.
    """
    parts = [(name, [each for each in tracks if each.truth == truth]) for name, truth in _HEAT]
    parts = [(name, found) for name, found in parts if found]
    names = {row: row_label(row, len(results.seeds)) for results in tracks for row in results.measured}
    titles = [list(dict.fromkeys(names[row] for each in found for row in each.measured)) for _, found in parts]
    figure = new_figure(sum(_ROW_INCHES * len(rows) + 1.2 for rows in titles))
    axes = figure.subplots(len(parts), 1, height_ratios=[len(rows) for rows in titles], squeeze=False)[:, 0]
    for axis, (name, found), rows in zip(axes, parts, titles, strict=True):
        (shown,) = columns_named(name)
        values = np.full((len(rows), len(found)), np.nan)
        for column, results in enumerate(found):
            for row in results.measured:
                summary = summarised(row, shown)
                if summary is not None:
                    values[rows.index(names[row]), column] = summary.mean
        axis.imshow(values, cmap="Greys", vmin=0, vmax=150, aspect="auto")  # never so dark that the number is lost
        for (line, column), value in np.ndenumerate(values):
            axis.text(column, line, "n/a" if np.isnan(value) else f"{value:.1f}", ha="center", va="center")
        axis.set_yticks(range(len(rows)), rows)
        axis.set_xticks(range(len(found)), [results.track for results in found])
        axis.set_title(f"{shown.heading} (%), mean over seeds", loc="left")
        axis.grid(visible=False)
    return figure


_HEAT = (("max_box_acc", "boxes"), ("px_ap", "masks"))


def scored_rows(results: TrackResults) -> list[Row]:
    """Return the rows that a track's truth measures, in the order of the tables."""
    rows = [row for _, block in blocks_of(results.measured) for row in block]
    return [
        row
        for row in rows
        if (row.runs[0].p_iou if results.truth == "masks" else row.runs[0].gt_known).fixed is not None
    ]


def _shares(run: RunResult, key: str, kinds: Sequence[str], *, masks: bool) -> dict[str, float]:
    """Return what a run misses at a threshold by kind, percent."""
    block = getattr(run.pixel_errors if masks else run.misses, key, None)
    if block is None:
        raise DataError(f"the metrics of {run.key} have no kinds of miss; run `wsolbench evaluate {run.key}`")
    return {kind: getattr(block, kind) for kind in kinds}


def _threshold_of(results: TrackResults) -> tuple[str, str]:
    """Return how the threshold of a track's figures was chosen, and the words for it."""
    return ("val", "threshold from val") if at_val(results) else ("fixed", "fixed threshold")


def look(row: Row) -> dict[str, Any]:
    """Return marker, line and colour of a row: the same in all figures, and whatever else they show."""
    return {
        "marker": _MARKERS[row.place % len(_MARKERS)],
        "linestyle": _LINES[row.place % len(_LINES)],
        "color": _COLOURS[row.place % len(_COLOURS)],
        "markersize": 4.5,
        "linewidth": 1.3,
        "markeredgecolor": "black",
        "markeredgewidth": 0.4,
    }


def _point(axis: Axes, row: Row, across: Sequence[float | None], up: Sequence[float | None], **style: Any) -> None:
    """Draw the means over a row's seeds, with whiskers of one standard deviation where there is one."""
    x, y = (spread(value for value in values if value is not None) for values in (across, up))
    how = {**look(row), "linestyle": "none", **style}
    axis.errorbar(x.mean, y.mean, xerr=x.sd, yerr=y.sd, capsize=2, elinewidth=1, **how)


def _handles(rows: Sequence[Row], results: TrackResults, *, lines: bool = False) -> list[Line2D]:
    plain = {} if lines else {"linestyle": "none"}
    return [Line2D([], [], label=row_label(row, len(results.seeds)), **{**look(row), **plain}) for row in rows]
