"""``results/report.html``: everything on one page that needs no other file, no network and no script."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from wsolbench.config.settings import Settings
from wsolbench.files import write_bytes
from wsolbench.report.columns import SCORE_TABLES, headline, in_order
from wsolbench.report.costs import COSTS, cost_table, costs_reading, read_costs
from wsolbench.report.facts import marks, over_seeds, skipped_runs, truth_used, weights_of
from wsolbench.report.gallery import Section, gallery_sections
from wsolbench.report.paired import PAIR_COLUMNS, PairedTests, paired_tests
from wsolbench.report.palette import PREDICTED_RGB, TRUE_RGB
from wsolbench.report.pictures import plot_picture
from wsolbench.report.ranks import rankings
from wsolbench.report.searches import SearchSummary, search_summary
from wsolbench.report.track import TrackResults, load_track, score_table
from wsolbench.results.load import missing_metrics
from wsolbench.results.metrics import METRICS, RULES

__all__ = ["page_html", "write_page"]

_FILES = Path(__file__).parent / "html"
_CODE = re.compile(r"`([^`]*)`")
_BOLD = re.compile(r"\*\*([^*]*)\*\*")


@dataclass(frozen=True)
class _Table:
    caption: str
    headings: list[str]
    blocks: list[tuple[str, list[dict[str, Any]]]]  # rows: their labels, and cells of text, value and best
    note: str = ""


@dataclass(frozen=True)
class _Plot:
    title: str
    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class _Track:
    """What the page shows of a track; all but the first three is empty where results are missing."""

    name: str
    results: TrackResults | None
    missing: Sequence[str]
    facts: list[tuple[str, str]]
    tables: list[_Table]
    tests: PairedTests | None
    searches: SearchSummary | None
    plots: list[_Plot]
    gallery: list[Section]
    runs: list[dict[Any, Any]]
    skipped: list[tuple[str, str, str]]
    link: str


def write_page(settings: Settings, root: Path) -> Path:
    """Write ``results/report.html`` over all tracks of ``run.tracks``; equal results give equal bytes.

    Returns:
        The file.

    Raises:
        SettingsError: ``run`` names no run.
        DataError: a result, a picture or a small map is missing or damaged; the message names the file.
    """
    path = root / "results" / "report.html"
    write_bytes(path, page_html(settings, root).encode())
    return path


def page_html(settings: Settings, root: Path) -> str:
    """Return the page; see :func:`write_page`.

    Every value is escaped, and the page's own policy forbids all scripts but ours and everything from elsewhere.
    """
    tracks = [_track(settings, name, root) for name in dict.fromkeys(settings.run.tracks)]
    script = (_FILES / "script.js").read_text(encoding="utf-8")
    ranked = rankings([track.results for track in tracks if track.results])
    used = {heading for track in tracks for table in track.tables for heading in table.headings}
    environment = Environment(
        loader=FileSystemLoader(_FILES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["marked_up"] = _marked_up
    return environment.get_template("report.html.jinja").render(
        tracks=tracks,
        complete=sum(not track.missing for track in tracks),
        ranks=[each.reading for each in ranked],
        ranks_plot=_ranks_plot(root) if any(each.ranks for each in ranked) else None,
        rules=RULES,
        pair_columns=PAIR_COLUMNS,
        meanings=[
            (each.heading, each.unit, each.meaning)
            for each in [*METRICS.values(), *COSTS.values()]
            if each.heading in used
        ],
        true_colour=_css(TRUE_RGB),
        predicted_colour=_css(PREDICTED_RGB),
        style=Markup((_FILES / "style.css").read_text(encoding="utf-8")),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _track(settings: Settings, name: str, root: Path) -> _Track:
    missing = missing_metrics(settings, name, root)
    if missing:
        return _Track(name, None, missing, [], [], None, None, [], [], [], [], quote(name))
    track = load_track(settings, name, root)
    return _Track(
        name=name,
        results=track,
        missing=(),
        facts=_facts(track, settings),
        tables=_tables(track, read_costs(track, root)),
        tests=paired_tests(track, root),
        searches=search_summary(track, settings, root),
        plots=_plots(name, root),
        gallery=gallery_sections(track, root, settings.report.gallery),
        runs=[run for row in track.rows.index for run in track.runs_of(row).to_dict("records")],
        skipped=skipped_runs(track),
        link=quote(name),
    )


def _tables(track: TrackResults, costs: pd.DataFrame) -> list[_Table]:
    """Return the tables that have a column; a table of scores is in percent unless the definitions say otherwise."""
    percent = "Percent of the test images unless the definitions say otherwise."
    chosen = {"Headline numbers": headline(track.truth), **SCORE_TABLES}
    tables = [
        _table(
            score_table(track.rows, track.summary, in_order(metrics, track.truth)),
            f"{track.name}: {caption.replace('`', '')}. {percent}",
        )
        for caption, metrics in chosen.items()
    ]
    if not costs.empty:
        tables.append(_table(cost_table(track, costs), f"{track.name}: costs.", costs_reading(costs)))
    return [each for each in tables if each.headings]


def _table(table: pd.DataFrame, caption: str, note: str = "") -> _Table:
    if table.empty:
        return _Table(caption, [], [])
    parts = [table[part] for part in ("text", "value", "best")]
    rows = [
        (label[0], dict(zip(table.index.names, label, strict=True)) | {"cells": list(zip(*cells, strict=True))})
        for label, *cells in zip(table.index, *(part.to_numpy() for part in parts), strict=True)
    ]
    blocks = [(name, [row for _, row in found]) for name, found in groupby(rows, key=itemgetter(0))]
    return _Table(caption, parts[0].columns.tolist(), blocks, note)


def _facts(track: TrackResults, settings: Settings) -> list[tuple[str, str]]:
    if track.measured.empty:
        return [("Seeds asked for", ", ".join(map(str, track.seeds))), ("Results", "every run was skipped")]
    run = track.measured.iloc[0]
    of = settings.class_of(run["dataset"])
    return [
        ("Data set", run["dataset"] if of == run["dataset"] else f"{run['dataset']}, read by {of}"),
        (
            "Data digest",
            track.by_row(_digest),
        ),
        ("Backbone", run["backbone"]),
        ("Weights", track.by_row(weights_of)),
        ("Test images", str(int(run["images_test"]))),
        ("Truth of val that chose thresholds", track.by_row(truth_used)),
        ("Epoch that makes the maps", track.by_row(lambda each: str(each.selection))),
        (
            "Localization",
            "masks; thresholds by pIoU" if track.truth == "masks" else f"boxes, protocol {run['protocol']}",
        ),
        ("Fixed threshold", _fixed_threshold(track)),
        ("Seeds", over_seeds(track)),
        *((sign, note.replace("`", "")) for sign, note in marks(track, str)),
    ]


def _digest(run: Any) -> str:
    return "not stored" if pd.isna(run.data_digest) else str(run.data_digest)


def _fixed_threshold(track: TrackResults) -> str:
    """Return it as text; runs that were not measured alike have been refused, and boxes have none."""
    found = track.frame.loc[track.frame["metric"] == "threshold.fixed", "value"]
    return "none" if found.empty else str(found.iloc[0])


def _plots(track: str, root: Path) -> list[_Plot]:
    """Return the track's plots in the order of their names."""
    found = sorted((root / "results" / "plots" / track).glob("*.png"))
    return [_Plot(path.stem.replace("_", " ").capitalize(), *plot_picture(path)) for path in found]


def _ranks_plot(root: Path) -> _Plot | None:
    """Return the critical-difference diagram; None where the summary has not been written."""
    path = root / "results" / "plots" / "critical_difference.png"
    return _Plot("Critical difference", *plot_picture(path)) if path.is_file() else None


def _marked_up(text: str) -> Markup:
    """Return escaped text in which `this` is code and **this** bold."""
    code = _CODE.sub(r"<code>\1</code>", str(escape(text)))
    return Markup(_BOLD.sub(r"<strong>\1</strong>", code))  # noqa: S704 - escaped


def _css(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
