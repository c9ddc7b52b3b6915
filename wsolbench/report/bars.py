"""The methods side by side: a panel per metric, a bar per method, its spread, and every single seed."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from wsolbench.report.columns import Column, at_val, by_seed, columns_named, summarised
from wsolbench.report.palette import CATEGORICAL
from wsolbench.report.style import is_narrow, legend, new_figure, row_label, seeds_phrase, titled
from wsolbench.results.load import Row, TrackResults, blocks_of

__all__ = ["bar_figure"]

_PANELS = {
    "boxes": {
        "gt_known.{at}": "GT-known Loc ({how})",
        "top1_loc.{at}": "Top-1 Loc ({how})",
        "max_box_acc": "MaxBoxAcc (oracle threshold)",
        "max_box_acc_v2.mean": "MaxBoxAccV2 (oracle thresholds)",
    },
    "masks": {
        "px_ap": "PxAP (all thresholds)",
        "px_ap_per_class": "PxAP, mean over classes",
        "p_iou.{at}": "pIoU ({how})",
        "p_iou.oracle": "pIoU (oracle threshold)",
    },
}
_LOOKS: dict[str, dict[str, Any]] = {
    "method": {"facecolor": CATEGORICAL["sky blue"], "edgecolor": "0.2", "linewidth": 0.6},
    "variant": {"facecolor": "white", "edgecolor": CATEGORICAL["sky blue"], "linewidth": 0.9, "hatch": ".."},
    "baseline": {"facecolor": "white", "edgecolor": "0.5", "linewidth": 0.6, "hatch": "////"},
}
_SEED: dict[str, Any] = {
    "linestyle": "none",
    "marker": "o",
    "markersize": 3.6,
    "color": CATEGORICAL["vermilion"],
    "markeredgecolor": "black",
    "markeredgewidth": 0.5,
    "zorder": 5,
}
_LINE_INCHES = 0.145
_GAP = 0.5  # rows between blocks


def bar_figure(results: TrackResults) -> Figure:
    """Draw four headline numbers, of boxes or else of masks; call it inside a figure style.

    Bars stand for means over seeds, whiskers for one sample standard deviation (none for a single seed), points for the
    seeds themselves. Recipes stand apart from one another; variants, baselines and bounds are hatched, below methods.
    """
    blocks = [rows for _, rows in blocks_of(results.measured)]
    places = {row: index + _GAP * block for block, index, row in _numbered(blocks)}
    labels = [row_label(row, len(results.seeds)) for row in places]
    lines = sum(max(2, label.count("\n") + 1) for label in labels) + len(blocks)
    panels = _panels(results)
    figure = new_figure(1)
    across = 1 if is_narrow(figure) else 2
    down = -(-len(panels) // across)
    figure.set_figheight(down * (_LINE_INCHES * lines + 0.4) + 0.9)
    axes = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    for axis, (title, shown) in zip(axes.flat, panels.items(), strict=False):
        _panel(axis, places, shown)
        axis.set_title(title, loc="left")
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    axes[0, 0].set_yticks(list(places.values()), labels)
    axes[0, 0].set_ylim(max(places.values()) + 0.6, -0.6)
    for axis in axes[-1]:
        axis.set_xlabel("%" if results.truth == "masks" else "test images (%)")
    titled(figure, f"{results.track}: localization, {seeds_phrase(results)}")
    legend(figure, _legend(results), columns=4)
    return figure


def _panels(results: TrackResults) -> dict[str, Column]:
    """Return the numbers that any row has, by the titles of their panels."""
    at, how = ("val", "threshold from val") if at_val(results) else ("fixed", "fixed threshold")
    wanted = _PANELS[results.truth or "boxes"]
    found = {title.format(how=how): columns_named(name.format(at=at))[0] for name, title in wanted.items()}
    return {title: shown for title, shown in found.items() if any(summarised(row, shown) for row in results.measured)}


def _numbered(blocks: list[list[Row]]) -> list[tuple[int, int, Row]]:
    flat = [(block, row) for block, rows in enumerate(blocks) for row in rows]
    return [(block, index, row) for index, (block, row) in enumerate(flat)]


def _panel(axis: Axes, places: dict[Row, float], shown: Column) -> None:
    for row, place in places.items():
        summary = summarised(row, shown)
        if summary is None:
            axis.text(1, place, "not defined", va="center", color="0.4", fontstyle="italic", fontsize=7)
            continue
        axis.barh(place, summary.mean, height=0.72, **_LOOKS[row.kind])
        if summary.sd is not None:
            axis.errorbar(summary.mean, place - 0.17, xerr=summary.sd, color="black", capsize=2.5, elinewidth=1.2)
        values = list(by_seed(row, shown).values())
        # Below the whisker, which points on it would hide, and staggered, so that equal seeds stay apart.
        axis.plot(values, place + np.linspace(0.05, 0.27, len(values)), **_SEED)
    axis.set_xlim(0, 100)
    axis.grid(visible=False, axis="y")
    axis.tick_params(axis="y", length=0)


def _legend(results: TrackResults) -> list[Patch | Line2D]:
    names = {"method": "method", "variant": "variant", "baseline": "baseline or bound"}
    kinds = dict.fromkeys(row.kind for row in results.measured)
    handles: list[Patch | Line2D] = [Patch(label=names[kind], **_LOOKS[kind]) for kind in kinds]
    return [*handles, Line2D([], [], label="single seed", **_SEED)]
