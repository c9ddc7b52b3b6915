"""From git-tracked results to tables, plots and summary."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from wsolbench.config.settings import Settings
from wsolbench.files import write_bytes, write_text
from wsolbench.report.classes import classes_csv
from wsolbench.report.costs import costs_csv, read_costs
from wsolbench.report.findings import findings_markdown
from wsolbench.report.latex import all_tables, headline_table
from wsolbench.report.published import comparison_csv, comparison_markdown, read_published
from wsolbench.report.ranks import Ranking, rankings, ranks_csv, ranks_section
from wsolbench.report.searches import searches_of
from wsolbench.report.summary import TrackPage, summary_csv, summary_markdown
from wsolbench.report.tables import markdown_page
from wsolbench.report.track import TrackResults, load_track
from wsolbench.results.load import check_versions, missing_metrics

__all__ = ["write_report", "write_summary"]

_PICTURES = {
    "methods": "methods",
    "precision and recall": "precision_recall",
    "threshold curves": "threshold_curves",
    "overlaps": "overlaps",
    "object sizes": "object_sizes",
    "kinds of miss": "misses",
    "localization and classification": "trade_off",
}
_EXAMPLES, _EXAMPLES_DPI = "examples.webp", 120
"""Photographs with the maps and boxes of all methods beside each other."""
_STORED_DPI = 116  # `wsolbench plot` draws the same with more, or as lines
_SEARCH, _SEARCH_DPI = "search.webp", 100  # where a search is stored; hundreds of points are small as pixels only


def write_report(settings: Settings, track: str, root: Path) -> tuple[Path, ...]:
    """Write the tables and pictures of a track; equal results give equal bytes.

    Nothing is written unless everything could be read and drawn. Where every run was skipped, no picture is
    drawn, and those that an earlier report left are removed.

    Args:
        settings: name the runs.
        track: key of ``tracks``.
        root: the repository, below which ``results/metrics``, ``per_image``, ``curves``, ``costs``, ``provenance`` and
            ``search`` are read, and ``entries``.

    Returns:
        The files that were written: ``results/tables/<track>.md``, ``.tex`` (the headline table), ``_all.tex``,
        ``_classes.csv`` and ``_costs.csv``, and below ``results/plots/<track>`` each picture as ``.webp``
        (``wsolbench plot`` draws the same as ``.pdf``, ``.svg`` and ``.png``).

    Raises:
        SettingsError: the track does not exist, or ``run`` names no run of it.
        DataError: a result is missing or damaged; the message names the file and how to make it anew.
    """
    results = load_track(settings, track, root)
    pictures, costs = _pictures(results.ours, settings, root), read_costs(results, root)
    tables, plots = root / "results" / "tables", root / "results" / "plots" / track
    texts = {
        tables / f"{track}.md": markdown_page(results, costs, settings, root),
        tables / f"{track}_classes.csv": classes_csv(results, root),
        tables / f"{track}_costs.csv": costs_csv(results, costs),
        tables / f"{track}.tex": headline_table(results),
        tables / f"{track}_all.tex": all_tables(results, costs),
    }
    for path, text in texts.items():
        write_text(path, text)
    for name, content in pictures.items():
        write_bytes(plots / name, content)
    plots.mkdir(parents=True, exist_ok=True)  # a stage's output, pictures or not
    for path in plots.iterdir():
        if path.name not in pictures:
            path.unlink()
    return (*texts, *(plots / name for name in pictures))


def write_summary(settings: Settings, root: Path) -> tuple[Path, ...]:
    """Write ``results/summary.md`` and ``.csv`` over all tracks of ``run.tracks``, and ``results/comparison.md``.

    A track whose metrics are not all there is named with what is missing, and has no numbers.

    Args:
        settings: name the tracks and runs.
        root: the repository, below which ``results/metrics`` and ``per_image`` are read.

    Returns:
        The files: the summary, and published numbers beside ours, as Markdown and CSV each; findings as Markdown;
        mean ranks over tracks as CSV, and their diagram as ``.webp``, which says so where there are too few tracks.

    Raises:
        SettingsError: ``run`` names no run.
        DataError: a metrics file is damaged; the message names it and how to make it anew.
    """
    pages = [_page(settings, track, root) for track in dict.fromkeys(settings.run.tracks)]
    published = read_published(root)
    tracks = [page.track.ours for page in pages if page.track]
    if tracks:
        check_versions(pd.concat([track.runs for track in tracks]), root)
    ranked = rankings([track for track in tracks if track.name in settings.run.ranked])
    folder = root / "results"
    texts = {
        folder / "summary.csv": summary_csv(pages),
        folder / "summary.md": summary_markdown(pages, ranks_section(ranked)),
        folder / "ranks.csv": ranks_csv(ranked),
        folder / "findings.md": findings_markdown(tracks, ranked, root),
        folder / "comparison.csv": comparison_csv(tracks, published),
        folder / "comparison.md": comparison_markdown(tracks, published),
    }
    pictures = {folder / "plots" / name: content for name, content in _ranks_pictures(ranked, tracks).items()}
    for path, text in texts.items():
        write_text(path, text)
    for path, content in pictures.items():
        write_bytes(path, content)
    return (*texts, *pictures)


def _page(settings: Settings, track: str, root: Path) -> TrackPage:
    missing = missing_metrics(settings, track, root)
    if missing:
        return TrackPage(track, None, missing, {})
    results = load_track(settings, track, root)
    return TrackPage(track, results, (), _picture_names(results.ours))


def _picture_names(track: TrackResults) -> dict[str, str]:
    """Return what there is to look at for a track, by what it shows."""
    from wsolbench.report.plot import why_not_drawn  # noqa: PLC0415 - Matplotlib takes seconds to import

    return {shows: f"{stem}.webp" for shows, stem in _PICTURES.items() if not why_not_drawn(stem, track.frame)}


def _ranks_pictures(ranked: Sequence[Ranking], tracks: Sequence[TrackResults]) -> dict[str, bytes]:
    from wsolbench.report.figures.ranks import critical_difference  # noqa: PLC0415 - takes seconds
    from wsolbench.report.figures.style import encoded, figure_style  # noqa: PLC0415

    frame = pd.concat([track.frame for track in tracks]) if tracks else pd.DataFrame()
    with figure_style():
        figure = critical_difference(ranked, frame)
        return {"critical_difference.webp": encoded(figure, "webp")}


def _pictures(track: TrackResults, settings: Settings, root: Path) -> dict[str, bytes]:
    searches = searches_of(track.name, settings.run.methods, root)
    # Matplotlib and seaborn take seconds to import.
    from wsolbench.report.figures.photographs import grid, grid_content  # noqa: PLC0415
    from wsolbench.report.figures.searches import search  # noqa: PLC0415
    from wsolbench.report.figures.style import encoded, figure_style  # noqa: PLC0415
    from wsolbench.report.plot import figure_of, why_not_drawn  # noqa: PLC0415

    pictures: dict[str, bytes] = {}
    with figure_style():
        for stem in _PICTURES.values():
            if not why_not_drawn(stem, track.frame):
                figure = figure_of(stem, track.frame, root)
                pictures[f"{stem}.webp"] = encoded(figure, "webp", _STORED_DPI)
        if not track.measured.empty and settings.report.gallery:
            content = grid_content(settings, track.frame, track.runs, root, (), (), 4, 0, stored_only=True)
            examples = grid(*content, "mask" if track.truth == "masks" else "box")
            pictures[_EXAMPLES] = encoded(examples, "webp", _EXAMPLES_DPI, colours=None)
        if searches:
            pictures[_SEARCH] = encoded(search(searches, math.inf), "webp", _SEARCH_DPI)
    return pictures
