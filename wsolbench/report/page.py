"""``results/report.html``: a leaderboard on one page that needs no other file and no network."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from numpy.typing import NDArray

from wsolbench.config.settings import Settings
from wsolbench.files import write_bytes
from wsolbench.report.columns import SCORE_TABLES, headline, in_order
from wsolbench.report.costs import COSTS, cost_summary, costs_reading, read_costs, read_provenance
from wsolbench.report.facts import entries_told, marks, over_seeds, skipped_runs, truth_used, weights_of
from wsolbench.report.gallery import Section, gallery_sections
from wsolbench.report.looks import COLOURS, LINES
from wsolbench.report.paired import PAIR_COLUMNS, PairedTests, paired_tests
from wsolbench.report.palette import CATEGORICAL, PREDICTED_RGB, TRUE_RGB
from wsolbench.report.pictures import line_path, plot_picture
from wsolbench.report.ranks import RANKED, Ranking, rankings
from wsolbench.report.searches import SearchSummary, search_summary
from wsolbench.report.track import TrackResults, load_track, number_text, records, score_table
from wsolbench.results.load import load_curve, missing_metrics
from wsolbench.results.metrics import METRICS, RULES, Metric, metrics_named
from wsolbench.results.schema import Provenance
from wsolbench.results.stats import LEVEL

__all__ = ["page_html", "write_page"]

_FILES = Path(__file__).parent / "html"
_CODE = re.compile(r"`([^`]*)`")
_BOLD = re.compile(r"\*\*([^*]*)\*\*")
_SHOWN_OTHERWISE = {"examples", "methods", "threshold_curves"}  # gallery, ranking and curves show the same


@dataclass(frozen=True)
class _Row:
    """A method of a track: a line of the ranking and of the table, a curve, and details."""

    method: str
    name: str  # its title
    title: str  # with marks
    recipe: str
    block: str
    compares: bool
    quiet: bool  # a read-out or variant: its curve is shown when it is pointed at, as there are many
    css: str  # classes of colour and dashes
    n: int
    cells: list[tuple[str, float, bool]]  # text, value and whether it is the block's best
    score: Any  # mean, sd and ci95 of what ranks, as text, too
    line: str  # SVG path of the curve, empty without one
    peak: float  # of the curve
    runs: list[tuple[dict[Any, Any], Provenance | None]]


@dataclass(frozen=True)
class _Track:
    """What the page shows of a track with results."""

    results: TrackResults
    ranked: Metric
    groups: list[str]
    columns: list[tuple[Metric, str]]  # and the numbers of their groups
    rows: list[_Row]
    costs: str
    notes: list[tuple[str, str]]
    facts: list[tuple[str, str]]
    tests: PairedTests | None
    searches: SearchSummary
    plots: list[tuple[str, tuple[str, int, int]]]
    gallery: list[Section]
    skipped: list[tuple[str, str, str]]

    @property
    def top(self) -> int:
        """Largest percentage that the figure of curves shows: that of methods, which bounds may exceed."""
        heights = [row.peak for row in self.rows if row.compares and row.line]
        return next((top for top in (25, 50) if heights and max(heights) < top), 100)

    def blocks(self, *, ranked: bool = False) -> list[tuple[str, list[tuple[int, _Row]]]]:
        """Return the rows with their numbers by block, best first if ``ranked``."""
        blocks = [(name, list(rows)) for name, rows in groupby(enumerate(self.rows), key=lambda each: each[1].block)]
        if not ranked:
            return blocks
        found = [(name, [each for each in rows if not np.isnan(each[1].score.mean)]) for name, rows in blocks]
        return [(name, sorted(rows, key=lambda each: -each[1].score.mean)) for name, rows in found if rows]

    @property
    def pictures(self) -> list[tuple[Any, str]]:
        """The gallery's pictures, each once, with ``section:place`` in each section."""
        places: dict[str, list[str]] = {}
        pictures = {}
        for number, section in enumerate(self.gallery):
            for place, picture in enumerate(section.pictures):
                pictures[picture.id] = picture
                places.setdefault(picture.id, []).append(f"{number}:{place}")
        return [(picture, " ".join(places[name])) for name, picture in pictures.items()]


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
    missing = {name: missing_metrics(settings, name, root) for name in dict.fromkeys(settings.run.tracks)}
    tracks = {name: None if lacks else _track(settings, name, root) for name, lacks in missing.items()}
    found = [track for track in tracks.values() if track]
    script = (_FILES / "script.js").read_text(encoding="utf-8")
    ranked = rankings([track.results for track in found if track.results.name in settings.run.ranked])
    environment = Environment(
        loader=FileSystemLoader(_FILES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["marked_up"] = _marked_up
    diagram = root / "results" / "plots" / "critical_difference.webp"
    return environment.get_template("report.html.jinja").render(
        tracks=tracks,
        missing=missing,
        ranks=[(each, _ranks(each)) for each in ranked],
        diagram=plot_picture(diagram) if diagram.is_file() and any(each.ranks for each in ranked) else None,
        overview=_overview(found),
        rules=RULES,
        level=f"{LEVEL:.0%}",
        pair_columns=PAIR_COLUMNS,
        meanings=list(dict.fromkeys(column for track in found for column, _ in track.columns)),
        colours=[CATEGORICAL[name] for name in COLOURS],
        true_colour=_css(TRUE_RGB),
        predicted_colour=_css(PREDICTED_RGB),
        style=Markup((_FILES / "style.css").read_text(encoding="utf-8")),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _track(settings: Settings, name: str, root: Path) -> _Track:
    track = load_track(settings, name, root)
    costs = read_costs(track, root)
    summary = track.summary if costs.empty else pd.concat([track.summary, cost_summary(costs)], axis=1)
    defined = {name for name in summary.columns.get_level_values(0) if summary[name]["n"].any()}
    groups = {name: [each for each in found if each.name in defined] for name, found in _groups(track.truth).items()}
    groups = {name: found for name, found in groups.items() if found}
    columns = list(dict.fromkeys(each for found in groups.values() for each in found))
    of = [" ".join(str(k) for k, found in enumerate(groups.values()) if each in found) for each in columns]
    ranked = next((each for each in [*_ranking_metrics(track.truth), *columns] if each.name in defined), RANKED[0])
    return _Track(
        results=track,
        ranked=ranked,
        groups=list(groups),
        columns=list(zip(columns, of, strict=True)),
        rows=list(_rows(track, summary, columns, ranked, root)),
        costs="" if costs.empty else costs_reading(costs),
        notes=marks(track, str),
        facts=[*_facts(track.ours, settings), *(("Not trained here", each) for each in entries_told(track))],
        tests=paired_tests(track, root),
        searches=search_summary(track, settings, root),
        plots=_plots(name, root),
        gallery=gallery_sections(track.ours, root, settings.report.gallery),
        skipped=skipped_runs(track),
    )


def _groups(truth: Literal["boxes", "masks"] | None) -> dict[str, Sequence[Metric]]:
    """Return the columns of the table by the groups that can be switched on; the first one is on from the start."""
    names = ["Fixed and val thresholds", "Oracle", "Protocol pixel", "Normalisations"]
    tables = [in_order(metrics, truth) for metrics in SCORE_TABLES.values()]
    plain = [each for each in METRICS.values() if not each.oracle]
    return {
        "Headline": headline(truth),
        **dict(zip(names, tables, strict=True)),
        "Object sizes": [each for each in plain if each.name.startswith("by_size.")],
        "Misses": [each for each in plain if each.name.startswith(("misses.", "pixel_errors."))],
        "Costs": list(COSTS.values()),
    }


def _ranking_metrics(truth: Literal["boxes", "masks"] | None) -> Sequence[Metric]:
    return metrics_named("px_ap") if truth == "masks" else metrics_named("gt_known.val", "gt_known.fixed")


def _rows(
    track: TrackResults, summary: pd.DataFrame, columns: Sequence[Metric], ranked: Metric, root: Path
) -> Iterator[_Row]:
    if track.rows.empty:
        return
    table = score_table(track.rows, summary, columns)
    parts = [table[part].to_numpy().tolist() for part in ("text", "value", "best")]
    looks = dict(zip(track.frame["method"], track.frame["look"], strict=True))
    scores = pd.DataFrame(summary.reindex(track.rows.index)[ranked.name])
    named = zip(table.index, records(track.rows), records(scores), *parts, strict=True)
    for (block, title, recipe, n), row, score, *cells in named:
        look, runs = looks.get(row.Index[3], 0), track.runs_of(row.Index).to_dict("records")
        curve = _curve(track, runs, root)
        yield _Row(
            method=row.Index[3],
            name=row.title,
            title=title,
            recipe=recipe,
            block=block,
            compares=row.compares,
            quiet=row.Index[1] == "readout" or isinstance(row.variant_of, str),
            css=f"k{look % len(COLOURS)} d{look % len(LINES)}",
            n=n,
            cells=list(zip(*cells, strict=True)),
            score=score,
            line="" if curve is None else line_path(curve),
            peak=0.0 if curve is None else float(curve[:, 1].max()),
            runs=[(run, read_provenance(run["key"], run["data_digest"], root)) for run in runs],
        )


def _curve(track: TrackResults, runs: Sequence[dict[Any, Any]], root: Path) -> NDArray[np.float64] | None:
    """Return ``(N, 2)`` thresholds and localization, mean over seeds; None for boxes, which have no threshold."""
    ours = track.ours.frame
    have = set(ours.loc[ours["metric"] == "threshold.fixed", "key"])
    column = "p_iou" if track.truth == "masks" else "box_acc_iou50"
    found = [load_curve(track.name, run["key"], run["kind"], root, column) for run in runs if run["key"] in have]
    return np.mean(found, axis=0) if found else None


def _ranks(ranking: Ranking) -> list[list[str]]:
    order = sorted(ranking.ranks.items(), key=lambda each: each[1])
    return [
        [ranking.titles[method], f"{rank:.2f}", *(f"{score:.1f}" for score in ranking.scores[method])]
        for method, rank in order
    ]


def _overview(tracks: Sequence[_Track]) -> list[list[str]]:
    """Return a header, and for every row that competes its ranking number on each track; empty for a single track.

    Marks stand at the numbers that they are about. What the numbers are stands at the tracks if it is not the same.
    """
    if len(tracks) < 2:
        return []
    names: dict[tuple[str, str], str] = {}
    cells: dict[tuple[str, str], list[str]] = {}
    for place, track in enumerate(tracks):
        for row in (each for each in track.rows if each.compares):
            names.setdefault((row.method, row.recipe), row.name)
            found = cells.setdefault((row.method, row.recipe), ["" for _ in tracks])
            found[place] = number_text(track.ranked, row.score.mean, row.score.sd, row.score.ci95)
            found[place] += row.title.removeprefix(row.name)
    one = len({each.ranked for each in tracks}) == 1
    header = [each.results.name if one else f"{each.results.name}: {each.ranked.heading}" for each in tracks]
    return [["method", "recipe", *header], *([name, key[1], *cells[key]] for key, name in names.items())]


def _facts(track: TrackResults, settings: Settings) -> list[tuple[str, str]]:
    if track.measured.empty:
        return [("Seeds asked for", ", ".join(map(str, track.seeds))), ("Results", "every run was skipped")]
    run = track.measured.iloc[0]
    of = settings.class_of(run["dataset"])
    fixed = track.frame.loc[track.frame["metric"] == "threshold.fixed", "value"]  # the same for all; boxes have none
    masks = track.truth == "masks"
    return [
        ("Data set", run["dataset"] if of == run["dataset"] else f"{run['dataset']}, read by {of}"),
        ("Backbone", run["backbone"]),
        ("Test images", str(int(run["images_test"]))),
        ("Seed" if len(track.used_seeds) == 1 else "Seeds", over_seeds(track)),
        ("Localization", "masks; thresholds by pIoU" if masks else f"boxes, protocol {run['protocol']}"),
        ("Fixed threshold", "none" if fixed.empty else str(fixed.iloc[0])),
        ("Truth of val that chose thresholds", track.by_row(truth_used)),
        ("Weights", track.by_row(weights_of)),
        ("Epoch that makes the maps", track.by_row(lambda each: str(each.selection))),
        ("Data digest", track.by_row(lambda each: "not stored" if pd.isna(each.data_digest) else each.data_digest)),
    ]


def _plots(track: str, root: Path) -> list[tuple[str, tuple[str, int, int]]]:
    """Return the track's plots in the order of their names, each with its title."""
    found = sorted((root / "results" / "plots" / track).glob("*.webp"))
    chosen = [path for path in found if path.stem not in _SHOWN_OTHERWISE]
    return [(path.stem.replace("_", " ").capitalize(), plot_picture(path)) for path in chosen]


def _marked_up(text: str) -> Markup:
    """Return escaped text in which `this` is code and **this** bold."""
    code = _CODE.sub(r"<code>\1</code>", str(escape(text)))
    return Markup(_BOLD.sub(r"<strong>\1</strong>", code))  # noqa: S704 - escaped


def _css(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
