"""``wsolbench plot``: any one figure, for a paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from wsolbench.config.schema import check_known
from wsolbench.config.settings import Settings
from wsolbench.errors import DataError, SettingsError, nearest
from wsolbench.files import write_bytes
from wsolbench.report.bars import bar_figure
from wsolbench.report.columns import columns_named, localization, summarised
from wsolbench.report.curves import curve_figure, pixel_figure
from wsolbench.report.grid import grid_content
from wsolbench.report.grid_figure import GRID_DPI, grid_figure
from wsolbench.report.plots import (
    heat_figure,
    iou_figure,
    miss_figure,
    scored_rows,
    size_figure,
    speed_figure,
    trade_off_figure,
)
from wsolbench.report.published import read_published
from wsolbench.report.published_figure import published_figure
from wsolbench.report.rank_figure import rank_figure
from wsolbench.report.ranks import rankings
from wsolbench.report.search_plot import search_figure
from wsolbench.report.searches import searches_of
from wsolbench.report.style import encoded, figure_style
from wsolbench.report.training import training_figure
from wsolbench.results.load import TrackResults, read_track
from wsolbench.search.record import Search

__all__ = ["PLOTS", "PlotOptions", "figure_of", "why_not_drawn", "write_plot"]

PLOTS = {
    "methods": "the headline numbers, a bar per method",
    "precision_recall": "precision over recall of all test pixels (needs masks)",
    "threshold_curves": "BoxAcc (pIoU without boxes) over thresholds, a panel per method",
    "overlaps": "share of images whose box (pixels without boxes) reaches an IoU",
    "object_sizes": "localization by object size",
    "misses": "kinds of miss",
    "trade_off": "localization against classification",
    "training": "losses and learning rate over epochs",
    "published": "published numbers against ours, where both were measured alike",
    "speed": "localization against training time",
    "critical_difference": "mean ranks of methods over tracks",
    "heat_map": "MaxBoxAcc (PxAP without boxes) of methods on tracks",
    "grid": "photographs with truth, heat maps and predictions, a column per method (needs results/thumbnails)",
    "search": "trials of the hyper-parameter searches, against each parameter (needs results/search)",
}
"""Kinds of plot, and what they show."""

_OVER_TRACKS = {"heat_map", "critical_difference", "published"}
_SUFFIXES = (".pdf", ".svg", ".png")


@dataclass(frozen=True)
class PlotOptions:
    """How a plot for a paper looks.

    Attributes:
        width: inches; None for the figure's own.
        height: inches, likewise.
        font_size: points, likewise.
        font: family that matplotlib finds, likewise.
        images: ids of test images, for ``grid``.
        count: how many images ``grid`` chooses where none are given; 4 if None.
        seed: of this choice; 0 if None.
    """

    width: float | None = None
    height: float | None = None
    font_size: float | None = None
    font: str | None = None
    images: Sequence[str] = ()
    count: int | None = None
    seed: int | None = None


def figure_of(kind: str, tracks: Sequence[TrackResults], root: Path) -> Figure:
    """Draw one kind of plot but ``grid`` and ``search``; call it inside :func:`~wsolbench.report.style.figure_style`.

    Raises:
        DataError: what it shows is missing.
    """
    results = tracks[0]
    measured = [each for each in tracks if each.truth]
    if kind in _OVER_TRACKS and not measured:
        raise DataError(
            f"there is no plot '{kind}' of {', '.join(each.track for each in tracks)}: nothing was measured"
        )
    if kind not in _OVER_TRACKS and (reason := why_not_drawn(kind, results)):
        raise DataError(f"track '{results.track}' has no plot '{kind}': {reason}")
    if kind == "critical_difference":
        return rank_figure(rankings(tracks))
    if kind == "published":
        return published_figure(tracks, read_published(root))
    if kind == "heat_map":
        return heat_figure(measured)
    plain = {"methods": bar_figure, "object_sizes": size_figure, "misses": miss_figure, "trade_off": trade_off_figure}
    if kind in plain:
        return plain[kind](results)
    return _WITH_FILES[kind](results, root)


_WITH_FILES: dict[str, Callable[[TrackResults, Path], Figure]] = {
    "overlaps": iou_figure,
    "precision_recall": pixel_figure,
    "speed": speed_figure,
    "threshold_curves": curve_figure,
    "training": training_figure,
}


def why_not_drawn(kind: str, results: TrackResults) -> str:
    """Return why a plot of a track would be empty, as the end of a sentence; empty if it has something to show."""
    if not results.runs:
        return "every run was skipped"
    if results.truth is None:
        return "neither boxes nor masks measured its runs"
    (top1,), runs = columns_named("cls.top1"), [row.runs[0] for row in scored_rows(results)]
    both = [row for row in results.measured if summarised(row, top1) and summarised(row, localization(results))]
    untrained = "none of its runs was trained" if all(row.kind == "baseline" for row in results.measured) else ""
    reasons = {
        "trade_off": "" if both else "none of its runs classifies and has maps",
        "precision_recall": "its test images have no masks, or no run has maps"
        if all(run.px_ap is None for run in runs)
        else "",
        "threshold_curves": "its runs are boxes, which have no threshold"
        if all(run.threshold.fixed is None for run in runs)
        else "",
        "training": untrained,
        "speed": untrained,
    }
    return reasons.get(kind, "")


def write_plot(
    settings: Settings,
    kind: str,
    tracks: Sequence[str],
    methods: Sequence[str],
    out: Path,
    root: Path,
    options: PlotOptions,
) -> None:
    """Write a plot of the present results.

    Args:
        settings: name the runs.
        kind: one of :data:`PLOTS`.
        tracks: of ``run.tracks``; all of them if empty. Only
            ``heat_map``, ``critical_difference`` and ``published`` take several.
        methods: methods and baselines that are shown, in the order of the tables; all of them if empty.
        out: a ``.pdf``, ``.svg`` or ``.png`` file.
        root: the repository.
        options: size and font.

    Raises:
        SettingsError: an argument does not fit.
        DataError: results are missing.
    """
    if kind not in PLOTS:
        raise SettingsError(f"there is no plot '{kind}'; {nearest(kind, PLOTS)}")
    if out.suffix not in _SUFFIXES:
        raise SettingsError(f"--out: '{out.suffix}' is none of {', '.join(_SUFFIXES)}")
    named = list(tracks or settings.run.tracks)
    if len(named) > 1 and kind not in _OVER_TRACKS:
        raise SettingsError(f"plot '{kind}' shows one track; give one of {', '.join(named)} with --tracks")
    if kind == "grid" and options.height is not None:
        raise SettingsError("--height: that of a grid follows from its photographs; set --width")
    if kind != "grid" and (options.images or options.count is not None or options.seed is not None):
        raise SettingsError(f"--images, --n and --seed choose the photographs of plot 'grid'; '{kind}' has none")
    found = [] if kind == "search" else [_only(read_track(settings, track, root), methods) for track in named]
    searches = _searches(settings, named[0], methods, root) if kind == "search" else []
    with figure_style(options.font, options.font_size, options.width):
        if kind == "grid":
            chosen = options.images, options.count or 4, options.seed or 0
            figure = grid_figure(*grid_content(settings, found[0], methods, root, *chosen))
        else:
            figure = search_figure(searches) if kind == "search" else figure_of(kind, found, root)
        if options.height:
            figure.set_figheight(options.height)
        how: dict[str, Any] = {"dpi": GRID_DPI, "colours": None} if kind == "grid" else {}
        content = encoded(figure, out.suffix.removeprefix("."), **how)
    write_bytes(out, content)


def _searches(settings: Settings, track: str, methods: Sequence[str], root: Path) -> list[Search]:
    check_known("--tracks", track, settings.tracks, error=SettingsError)
    found = searches_of(track, settings.run.methods, root)
    known = [search.head.method for search in found]
    if not known:
        raise DataError(f"no search of track '{track}' is stored in results/search; run `wsolbench search {track}`")
    for method in methods:
        if method not in known:
            raise DataError(f"no search of '{method}' on track '{track}' is stored; {nearest(method, known)}")
    return [search for search in found if not methods or search.head.method in methods]


def _only(results: TrackResults, methods: Sequence[str]) -> TrackResults:
    known = {row.method for row in results.rows}
    for method in methods:
        if method not in known:
            raise SettingsError(f"track '{results.track}' has no '{method}'; {nearest(method, sorted(known))}")
    rows = tuple(row for row in results.rows if not methods or row.method in methods)
    return replace(results, rows=rows)
