"""Localization over thresholds: a panel per method, and where the fixed, val and oracle thresholds fall."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wsolbench.config.paths import Layout
from wsolbench.errors import DataError
from wsolbench.report.palette import CATEGORICAL
from wsolbench.report.style import PAGE_WIDTH, row_label, seeds_phrase
from wsolbench.results.load import Row, TrackResults, blocks_of, remedy

__all__ = ["curve_figure", "read_curves"]

_COLUMNS = ["threshold", "box_acc_iou50"]
_PANELS_ACROSS = 3
_LINE: dict[str, Any] = {"color": CATEGORICAL["blue"], "linewidth": 1.6}
_OTHERS: dict[str, Any] = {"color": "0.78", "linewidth": 0.7}
_FIXED: dict[str, Any] = {"color": "black", "linewidth": 0.9, "linestyle": (0, (1, 1.5))}
_MARK: dict[str, Any] = {"linestyle": "none", "markeredgecolor": "white", "markeredgewidth": 0.5, "zorder": 5}
_VAL: dict[str, Any] = {"marker": "v", "color": CATEGORICAL["vermilion"], "markersize": 6, **_MARK}
_ORACLE: dict[str, Any] = {"marker": "*", "color": CATEGORICAL["black"], "markersize": 8.5, **_MARK}

Curves = dict[str, pd.DataFrame]


def read_curves(results: TrackResults, root: Path) -> Curves:
    """Read the curve of every run with results.

    Returns:
        By run key: ``threshold`` in [0, 1] and ``box_acc_iou50``, single-contour BoxAcc on the test split in percent.

    Raises:
        DataError: a file is missing or damaged; the message names it.
    """
    layout = Layout(root)
    return {
        run.key: _read(layout.curves(results.track, run.key), remedy(row.kind, run.key))
        for row in results.rows
        for run in row.runs
    }


def curve_figure(results: TrackResults, curves: Curves) -> Figure:
    """Draw a panel per row; call it inside :func:`~wsolbench.report.style.figure_style`.

    The line is the mean over seeds, the band one sample standard deviation (none for a single seed); the other rows
    stand in grey behind it. The dotted line is the fixed threshold; each seed's val and oracle thresholds are marked on
    its own curve. Rows of boxes, which have no threshold, are left out.
    """
    drawn = (row for _, block in blocks_of(results.measured) for row in block)
    rows = [row for row in drawn if row.runs[0].threshold.fixed is not None]  # a box has no threshold
    lines = {row: _joined(row, curves) for row in rows}
    means = {row: line.groupby("threshold")["box_acc_iou50"].mean() for row, line in lines.items()}
    across = max(min(_PANELS_ACROSS, len(rows)), 1)
    down = max(-(-len(rows) // across), 1)
    figure = Figure(figsize=(PAGE_WIDTH, 1.75 * down + 1.1))
    axes = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    for axis, row in zip(axes.flat, rows, strict=False):
        for other, mean in means.items():
            if other != row:
                axis.plot(mean.index, mean, **_OTHERS)
        _panel(axis, row, lines[row])
        axis.set_title(row_label(row, len(results.seeds), 28), loc="left")
    for axis in axes.flat[len(rows) :]:
        axis.set_axis_off()
    for index, axis in enumerate(axes.flat[: len(rows)]):
        if index + across >= len(rows):  # the lowest of its column, also where the last line is not full
            axis.tick_params(labelbottom=True)
            axis.set_xlabel("threshold (share of maximum)", fontsize=7)
    figure.suptitle(f"{results.track}: BoxAcc over thresholds, {seeds_phrase(results)}")
    figure.supylabel("test images with IoU >= 0.5 (%)", fontsize=8)
    figure.legend(handles=_legend(results), loc="outside lower center", ncols=3)
    return figure


def _read(path: Path, cure: str) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path, usecols=_COLUMNS, dtype=float)
    except FileNotFoundError:
        raise DataError(f"{path} is missing; {cure}") from None
    except (ValueError, UnicodeDecodeError) as error:  # pandas' parser errors are ValueErrors
        raise DataError(f"{path} is damaged ({error}); delete it and {cure}") from None
    if frame.empty or not np.isfinite(frame).all(axis=None):
        raise DataError(f"{path} is damaged (no rows, or empty cells); delete it and {cure}")
    return frame


def _joined(row: Row, curves: Curves) -> pd.DataFrame:
    return pd.concat([curves[run.key] for run in row.runs], ignore_index=True)


def _panel(axis: Axes, row: Row, line: pd.DataFrame) -> None:
    sns.lineplot(line, x="threshold", y="box_acc_iou50", errorbar="sd", err_kws={"alpha": 0.3}, ax=axis, **_LINE)
    for run in row.runs:
        if run.threshold.val is not None and run.gt_known.val is not None:
            axis.plot(run.threshold.val, run.gt_known.val, **_VAL)
        if run.threshold.oracle is not None and run.gt_known.oracle is not None:
            axis.plot(run.threshold.oracle, run.gt_known.oracle, **_ORACLE)
    fixed = row.runs[0].threshold.fixed
    if fixed is not None:
        axis.axvline(fixed, **_FIXED)
    axis.set(xlim=(0, 1), ylim=(0, 100), xlabel="", ylabel="", xticks=[0, 0.25, 0.5, 0.75, 1])
    axis.set_xticklabels(["0", "", "0.5", "", "1"])


def _legend(results: TrackResults) -> list[Line2D]:
    line = "mean over seeds, band: sd" if len(results.seeds) > 1 else "one seed"
    others = [Line2D([], [], label="the other panels' lines", **_OTHERS)] if len(results.measured) > 1 else []
    return [
        Line2D([], [], label=line, **_LINE),
        *others,
        Line2D([], [], label="fixed threshold", **_FIXED),
        Line2D([], [], label="each seed at its val threshold", **_VAL),
        Line2D([], [], label="each seed at its oracle threshold", **_ORACLE),
    ]
