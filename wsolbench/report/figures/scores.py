"""Figures of the numbers themselves: side by side, by object size, by kind of miss, against others, over tracks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from wsolbench.errors import DataError
from wsolbench.report.figures.rows import handles, heading, labelled, localization, numbers, styles_of, threshold_of
from wsolbench.report.figures.style import TALLEST, finish, is_narrow, new_figure, panels, text_inches, wrapped, zoomed
from wsolbench.report.palette import CATEGORICAL
from wsolbench.results.load import truth_of
from wsolbench.results.metrics import METRICS

__all__ = ["heat_map", "method_bars", "misses", "object_sizes", "speed", "trade_off"]

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
_KINDS: dict[str, dict[str, tuple[str, str, str]]] = {
    "misses": {
        "part": ("part only", CATEGORICAL["sky blue"], ""),
        "more": ("too much", CATEGORICAL["orange"], "////"),
        "multi_instance": ("several objects", CATEGORICAL["yellow"], ".."),
        "background": ("background", "0.25", ""),
        "other": ("other", "white", "\\\\\\\\"),
    },
    "pixel_errors": {
        "missed": ("object missed", CATEGORICAL["sky blue"], ""),
        "context": ("around the object", CATEGORICAL["orange"], "////"),
        "background": ("background", "0.25", ""),
    },
}
_SEED: dict[str, Any] = {
    "linestyle": "none", "marker": "o", "markersize": 3, "color": "white",
    "markeredgecolor": "black", "markeredgewidth": 0.6, "zorder": 5,
}  # fmt: skip
_GAP = 0.5  # rows between blocks
_SLIM = {
    "max_box_acc": "MaxBox- Acc, oracle",
    "max_box_acc_v2.mean": "MaxBox- AccV2, oracle",
}  # of panels half an inch wide


def _room(narrow: float = 0.33) -> float:
    """Return the inches that the names of rows may take at the left of a figure."""
    return float(mpl.rcParams["figure.figsize"][0] * (narrow if is_narrow() else 0.25))


def _name_rows(axis: Axes, names: Sequence[str], blocks: Sequence[int]) -> tuple[pd.Series, float]:
    """Name the rows of a figure from the top; return their places, and the inches of all of them.

    The unit of places is a row with a name of one line; one of more lines takes as much room as it needs.
    """
    size = mpl.rcParams["ytick.labelsize"]
    line = 1.3 * size / 72
    unit = max(0.2, line)
    labels = [wrapped(name, _room(), size, 3) for name in names]
    heights = np.array([max(1.0, (label.count("\n") + 1.2) * line / unit) for label in labels])
    places = pd.Series(heights.cumsum() - heights / 2 + np.array(blocks) * _GAP, pd.Index(names))
    end = float(places.iloc[-1] + heights[-1] / 2)
    axis.set_yticks(places, labels)
    axis.set_ylim(end + 0.1, -0.1)
    return places, (end + 0.2) * unit


def _bars(axis: Axes, places: pd.Series, lengths: pd.Series, **how: Any) -> None:
    axis.barh(places, lengths, 0.72, linewidth=0.6, **{"edgecolor": "0.2"} | how)
    axis.set(xlim=(0, 100))
    axis.grid(visible=False, axis="y")
    axis.tick_params(axis="y", length=0)


def _whiskers(axis: Axes, ends: pd.Series, places: pd.Series, sd: pd.Series, **how: Any) -> None:
    varies = sd > 0  # not for one seed
    style: dict[str, Any] = {"linestyle": "none", "zorder": 4, "color": "black", "capsize": 2.5, "elinewidth": 1.1}
    axis.errorbar(ends[varies], places[varies], xerr=sd[varies], **style | how)


def method_bars(frame: pd.DataFrame) -> Figure:
    """Draw the headline numbers of a track, of boxes or else of masks, in a panel each.

    Bars are means over seeds, whiskers one sample standard deviation (none for a single seed), points the seeds. Groups
    of one recipe stand apart; variants, baselines and bounds below them are hatched.
    """
    frame = labelled(frame)
    at, how = threshold_of(frame)
    wanted = {name.format(at=at): title.format(how=how) for name, title in _PANELS[truth_of(frame) or "boxes"].items()}
    wanted = {name: title for name, title in wanted.items() if (frame["metric"] == name).any()}
    rows = frame.drop_duplicates("row").sort_values("row").set_index("row")
    colours = [style["color"] for style in styles_of(frame).values()]
    hatches = np.where(rows["kind"] == "baseline", "////", np.where(rows["variant_of"].notna(), "..", "")).tolist()
    names, blocks = [str(row) for row in rows.index], rows["block"].tolist()
    _, inches = _name_rows(Figure().subplots(), names, blocks)
    # Two and two panels; where these are taller than a page, all side by side.
    flat = 2 * (inches + 0.3) + 1.2 > TALLEST
    width = mpl.rcParams["figure.figsize"][0]
    figure, axes = panels(len(wanted), width / (len(wanted) if flat else 2), 1, sharex=True, sharey=True)
    places, _ = _name_rows(axes[0], names, blocks)
    figure.set_figheight((inches + 0.3) * (1 if flat else -(-len(wanted) // 2)) + 0.5)
    if slim := flat and is_narrow():
        figure.set_layout_engine("constrained", w_pad=0.02, wspace=0)
        wanted = {name: _SLIM.get(name, METRICS[name].heading) for name in wanted}
    for axis, (metric, title) in zip(axes, wanted.items(), strict=True):
        part = frame[frame["metric"] == metric].sort_values("row", kind="stable")
        by_row = part.groupby("row", observed=False)["value"]
        _bars(axis, places, by_row.mean(), color=colours, hatch=hatches, alpha=0.75)
        _whiskers(axis, by_row.mean(), places - 0.17, by_row.std())
        # Below the whisker, which points on it would hide, and staggered, so that equal seeds stay apart.
        lower = 0.05 + 0.22 * part.groupby("row", observed=True).cumcount() / part["seed"].nunique()
        axis.plot(part["value"], part["row"].map(places).astype(float) + lower, **_SEED)
        for row in rows.index[by_row.count() == 0]:
            undefined = "n/a" if slim else "not defined"
            axis.text(1, places[row], undefined, va="center", color="0.4", fontstyle="italic", fontsize=7)
        unit = "%" if slim or truth_of(frame) == "masks" else "test images (%)"
        axis.set_xlabel(unit, visible=axis.xaxis.get_tick_params()["labelbottom"])
        if slim:
            axis.set_xticks([0, 50, 100], ["0", "50", ""])
        axis.set_title(title, loc="left")
    key: list[Any] = [Line2D([], [], label="single seed", **_SEED)]
    for hatch, name in (("..", "variant"), ("////", "baseline or bound")):
        key += [Patch(label=name, facecolor="0.9", edgecolor="0.2", hatch=hatch)] if hatch in hatches else []
    return finish(figure, heading(frame, "localization"), key, below=True)


def object_sizes(frame: pd.DataFrame) -> Figure:
    """Draw localization by object size: a group per size, a marker per method, whiskers of one standard deviation."""
    frame = labelled(frame)
    at, how = threshold_of(frame)
    name, title = ("p_iou", "pIoU") if truth_of(frame) == "masks" else ("gt_known", "GT-known Loc")
    images = frame.groupby("metric", observed=True)["value"].max()
    sizes = {size: int(images.get(f"by_size.{size}.images", 0)) for size in ("small", "medium", "large")}
    groups = {f"by_size.{size}.{name}.{at}": f"{size}\n{count} images" for size, count in sizes.items() if count}
    part = frame[frame["metric"].isin(groups)].assign(size=lambda each: each["metric"].astype(str).map(groups))
    part["row"] = part["row"].cat.remove_unused_categories()
    styles = styles_of(part).values()
    apart: Any = len(styles) > 1 and 0.8  # of 1, shared by the methods of a size
    figure = new_figure(3.4)
    axis = figure.subplots()
    sns.pointplot(
        part, x="size", y="value", hue="row", order=groups.values(), dodge=apart, errorbar="sd", linestyle="none",
        markers=[style["marker"] for style in styles], palette=[style["color"] for style in styles], markersize=4,
        markeredgecolor="black", markeredgewidth=0.4, err_kws={"linewidth": 1}, clip_on=False, legend=False, ax=axis,
    )  # fmt: skip
    axis.set(ylim=(0, 100), ylabel=f"{title} (%)", xlabel="")
    axis.grid(visible=False, axis="x")
    return finish(figure, heading(frame, f"by object size, {how}"), handles(part))


def misses(frame: pd.DataFrame) -> Figure:
    """Draw the kinds of miss: a bar per method, mean shares over seeds; what is left is correct.

    Of boxes, they are shares of the test images. Of masks, they are what the overlap of an image lacks: pixels of the
    object that were missed, and pixels off it, around the object (a tenth of the image's side) and farther away. The
    whisker at the end of a bar is one sample standard deviation of all misses; a thin one at the end of a part is that
    of this kind of miss. Without a spread there is no whisker.

    Raises:
        DataError: a run's metrics have no kinds of miss.
    """
    frame = labelled(frame)
    at, how = threshold_of(frame)
    masks = truth_of(frame) == "masks"
    family, needed = ("pixel_errors", "p_iou.fixed") if masks else ("misses", "gt_known.fixed")
    kinds = {f"{family}.{at}.{kind}": style for kind, style in _KINDS[family].items()}
    part = numbers(frame, *kinds)
    if lacking := sorted(set(frame.loc[frame["metric"] == needed, "key"]) - set(part["key"])):
        raise DataError(f"the metrics of {lacking[0]} have no kinds of miss; run `wsolbench evaluate {lacking[0]}`")
    by_row = part.assign(total=part[[*kinds]].sum(axis=1)).groupby("row", observed=True)[[*kinds, "total"]]
    mean, sd = by_row.mean(), by_row.std()
    figure = new_figure(1)
    axis = figure.subplots()
    places, inches = _name_rows(axis, [str(row) for row in mean.index], [0] * len(mean))
    figure.set_figheight(inches + 0.8)
    ends = mean[[*kinds]].cumsum(axis=1)
    for index, (kind, (_, colour, hatch)) in enumerate(kinds.items()):
        _bars(axis, places, mean[kind], left=ends[kind] - mean[kind], facecolor=colour, hatch=hatch)
        thin = {"color": "0.35", "capsize": 1.5, "elinewidth": 0.7}
        _whiskers(axis, ends[kind], places + 0.06 + 0.06 * index, sd[kind], **thin)
    _whiskers(axis, mean["total"], places - 0.16, sd["total"])
    axis.set_xlabel("pixels of prediction and mask, mean over images (%)" if masks else "missed test images (%)")
    key = [Patch(label=name, facecolor=fill, hatch=hatch, edgecolor="0.2") for name, fill, hatch in kinds.values()]
    return finish(figure, heading(frame, f"kinds of miss, {how}"), key, below=True)


def _points(part: pd.DataFrame, across: str, up: tuple[str, str]) -> tuple[Figure, Axes]:
    """Draw a marker per row at the means over its seeds, with whiskers of one standard deviation where there is one."""
    figure = new_figure(3.4)
    axis = figure.subplots()
    for row, style in styles_of(part).items():
        own = part[part["row"] == row]
        spread = {
            name: own[metric].std() if len(own) > 1 else None for name, metric in (("xerr", across), ("yerr", up[0]))
        }
        style |= {"linestyle": "none", "markersize": 7, "capsize": 2, "elinewidth": 1, **spread}
        axis.errorbar(own[across].mean(), own[up[0]].mean(), **style)
    zoomed(axis, "y", up[1])
    return figure, axis


def trade_off(frame: pd.DataFrame) -> Figure:
    """Draw localization against classification: a marker per method, whiskers of one standard deviation both ways."""
    frame = labelled(frame)
    up = localization(frame)
    part = numbers(frame, "cls.top1", up[0])
    figure, axis = _points(part, "cls.top1", up)
    zoomed(axis, "x", "Top-1 Cls")
    return finish(figure, heading(frame, "localization and classification"), handles(part))


def speed(frame: pd.DataFrame, seconds: pd.Series) -> Figure:
    """Draw localization against the time of a training, in seconds by run key: of one machine, or of several."""
    frame = labelled(frame)
    up = localization(frame)
    part = numbers(frame, up[0]).assign(seconds=lambda each: each["key"].map(seconds)).dropna()
    figure, axis = _points(part, "seconds", up)
    axis.set_xlim(left=0)
    axis.set_xlabel("seconds of training")
    return finish(figure, heading(frame, "localization and time"), handles(part))


def _recipes_at_tracks(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with recipes in the names of tracks, if no track has methods of several."""
    recipes = frame[frame["kind"] != "baseline"].groupby("track", observed=True)["recipe"].unique()
    if (recipes.map(len) > 1).any():
        return frame
    noted = {
        track: f"{track}\n[recipe:\N{NO-BREAK SPACE}{name}]" for track, (name,) in recipes.items() if name != "common"
    }
    return frame.assign(recipe="common", track=frame["track"].cat.rename_categories(noted))


def heat_map(frame: pd.DataFrame) -> Figure:
    """Draw a number of every method on every track as a table of shades: MaxBoxAcc, and PxAP of tracks without boxes.

    Tracks for which the width has no room stand in a table below. A table has the rows that have a number in it. A
    recipe stands at the track that all trained methods have it on, so that a method is one row, or else at the methods.
    """
    frame = labelled(_recipes_at_tracks(frame))
    truths = {track: truth_of(own) for track, own in frame.groupby("track", observed=True)}
    size, room = (6.0, _room(0.28)) if is_narrow() else (7.0, _room())
    width, cell = mpl.rcParams["figure.figsize"][0] - 0.15, text_inches("100.0", size) + 0.02
    across = int((width - room) / cell)
    if (tracks := max(list(truths.values()).count(truth) for truth in truths.values())) > across:
        across = -(-tracks // -(-tracks // across))  # tables of about as many tracks, and names have what that leaves
        room = min(width - across * cell, 0.6 * width)
    tables = []
    for metric, truth in (("max_box_acc", "boxes"), ("px_ap", "masks")):
        part = frame[(frame["metric"] == metric) & frame["track"].map(truths).eq(truth)]
        table = part.pivot_table(index="row", columns="track", values="value", observed=True)
        parts = (table.iloc[:, k : k + across].dropna(how="all") for k in range(0, table.shape[1], across))
        tables += [(METRICS[metric].heading, each) for each in parts]
    longest = max(text_inches(str(track), size) for _, table in tables for track in table)
    heights = [0.28 * len(table) + 0.5 + longest for _, table in tables]
    figure = new_figure(sum(heights))
    axes = figure.subplots(len(tables), 1, height_ratios=heights, squeeze=False)[:, 0]
    shades: dict[str, Any] = {"cmap": "Greys", "vmin": 0, "vmax": 150, "cbar": False}
    for axis, (title, table) in zip(axes, tables, strict=True):
        sns.heatmap(table, annot=True, fmt=".1f", annot_kws={"size": size}, ax=axis, **shades)
        for line, column in np.argwhere(table.isna()):
            axis.text(column + 0.5, line + 0.5, "n/a", ha="center", va="center", size=size)
        axis.set_title(f"{title} (%), mean over seeds", loc="left")
        axis.set(xlabel="", ylabel="")
        axis.grid(visible=False)
        axis.tick_params(axis="x", rotation=90 if table.shape[1] > 2 else 0, length=0, labelsize=size)
        names = [wrapped(str(row), room, size, 3) for row in table.index]
        axis.set_yticks(np.arange(len(table)) + 0.5, names, rotation=0, size=size, linespacing=0.95)
    return finish(figure)
