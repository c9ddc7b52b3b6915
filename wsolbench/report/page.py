"""``results/report.html``: everything on one page that needs no other file, no network and no script."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from wsolbench.config.settings import Settings
from wsolbench.files import write_bytes
from wsolbench.report.columns import (
    COLUMNS,
    RULES,
    headline,
)
from wsolbench.report.costs import COST_COLUMNS, Costs, read_costs
from wsolbench.report.gallery import Section, gallery_sections
from wsolbench.report.paired import PAIR_COLUMNS, PairedTests, paired_tests
from wsolbench.report.palette import PREDICTED_RGB, TRUE_RGB
from wsolbench.report.pictures import plot_picture
from wsolbench.report.ranks import rankings
from wsolbench.report.searches import SEARCH_COLUMNS, SearchSummary, search_summary
from wsolbench.report.shown import LEARNED_NOTHING, ShownTable
from wsolbench.report.tables import (
    SCORE_TABLES,
    by_row,
    learned_nothing,
    over_seeds,
    shown_scores,
    skipped_runs,
    truth_used,
    weights_of,
)
from wsolbench.results.load import Row, TrackResults, missing_metrics, read_track
from wsolbench.results.run_result import RunResult

__all__ = ["page_html", "write_page"]

_FILES = Path(__file__).parent / "html"
_CODE = re.compile(r"`([^`]*)`")
_BOLD = re.compile(r"\*\*([^*]*)\*\*")


@dataclass(frozen=True)
class _Table:
    caption: str
    shown: ShownTable
    note: str = ""


@dataclass(frozen=True)
class _Plot:
    title: str
    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class _Run:
    title: str
    run: RunResult
    metrics: str  # links, relative to the page
    provenance: str


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
    runs: list[_Run]
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
    used = {heading for track in tracks for table in track.tables for heading in table.shown.headings}
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
        search_columns=SEARCH_COLUMNS,
        meanings=[
            *((each.heading, each.unit, each.meaning) for each in COLUMNS if each.heading in used),
            *((each.heading, each.unit, each.meaning) for each in COST_COLUMNS if each.heading in used),
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
    results = read_track(settings, name, root)
    return _Track(
        name=name,
        results=results,
        missing=(),
        facts=_facts(results, settings),
        tables=_tables(results, read_costs(results, root)),
        tests=paired_tests(results, root),
        searches=search_summary(results, settings, root),
        plots=_plots(name, root),
        gallery=gallery_sections(results, root, settings.report.gallery),
        runs=[_run(row, run) for row in results.measured for run in row.runs],
        skipped=skipped_runs(results),
        link=quote(name),
    )


def _tables(results: TrackResults, costs: Costs) -> list[_Table]:
    """Return the tables that have a column; a table of scores is in percent unless the definitions say otherwise."""
    percent = "Percent of the test images unless the definitions say otherwise."
    chosen = {"Headline numbers": headline(results), **SCORE_TABLES}
    scores = [
        _Table(f"{results.track}: {caption.replace('`', '')}. {percent}", shown_scores(results, columns))
        for caption, columns in chosen.items()
    ]
    tables = [*scores, _Table(f"{results.track}: costs.", costs.shown(), costs.reading)]
    return [each for each in tables if each.shown.headings]


def _facts(results: TrackResults, settings: Settings) -> list[tuple[str, str]]:
    if not results.runs:
        return [("Seeds asked for", ", ".join(map(str, results.seeds))), ("Results", "every run was skipped")]
    run = results.runs[0]
    of = settings.class_of(run.dataset)
    return [
        ("Data set", run.dataset if of == run.dataset else f"{run.dataset}, read by {of}"),
        ("Data digest", by_row(results, lambda each: each.data_digest or "not stored")),
        ("Backbone", run.backbone),
        ("Weights", by_row(results, weights_of)),
        ("Test images", str(run.images.test)),
        ("Truth of val that chose thresholds", by_row(results, truth_used)),
        ("Epoch that makes the maps", by_row(results, lambda each: each.selection)),
        (
            "Localization",
            "masks; thresholds by pIoU" if results.truth == "masks" else f"boxes, protocol {run.protocol}",
        ),
        ("Fixed threshold", _fixed_threshold(results)),
        ("Seeds", over_seeds(results)),
        *((LEARNED_NOTHING, note) for note in [learned_nothing(results, str).replace("`", "")] if note),
    ]


def _fixed_threshold(results: TrackResults) -> str:
    """Return it as text; runs that were not measured alike have been refused, and boxes have none."""
    found = [run.threshold.fixed for run in results.runs if run.threshold.fixed is not None]
    return str(found[0]) if found else "none"


def _plots(track: str, root: Path) -> list[_Plot]:
    """Return the track's plots in the order of their names."""
    found = sorted((root / "results" / "plots" / track).glob("*.png"))
    return [_Plot(path.stem.replace("_", " ").capitalize(), *plot_picture(path)) for path in found]


def _ranks_plot(root: Path) -> _Plot | None:
    """Return the critical-difference diagram; None where the summary has not been written."""
    path = root / "results" / "plots" / "critical_difference.png"
    return _Plot("Critical difference", *plot_picture(path)) if path.is_file() else None


def _run(row: Row, run: RunResult) -> _Run:
    key = quote(run.key)
    return _Run(row.title, run, f"metrics/{quote(run.track)}/{key}.json", f"provenance/{key}.json")


def _marked_up(text: str) -> Markup:
    """Return escaped text in which `this` is code and **this** bold."""
    code = _CODE.sub(r"<code>\1</code>", str(escape(text)))
    return Markup(_BOLD.sub(r"<strong>\1</strong>", code))  # noqa: S704 - escaped


def _css(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
