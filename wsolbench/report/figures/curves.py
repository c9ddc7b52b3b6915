"""Figures of curves: localization over thresholds, overlaps, precision over recall, losses over epochs."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from wsolbench.config.paths import Layout
from wsolbench.errors import DataError
from wsolbench.files import parse_file
from wsolbench.report.figures.rows import handles, heading, labelled, numbers, styles_of, threshold_of
from wsolbench.report.figures.style import finish, is_narrow, new_figure, panels
from wsolbench.report.track import records
from wsolbench.results.load import load_curve, load_per_image, remedy, truth_of

__all__ = ["overlaps", "precision_recall", "read_curves", "threshold_curves", "training"]

_OTHERS: dict[str, Any] = {"color": "0.78", "linewidth": 0.7}
_FIXED: dict[str, Any] = {"color": "black", "linewidth": 0.9, "linestyle": (0, (1, 1.5))}
_VAL: dict[str, Any] = {"marker": "v", "markersize": 5, "color": "white", "markeredgecolor": "black"}
_ORACLE: dict[str, Any] = {"marker": "*", "markersize": 8.5, "color": "black", "markeredgecolor": "white"}
_MARK: dict[str, Any] = {"linestyle": "none", "markeredgewidth": 0.5, "zorder": 5}


def _read(frame: pd.DataFrame, read: Callable[[Any], pd.DataFrame]) -> pd.DataFrame:
    """Return a table of every run of a labelled frame below one another, with the run's row, look and key."""
    runs = frame.drop_duplicates("key")[["track", "kind", "key", "row", "look"]]
    found = [read(run).assign(key=run.key) for run in records(runs)]
    return runs.merge(pd.concat(found, ignore_index=True), on="key") if found else runs


def read_curves(frame: pd.DataFrame, root: Path, *columns: str) -> pd.DataFrame:
    """Read some columns of the curve of every run of a labelled frame that has a threshold.

    Returns:
        ``key``, ``row``, ``look``, and :func:`~wsolbench.results.load.load_curve`.
    """
    runs = frame[frame["metric"] == "threshold.fixed"]
    return _read(runs, lambda run: load_curve(run.track, run.key, run.kind, root, *columns))


def threshold_curves(frame: pd.DataFrame, root: Path) -> Figure:
    """Draw BoxAcc, or pIoU where there are no boxes, in a panel per method.

    The line is the mean over seeds, the band one sample standard deviation (none for a single seed); the other methods
    stand in grey behind it. The dotted line is the fixed threshold; each seed's val and oracle thresholds are marked on
    its own curve. Rows of boxes, which have no threshold, are left out.
    """
    frame = labelled(frame)
    column, metric, name = (
        ("p_iou", "p_iou", "pIoU") if truth_of(frame) == "masks" else ("box_acc_iou50", "gt_known", "BoxAcc")
    )
    curves = read_curves(frame, root, column)
    means = curves.groupby(["row", "threshold"], observed=True)[column].mean()
    fixed = frame.loc[frame["metric"] == "threshold.fixed", "value"].iloc[0]
    marks = {at: numbers(frame, f"threshold.{at}", f"{metric}.{at}") for at in ("val", "oracle")}
    styles = styles_of(curves)
    inches = (1.6, 1.7, 1.0) if is_narrow() else (2.3, 1.7, 1.3)
    figure, axes = panels(len(styles), *inches, sharex=True, sharey=True)
    for axis, (row, style) in zip(axes, styles.items(), strict=True):
        for other in (each for each in styles if each != row):  # in order, for equal bytes
            axis.plot(means[other], **_OTHERS)
        band: dict[str, Any] = {"errorbar": "sd", "err_kws": {"alpha": 0.3}, "color": style["color"], "linewidth": 1.6}
        sns.lineplot(curves[curves["row"] == row], x="threshold", y=column, ax=axis, **band)
        for (at, reached), mark in zip(marks.items(), (_VAL, _ORACLE), strict=True):
            own = reached[reached["row"] == row]
            axis.plot(own[f"threshold.{at}"], own[f"{metric}.{at}"], **_MARK, **mark)
        axis.axvline(fixed, **_FIXED)
        axis.set(xlim=(0, 1), ylim=(0, 100), ylabel="", xticks=[0, 0.25, 0.5, 0.75, 1])
        axis.set_xticklabels(["0", "", "0.5", "", "1"])
        axis.set_title(row, loc="left")
    figure.supylabel("pIoU (%)" if name == "pIoU" else "test images with IoU >= 0.5 (%)")
    line = "mean over seeds, band: sd" if len(frame["seed"].unique()) > 1 else "one seed"
    keys = [Line2D([], [], label=line, color="0.3", linewidth=1.6), Line2D([], [], label="fixed threshold", **_FIXED)]
    keys += [Line2D([], [], label="the other panels' lines", **_OTHERS)] if len(styles) > 1 else []
    for (at, reached), mark in zip(marks.items(), (_VAL, _ORACLE), strict=True):
        keys += [] if reached.empty else [Line2D([], [], label=f"each seed at its {at} threshold", **_MARK, **mark)]
    return finish(figure, heading(frame, f"{name} over thresholds (shares of a map's maximum)"), keys, below=True)


def _lines(axis: Axes, table: pd.DataFrame, x: str, y: str, **how: Any) -> None:
    """Draw a line per row: the mean over seeds, and a band."""
    styles = styles_of(table)
    dashes: Any = {row: "" if style["linestyle"] == "-" else style["linestyle"][1] for row, style in styles.items()}
    sns.lineplot(
        table, x=x, y=y, hue="row", style="row", hue_order=styles, style_order=styles, legend=False, ax=axis,
        palette={row: style["color"] for row, style in styles.items()},
        markers={row: style["marker"] for row, style in styles.items()},
        dashes=dashes,
        err_kws={"alpha": 0.15}, markersize=4.5, linewidth=1.3, markeredgecolor="black", markeredgewidth=0.4, **how,
    )  # fmt: skip


def precision_recall(frame: pd.DataFrame, root: Path) -> Figure:
    """Draw precision over recall of all test pixels: a line per method, the mean over seeds at equal thresholds.

    The area under it is PxAP. The dotted line is the share of object pixels: the precision of a map that says nothing.
    """
    frame = labelled(frame)
    curves = read_curves(frame, root, "px_precision", "px_recall")
    least = curves["px_precision"].iloc[0]  # at threshold 0, where every pixel is claimed
    means = curves.groupby(["row", "look", "threshold"], observed=True)[["px_recall", "px_precision"]].mean()
    figure = new_figure(3.6)
    axis = figure.subplots()
    _lines(axis, means.dropna().reset_index(), "px_recall", "px_precision", estimator=None, sort=False, markevery=0.1)
    axis.axhline(least, **_FIXED)
    axis.set(xlim=(0, 100), ylim=(0, 101), xlabel="recall of object pixels (%)", ylabel="precision (%)")
    keys = [*handles(curves, lines=True), Line2D([], [], label=f"share of object pixels: {least:.0f} %", **_FIXED)]
    return finish(figure, heading(frame, "precision and recall of all test pixels", ""), keys)


def overlaps(frame: pd.DataFrame, root: Path) -> Figure:
    """Draw the share of test images whose prediction reaches an IoU, over the IoU; at the threshold from ``val``.

    Lines are means over seeds, bands one sample standard deviation. Where a track has no ``val``, the fixed threshold
    is taken, and the title says so.
    """
    frame = labelled(frame)
    at, how = threshold_of(frame)
    masks = truth_of(frame) == "masks"
    column, grid = f"{'mask_' if masks else ''}iou_{at}", np.linspace(0, 1, 51)
    runs = frame[frame["metric"] == ("p_iou.fixed" if masks else "gt_known.fixed")]
    images = load_per_image(runs["track"].iloc[0], list(runs["key"]), root, [column])[column]
    reached = [(images[key].to_numpy()[:, None] >= grid).mean(0) * 100 for key in runs["key"]]
    shares = runs[["row", "look"]].assign(share=reached, iou=[grid.tolist()] * len(runs))
    shares = shares.explode(["iou", "share"]).astype({"iou": float, "share": float})
    figure = new_figure(3.6)
    axis = figure.subplots()
    _lines(axis, shares, "iou", "share", errorbar="sd", markevery=5)
    axis.axvline(0.5, **_FIXED)
    axis.set(xlim=(0, 1), xlabel=f"IoU with the {'mask' if masks else 'best true box'}")
    axis.set(ylim=(0, 100), ylabel="test images that reach it (%)")
    return finish(figure, heading(frame, f"overlap, {how}"), handles(shares, lines=True))


def training(frame: pd.DataFrame, root: Path) -> Figure:
    """Draw the sum of the losses over epochs, and below it the learning rate of the backbone.

    Lines are means over seeds, bands from the lowest seed to the highest. Losses of different methods have different
    terms: their heights do not compare, their courses do.

    Raises:
        DataError: a run's history is not here, or no run has trained anything.
    """

    def parsed(content: bytes) -> pd.DataFrame:
        found = pd.read_csv(io.BytesIO(content), dtype=float)
        if not {"epoch", "lr"} <= set(found) or not np.isfinite(found).all(axis=None):
            raise ValueError("no column epoch or lr, or empty cells")
        return found[["epoch", "lr"]].assign(loss=found.filter(like="loss_").sum(axis=1))

    frame = labelled(frame)
    layout = Layout(root)
    history = _read(
        frame[frame["kind"] == "method"],
        lambda run: parse_file(layout.history(run.track, run.key), parsed, remedy(run.kind, run.key)),
    )
    if history.empty:
        track = frame["track"].iloc[0]
        raise DataError(f"track '{track}' has no training curves: none of its runs trained anything")
    figure = new_figure(4.2)
    losses, rates = figure.subplots(2, 1, sharex=True, height_ratios=[1, 0.3])
    _lines(losses, history, "epoch", "loss", errorbar=("pi", 100))  # a deviation may reach below 0, where the axis ends
    _lines(rates, history, "epoch", "lr", errorbar=None)
    losses.set(ylabel="sum of losses", yscale="log")
    losses.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    losses.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    losses.yaxis.set_minor_formatter(NullFormatter())
    rates.set(xlabel="epoch", ylabel="learning rate")
    rates.xaxis.set_major_locator(MaxNLocator(integer=True))
    return finish(figure, heading(frame, "training", " and range"), handles(history, lines=True))
