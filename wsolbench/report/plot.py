"""``wsolbench plot``: any one figure, for a paper."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from wsolbench.config.paths import Layout
from wsolbench.config.schema import check_known
from wsolbench.config.settings import Settings
from wsolbench.errors import DataError, SettingsError, nearest
from wsolbench.files import write_bytes
from wsolbench.report.costs import read_provenance
from wsolbench.report.figures import curves, photographs, ranks, scores
from wsolbench.report.figures.rows import labelled, localization, numbers
from wsolbench.report.figures.searches import search
from wsolbench.report.figures.style import TALLEST, encoded, figure_style
from wsolbench.report.published import comparisons, read_published, why_not
from wsolbench.report.ranks import rankings
from wsolbench.report.searches import searches_of
from wsolbench.report.track import load_numbers, load_track, records
from wsolbench.results.load import truth_of
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

_log = logging.getLogger(__name__)
_OVER_TRACKS = {"heat_map", "critical_difference", "published"}
_SUFFIXES = (".pdf", ".svg", ".png")
_OF_TRACK: dict[str, Callable[[pd.DataFrame, Path], Figure]] = {
    "methods": lambda frame, _: scores.method_bars(frame),
    "precision_recall": curves.precision_recall,
    "threshold_curves": curves.threshold_curves,
    "overlaps": curves.overlaps,
    "object_sizes": lambda frame, _: scores.object_sizes(frame),
    "misses": lambda frame, _: scores.misses(frame),
    "trade_off": lambda frame, _: scores.trade_off(frame),
    "training": curves.training,
    "heat_map": lambda frame, _: scores.heat_map(frame),
}


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


def figure_of(kind: str, frame: pd.DataFrame, root: Path) -> Figure:
    """Draw a plot of one track (``heat_map``: of several) that is not empty; call it inside a figure style.

    Raises:
        DataError: what it shows is missing.
    """
    return _OF_TRACK[kind](frame, root)


def why_not_drawn(kind: str, frame: pd.DataFrame) -> str:
    """Return why a plot of a track would be empty, as the end of a sentence; empty if it has something to show."""
    if truth_of(frame) is None:
        return "every run was skipped" if frame.empty else "neither boxes nor masks measured its runs"
    if kind == "trade_off" and numbers(labelled(frame), "cls.top1", localization(frame)[0]).empty:
        return "none of its runs classifies and has maps"
    if kind in {"training", "speed"} and (frame["kind"] == "baseline").all():
        return "none of its runs was trained"
    needed = {
        "precision_recall": ("px_ap", "its test images have no masks, or no run has maps"),
        "threshold_curves": ("threshold.fixed", "its runs are boxes, which have no threshold"),
    }
    metric, reason = needed.get(kind, ("", ""))
    return "" if not metric or (frame["metric"] == metric).any() else reason


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
        tracks: of ``run.tracks``; if empty, all of them (``critical_difference``: those where all methods run). Only
            ``heat_map``, ``critical_difference`` and ``published`` take several.
        methods: methods and baselines that are shown, in the order of the tables (``grid``: in this one); all of them
            if empty.
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
    by_default = settings.run.ranked if kind == "critical_difference" else settings.run.tracks
    named = list(tracks or by_default or settings.run.tracks)
    if len(named) > 1 and kind not in _OVER_TRACKS:
        raise SettingsError(f"plot '{kind}' shows one track; give one of {', '.join(named)} with --tracks")
    if kind == "grid" and options.height is not None:
        raise SettingsError("--height: that of a grid follows from its photographs; set --width")
    if kind != "grid" and (options.images or options.count is not None or options.seed is not None):
        raise SettingsError(f"--images, --n and --seed choose the photographs of plot 'grid'; '{kind}' has none")
    with figure_style(options.font, options.font_size, options.width):
        figure = _figure(settings, kind, named, methods, root, options)
        if options.height:
            figure.set_figheight(options.height)
        elif figure.get_figheight() > TALLEST + 0.01:
            tall = f"{figure.get_figheight():.1f}"
            _log.warning("the figure is %s inches tall, more than a page: --methods draws fewer rows", tall)
        how: dict[str, Any] = {"dpi": photographs.GRID_DPI, "colours": None} if kind == "grid" else {}
        content = encoded(figure, out.suffix.removeprefix("."), **how)
    write_bytes(out, content)


def _figure(
    settings: Settings, kind: str, tracks: Sequence[str], methods: Sequence[str], root: Path, options: PlotOptions
) -> Figure:
    if kind == "search":
        return search(_searches(settings, tracks[0], methods, root))
    runs, frame = (_only(each, methods) for each in load_numbers(settings, tracks, root))
    if reason := why_not_drawn(kind, frame):
        raise DataError(f"there is no plot '{kind}' of {', '.join(tracks)}: {reason}")
    if kind == "grid":
        chosen = options.images, options.count or 4, options.seed or 0
        content = photographs.grid_content(settings, frame, runs, root, methods, *chosen)
        return photographs.grid(*content, "mask" if truth_of(frame) == "masks" else "box")
    if kind == "speed":
        return scores.speed(frame, _seconds(runs, root))
    if kind not in {"critical_difference", "published"}:
        return figure_of(kind, frame, root)
    found = [load_track(settings, track, root).ours for track in tracks]
    if kind == "critical_difference":
        return ranks.critical_difference(rankings(found), frame)
    published = read_published(root)
    compared = pd.concat([comparisons(each, published) for each in found])
    compared = compared[compared["method"].isin(frame["method"])]
    if compared.empty:
        nothing = "no source measured these methods by these rules"
        reasons = "; ".join(f"{each.name}: {why_not(each, published) or nothing}" for each in found)
        raise DataError(f"no published number may stand beside ours ({reasons})")
    return ranks.published(frame, compared)


def _seconds(runs: pd.DataFrame, root: Path) -> pd.Series:
    """Return the seconds that each training took, by the run's key."""
    found = {}
    for run in records(runs[(runs["kind"] == "method") & runs["skipped"].isna()]):
        seen = read_provenance(run.key, run.data_digest, root)
        if seen is None:
            path = Layout(root).provenance(run.key)
            raise DataError(f"{path} is missing, or of other data; train the run (`wsolbench train {run.key}`)")
        found[run.key] = seen.wall_seconds.training
    return pd.Series(found)


def _searches(settings: Settings, track: str, methods: Sequence[str], root: Path) -> list[Search]:
    check_known("--tracks", track, settings.tracks, error=SettingsError)
    found = searches_of(track, settings.run.methods, root)
    known = [each.head.method for each in found]
    if not known:
        raise DataError(f"no search of track '{track}' is stored in results/search; run `wsolbench search {track}`")
    for method in methods:
        if method not in known:
            raise DataError(f"no search of '{method}' on track '{track}' is stored; {nearest(method, known)}")
    return [each for each in found if not methods or each.head.method in methods]


def _only(frame: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """Return what is to be drawn: never an entry, which has neither maps nor curves nor seeds here."""
    frame = frame[frame["kind"] != "entry"]
    known = list(dict.fromkeys(frame["method"]))
    for method in methods:
        if method not in known:
            raise SettingsError(f"track '{frame['track'].iloc[0]}' has no '{method}'; {nearest(method, sorted(known))}")
    return frame[frame["method"].isin(methods)] if methods else frame
