"""From git-tracked results to tables, plots and summary."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from wsolbench.config.settings import Settings
from wsolbench.files import write_bytes
from wsolbench.report.classes import classes_csv
from wsolbench.report.costs import Costs, read_costs
from wsolbench.report.latex import latex_tables
from wsolbench.report.paired import paired_section
from wsolbench.report.published import comparison_csv, comparison_markdown, read_published
from wsolbench.report.ranks import Ranking, rankings, ranks_csv, ranks_section
from wsolbench.report.searches import search_section, searches_of
from wsolbench.report.summary import TrackPage, summary_csv, summary_markdown
from wsolbench.report.tables import csv_table, markdown_table
from wsolbench.results.load import TrackResults, load_frame, missing_metrics, read_track

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
_KINDS = ("svg", "png")
_SEARCH, _SEARCH_DPI = "search.png", 100  # where a search is stored; hundreds of points are small as pixels only


def write_report(settings: Settings, track: str, root: Path) -> tuple[Path, ...]:
    """Write the tables and pictures of a track; equal results give equal bytes.

    Nothing is written unless everything could be read and drawn. Where every run was skipped, no picture is
    drawn, and those that an earlier report left are removed.

    Args:
        settings: name the runs.
        track: key of ``tracks``.
        root: the repository, below which ``results/metrics``, ``per_image``, ``curves``, ``costs``, ``provenance`` and
            ``search`` are read.

    Returns:
        The files that were written: ``results/tables/<track>.csv``, ``.md``, ``.tex``, ``_classes.csv`` and
        ``_costs.csv``, and below ``results/plots/<track>`` each picture as ``.svg`` and ``.png`` (that of searches as
        ``.png``).

    Raises:
        SettingsError: the track does not exist, or ``run`` names no run of it.
        DataError: a result is missing or damaged; the message names the file and how to make it anew.
    """
    results = read_track(settings, track, root)
    pictures, costs = _pictures(settings, track, root), read_costs(results, root)
    tables, plots = root / "results" / "tables", root / "results" / "plots" / track
    files = {
        tables / f"{track}.csv": csv_table(results).encode(),
        tables / f"{track}.md": _markdown(results, costs, settings, root).encode(),
        tables / f"{track}_classes.csv": classes_csv(results, root).encode(),
        tables / f"{track}_costs.csv": costs.csv().encode(),
        tables / f"{track}.tex": latex_tables(results, costs).encode(),
        **{plots / name: content for name, content in pictures.items()},
    }
    for path, content in files.items():
        write_bytes(path, content)
    plots.mkdir(parents=True, exist_ok=True)  # a stage's output, pictures or not
    for path in plots.iterdir():
        if path not in files:
            path.unlink()
    return tuple(files)


def write_summary(settings: Settings, root: Path) -> tuple[Path, ...]:
    """Write ``results/summary.md`` and ``.csv`` over all tracks of ``run.tracks``, and ``results/comparison.md``.

    A track whose metrics are not all there is named with what is missing, and has no numbers.

    Args:
        settings: name the tracks and runs.
        root: the repository, below which ``results/metrics`` is read.

    Returns:
        The files: the summary, and published numbers beside ours, as Markdown and CSV each; mean ranks over tracks as
        CSV, and their diagram as ``.svg`` and ``.png``, which says so where there are too few tracks.

    Raises:
        SettingsError: ``run`` names no run.
        DataError: a metrics file is damaged; the message names it and how to make it anew.
    """
    pages = [_page(settings, track, root) for track in dict.fromkeys(settings.run.tracks)]
    published = read_published(root)
    measured = [page.results for page in pages if page.results]
    ranked, frame = rankings(measured), load_frame(settings, [each.track for each in measured], root)
    folder = root / "results"
    files = {
        folder / "summary.csv": summary_csv(pages).encode(),
        folder / "summary.md": summary_markdown(pages, ranks_section(ranked)).encode(),
        folder / "ranks.csv": ranks_csv(ranked).encode(),
        **{folder / "plots" / name: content for name, content in _ranks_pictures(ranked, frame).items()},
        folder / "comparison.csv": comparison_csv(measured, published).encode(),
        folder / "comparison.md": comparison_markdown(measured, published).encode(),
    }
    for path, content in files.items():
        write_bytes(path, content)
    return tuple(files)


def _page(settings: Settings, track: str, root: Path) -> TrackPage:
    missing = missing_metrics(settings, track, root)
    if missing:
        return TrackPage(track, None, missing, {})
    return TrackPage(track, read_track(settings, track, root), (), _picture_names(load_frame(settings, [track], root)))


def _picture_names(frame: pd.DataFrame) -> dict[str, str]:
    """Return what there is to look at for a track, by what it shows."""
    from wsolbench.report.plot import why_not_drawn  # noqa: PLC0415 - Matplotlib takes seconds to import

    return {shows: f"{stem}.svg" for shows, stem in _PICTURES.items() if not why_not_drawn(stem, frame)}


def _ranks_pictures(ranked: Sequence[Ranking], frame: pd.DataFrame) -> dict[str, bytes]:
    from wsolbench.report.figures.ranks import critical_difference  # noqa: PLC0415 - takes seconds
    from wsolbench.report.figures.style import encoded, figure_style  # noqa: PLC0415

    with figure_style():
        figure = critical_difference(ranked, frame)
        return {f"critical_difference.{kind}": encoded(figure, kind) for kind in _KINDS}


def _markdown(results: TrackResults, costs: Costs, settings: Settings, root: Path) -> str:
    return markdown_table(results, paired_section(results, root), costs, search_section(results, settings, root))


def _pictures(settings: Settings, track: str, root: Path) -> dict[str, bytes]:
    searches, frame = searches_of(track, settings.run.methods, root), load_frame(settings, [track], root)
    # Matplotlib and seaborn take seconds to import.
    from wsolbench.report.figures.searches import search  # noqa: PLC0415
    from wsolbench.report.figures.style import encoded, figure_style  # noqa: PLC0415
    from wsolbench.report.plot import figure_of, why_not_drawn  # noqa: PLC0415

    pictures: dict[str, bytes] = {}
    with figure_style():
        for stem in _PICTURES.values():
            if not why_not_drawn(stem, frame):
                figure = figure_of(stem, frame, root)
                pictures |= {f"{stem}.{kind}": encoded(figure, kind) for kind in _KINDS}
        if searches:
            pictures[_SEARCH] = encoded(search(searches), "png", _SEARCH_DPI)
    return pictures
