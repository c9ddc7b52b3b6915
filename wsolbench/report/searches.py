"""What the searches of a track found on `val`, how far their trials spread, and whether their budgets were equal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from wsolbench.config.settings import Run, Settings
from wsolbench.report.markdown import escaped, pipe_table
from wsolbench.results.load import TrackResults
from wsolbench.results.stats import spread
from wsolbench.search.draw import ARGUMENT, RECIPE
from wsolbench.search.record import OBJECTIVES, Search, read_searches

__all__ = [
    "SEARCH_COLUMNS",
    "SearchSummary",
    "budget_differences",
    "objective_label",
    "search_section",
    "search_summary",
    "searches_of",
]

SEARCH_COLUMNS = ("method", "trials", "failed", "best", "median", "range", "sd", "the best trial")
"""Headings of a table of searches."""

_TITLE = "Hyper-parameter search on `val`"
_READING = (
    "Percent of `val`, over the trials that did not fail. The range and the sample standard deviation (sd) say how "
    "much a method depends on its settings. The best of many trials is an optimistic number: this very split chose "
    "it. Failed trials diverged or could not be trained, and count as spent."
)


@dataclass(frozen=True)
class SearchSummary:
    """The searches of a track as text for people.

    Attributes:
        title: heading.
        reading: paragraphs on budget and meaning.
        lines: cells of :data:`SEARCH_COLUMNS`, a line per method.
    """

    title: str
    reading: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]


def searches_of(track: str, order: Iterable[str], root: Path) -> list[Search]:
    """Read the searches of a track, in the order of the given methods, then others by name.

    Raises:
        DataError, SearchError: a stored search is damaged; the message names the file.
    """
    places = {method: place for place, method in enumerate(dict.fromkeys(order))}
    return sorted(read_searches(root, track), key=lambda search: places.get(search.head.method, len(places)))


def budget_differences(searches: Sequence[Search]) -> dict[str, dict[str, list[str]]]:
    """Return in what the budgets differ: by name, the titles that had each value; empty if they are equal."""
    found: dict[str, dict[str, list[str]]] = {}
    for search in searches:
        for name, value in _budget_of(search).items():
            found.setdefault(name, {}).setdefault(value, []).append(search.head.title)
    return {name: values for name, values in found.items() if len(values) > 1}


def search_summary(
    results: TrackResults, settings: Settings, root: Path, text: Callable[[str], str] = str
) -> SearchSummary:
    """Return what there is to say about a track's searches, or that there is none.

    Args:
        results: of the track.
        settings: by which they were made.
        root: the repository.
        text: escapes what users named.

    Raises:
        DataError, SearchError: see :func:`searches_of`.
    """
    searches = searches_of(results.track, (row.method for row in results.rows), root)
    reading = (
        [_budget(searches, text), _READING] if searches else [f"There is none in `results/search/{results.track}`."]
    )
    unfinished = [text(f"{search.head.title} ({len(search.trials)})") for search in searches if not search.finished]
    if unfinished:
        reading.append(f"**Not finished**, with the trials that are over so far: {', '.join(unfinished)}.")
    stale = [text(search.head.title) for search in searches if _is_stale(search, results)]
    if stale:
        reading.append(f"Searched on other data than the track's results (the digests differ): {', '.join(stale)}.")
    stored = {search.head.method: search for search in searches}
    marked = [row for row in results.measured if row.kind == "method" and row.recipe == "searched"]
    unknown = [text(row.title) for row in marked if row.method not in stored]
    if unknown:
        reading.append(f"Marked `searched` without a search that is stored here: {', '.join(unknown)}.")
    others = [
        text(row.title)
        for row in marked
        if row.method in stored and not _is_applied(stored[row.method], settings.resolve(row.runs[0].key))
    ]
    if others:
        reading.append(f"Marked `searched`, but not with what won the search that is stored here: {', '.join(others)}.")
    lines = (tuple(text(cell) for cell in _line(search)) for search in searches)
    return SearchSummary(_TITLE, tuple(reading), tuple(lines))


def search_section(results: TrackResults, settings: Settings, root: Path) -> str:
    """Return :func:`search_summary` as a section in Markdown.

    Raises:
        DataError, SearchError: see :func:`searches_of`.
    """
    summary = search_summary(results, settings, root, escaped)
    table = [pipe_table(SEARCH_COLUMNS, summary.lines)] if summary.lines else []
    return "\n\n".join([f"## {summary.title}", *summary.reading, *table])


def _budget_of(search: Search) -> dict[str, str]:
    """Return what must be equal for two searches of a track to compare, by name."""
    head, made = search.head, search.head.definition
    common = [f"{name.removeprefix(RECIPE)} {drawn}" for name, drawn in made.space.items() if name.startswith(RECIPE)]
    return {
        "trials": str(head.trials),
        "epochs per trial": str(head.epochs),
        "batch": str(head.batch),
        "objective": OBJECTIVES[made.objective],
        "seed": str(made.seed),
        "common recipe": ", ".join(common) or "not searched",
        "images of val": str(head.images),
        "boxes of val": str(head.boxes_used),
        "masks of val": str(head.masks_used),
        "data digest": made.data[:12],
    }


def _budget(searches: Sequence[Search], text: Callable[[str], str]) -> str:
    unequal = budget_differences(searches)
    budget = _budget_of(searches[0])
    same = "; ".join(f"{name} {text(value)}" for name, value in budget.items() if name not in unequal)
    if not unequal:
        who = "All methods had the same budget" if len(searches) > 1 else "The budget"
        return f"{who}: {same}."
    parts = []
    for name, values in unequal.items():
        groups = (f"{text(value)}: {', '.join(map(text, titles))}" for value, titles in values.items())
        parts.append(f"{name} ({'; '.join(groups)})")
    differ = f"they differ in {', '.join(parts)}. Equal: {same}."
    return f"**The budgets are not equal, and the methods do not compare**: {differ}"


def _is_applied(search: Search, run: Run) -> bool:
    """Return whether a run has the parameters of the best trial."""
    if search.best is None:
        return False
    used = {ARGUMENT + name: value for name, value in run.on_track.args.items()}
    used |= {RECIPE + name: value for name, value in run.track.model_dump().items()}
    missing = object()
    return all(used.get(name, missing) == value for name, value in search.best.values.items())


def _is_stale(search: Search, results: TrackResults) -> bool:
    digests = {run.data_digest for run in results.runs if run.data_digest}
    return bool(digests) and search.head.definition.data not in digests


def _line(search: Search) -> tuple[str, ...]:
    head, values = search.head, search.values
    counts = (head.title, str(len(search.trials)), str(search.failed))
    if search.best is None:
        return (*counts, *["n/a"] * 4, "none")
    deviation = spread(values).sd
    shown = (
        f"{name.partition('.')[2]} {value:.3g}" if isinstance(value, float) else f"{name.partition('.')[2]} {value}"
        for name, value in search.best.values.items()
    )
    return (
        *counts,
        f"{max(values):.1f}",
        f"{median(values):.1f}",
        f"{min(values):.1f} to {max(values):.1f}",
        "n/a" if deviation is None else f"{deviation:.1f}",
        ", ".join(shown),
    )


def objective_label(searches: Sequence[Search]) -> str:
    """Return what the vertical axis of a plot shows."""
    names = dict.fromkeys(search.head.objective for search in searches)
    return f"{' or '.join(names)} on val (%)"
