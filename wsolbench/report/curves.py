"""Localization over thresholds, and precision over recall of pixels."""

from __future__ import annotations

import io
from collections.abc import Sequence
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
from wsolbench.files import parse_file
from wsolbench.report.palette import CATEGORICAL
from wsolbench.report.plots import look, scored_rows
from wsolbench.report.style import is_narrow, legend, new_figure, row_label, seeds_phrase, titled
from wsolbench.results.load import Row, TrackResults, remedy
from wsolbench.results.run_result import RunResult

__all__ = ["curve_figure", "pixel_figure", "read_curves"]

_PANELS_ACROSS = 3
_LINE: dict[str, Any] = {"color": CATEGORICAL["blue"], "linewidth": 1.6}
_OTHERS: dict[str, Any] = {"color": "0.78", "linewidth": 0.7}
_FIXED: dict[str, Any] = {"color": "black", "linewidth": 0.9, "linestyle": (0, (1, 1.5))}
_MARK: dict[str, Any] = {"linestyle": "none", "markeredgecolor": "white", "markeredgewidth": 0.5, "zorder": 5}
_VAL: dict[str, Any] = {"marker": "v", "color": CATEGORICAL["vermilion"], "markersize": 6, **_MARK}
_ORACLE: dict[str, Any] = {"marker": "*", "color": CATEGORICAL["black"], "markersize": 8.5, **_MARK}

Curves = dict[str, pd.DataFrame]


def read_curves(results: TrackResults, root: Path, columns: Sequence[str]) -> Curves:
    """Read some columns of the curve of every run with results.

    Returns:
        By run key: ``threshold`` in [0, 1] and the columns, percent; a precision may be NaN.

    Raises:
        DataError: a file is missing or damaged; the message names it.
    """
    layout = Layout(root)
    return {
        run.key: _read(layout.curves(results.track, run.key), ["threshold", *columns], remedy(row.kind, run.key))
        for row in scored_rows(results)
        for run in row.runs
        if _has_threshold(run)
    }


def curve_figure(results: TrackResults, root: Path) -> Figure:
    """Draw BoxAcc, or pIoU where there are no boxes, in a panel per row; call it inside a figure style.

    The line is the mean over seeds, the band one sample standard deviation (none for a single seed); the other rows
    stand in grey behind it. The dotted line is the fixed threshold; each seed's val and oracle thresholds are marked on
    its own curve. Rows of boxes, which have no threshold, are left out.
    """
    masks = results.truth == "masks"
    column = "p_iou" if masks else "box_acc_iou50"
    curves = read_curves(results, root, [column])
    rows = [row for row in scored_rows(results) if _has_threshold(row.runs[0])]
    lines = {row: _joined(row, curves, column) for row in rows}
    means = {row: line.groupby("threshold")["value"].mean() for row, line in lines.items()}
    figure = new_figure(1)
    across = min(1 if is_narrow(figure) else _PANELS_ACROSS, len(rows))
    down = -(-len(rows) // across)
    figure.set_figheight(1.75 * down + 1.1)
    axes = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    for axis, row in zip(axes.flat, rows, strict=False):
        for other, mean in means.items():
            if other != row:
                axis.plot(mean.index, mean, **_OTHERS)
        _panel(axis, row, lines[row], masks=masks)
        axis.set_title(row_label(row, len(results.seeds), 28), loc="left")
    for axis in axes.flat[len(rows) :]:
        axis.set_axis_off()
    for index, axis in enumerate(axes.flat[: len(rows)]):
        if index + across >= len(rows):  # the lowest of its column, also where the last line is not full
            axis.tick_params(labelbottom=True)
            axis.set_xlabel("threshold (share of maximum)", fontsize=7)
    titled(figure, f"{results.track}: {'pIoU' if masks else 'BoxAcc'} over thresholds, {seeds_phrase(results)}")
    figure.supylabel("pIoU (%)" if masks else "test images with IoU >= 0.5 (%)", fontsize="medium")
    legend(figure, _legend(results), columns=3)
    return figure


def pixel_figure(results: TrackResults, root: Path) -> Figure:
    """Draw precision over recall of all test pixels: a line per row, the mean over seeds at equal thresholds.

    The area under it is PxAP. The dotted line is the share of object pixels: the precision of a map that says nothing.
    """
    curves = read_curves(results, root, ["px_precision", "px_recall"])
    rows = [row for row in scored_rows(results) if _has_threshold(row.runs[0])]
    figure = new_figure(3.6)
    axis = figure.subplots()
    for row in rows:
        joined = pd.concat([curves[run.key] for run in row.runs])
        mean = joined.groupby("threshold")[["px_recall", "px_precision"]].mean().dropna()
        axis.plot(mean["px_recall"], mean["px_precision"], markevery=0.1, **look(row))
    least = curves[rows[0].runs[0].key].iloc[0]["px_precision"]  # at threshold 0, where every pixel is claimed
    axis.axhline(least, **_FIXED)
    axis.set(xlim=(0, 100), ylim=(0, 101), xlabel="recall of object pixels (%)", ylabel="precision (%)")
    titled(figure, f"{results.track}: precision and recall of all test pixels, {_means(results)}")
    shares = Line2D([], [], label=f"share of object\npixels: {least:.0f} %", **_FIXED)
    handles = [Line2D([], [], label=row_label(row, len(results.seeds)), **look(row)) for row in rows]
    legend(figure, [*handles, shares])
    return figure


def _means(results: TrackResults) -> str:
    return f"mean over {len(results.seeds)} seeds" if len(results.seeds) > 1 else "one seed"


def _has_threshold(run: RunResult) -> bool:
    """Return whether a run has maps, and not boxes."""
    return run.threshold.fixed is not None


def _read(path: Path, columns: list[str], cure: str) -> pd.DataFrame:
    frame = parse_file(path, lambda content: pd.read_csv(io.BytesIO(content), usecols=columns, dtype=float), cure)
    if frame.empty or not np.isfinite(frame.drop(columns="px_precision", errors="ignore")).all(axis=None):
        raise DataError(f"{path} is damaged (no rows, or empty cells); delete it and {cure}")
    return frame


def _joined(row: Row, curves: Curves, column: str) -> pd.DataFrame:
    return pd.concat([curves[run.key] for run in row.runs], ignore_index=True).rename(columns={column: "value"})


def _panel(axis: Axes, row: Row, line: pd.DataFrame, *, masks: bool) -> None:
    sns.lineplot(line, x="threshold", y="value", errorbar="sd", err_kws={"alpha": 0.3}, ax=axis, **_LINE)
    for run in row.runs:
        reached = run.p_iou if masks else run.gt_known
        if run.threshold.val is not None and reached.val is not None:
            axis.plot(run.threshold.val, reached.val, **_VAL)
        if run.threshold.oracle is not None and reached.oracle is not None:
            axis.plot(run.threshold.oracle, reached.oracle, **_ORACLE)
    fixed = row.runs[0].threshold.fixed
    if fixed is not None:
        axis.axvline(fixed, **_FIXED)
    axis.set(xlim=(0, 1), ylim=(0, 100), xlabel="", ylabel="", xticks=[0, 0.25, 0.5, 0.75, 1])
    axis.set_xticklabels(["0", "", "0.5", "", "1"])


def _legend(results: TrackResults) -> list[Line2D]:
    line = "mean over seeds, band: sd" if len(results.seeds) > 1 else "one seed"
    others = [Line2D([], [], label="the other panels' lines", **_OTHERS)] if len(results.measured) > 1 else []
    thresholds = [run.threshold for run in results.runs if _has_threshold(run)]
    val = (
        [Line2D([], [], label="each seed at its val threshold", **_VAL)]
        if any(each.val is not None for each in thresholds)
        else []
    )
    return [
        Line2D([], [], label=line, **_LINE),
        *others,
        Line2D([], [], label="fixed threshold", **_FIXED),
        *val,
        Line2D([], [], label="each seed at its oracle threshold", **_ORACLE),
    ]
