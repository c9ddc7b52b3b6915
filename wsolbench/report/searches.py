"""What the searches of a track found on `val`, how far their trials spread, and whether their budgets were equal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from wsolbench.config.settings import Run, Settings
from wsolbench.report.markdown import escaped, pipe_table
from wsolbench.report.track import TrackResults, records
from wsolbench.search.draw import ARGUMENT, RECIPE
from wsolbench.search.record import OBJECTIVES, Search, read_searches

__all__ = ["SearchSummary", "budget_differences", "objective_label", "search_section", "search_summary", "searches_of"]

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
        table: a row of text per method; empty without searches.
    """

    title: str
    reading: tuple[str, ...]
    table: pd.DataFrame


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
    track: TrackResults, settings: Settings, root: Path, text: Callable[[str], str] = str
) -> SearchSummary:
    """Return what there is to say about a track's searches, or that there is none."""
    searches = searches_of(track.name, track.runs["method"], root)
    stored = {search.head.method: search for search in searches}
    digests = set(track.measured["data_digest"].dropna())
    runs = track.measured[track.measured["variant_of"].isna() & (track.measured["recipe"] == "searched")]
    marked = runs.drop_duplicates("method").set_index("method")[["title", "key"]]
    unfinished = [f"{each.head.title} ({len(each.trials)})" for each in searches if not each.finished]
    stale = [each.head.title for each in searches if digests and each.head.definition.data not in digests]
    unknown = [title for method, title in marked["title"].items() if method not in stored]
    others = [
        row.title
        for row in records(marked)
        if row.Index in stored and not _is_applied(stored[row.Index], settings.resolve(row.key))
    ]
    remarks = {
        "**Not finished**, with the trials that are over so far": unfinished,
        "Searched on other data than the track's results (the digests differ)": stale,
        "Marked `searched` without a search that is stored here": unknown,
        "Marked `searched`, but not with what won the search that is stored here": others,
    }
    start = [_budget(searches, text), _READING] if searches else [f"There is none in `results/search/{track.name}`."]
    reading = [f"{remark}: {', '.join(map(text, titles))}." for remark, titles in remarks.items() if titles]
    table = pd.DataFrame([_line(search) for search in searches]).map(text)
    return SearchSummary(_TITLE, (*start, *reading), table)


def search_section(track: TrackResults, settings: Settings, root: Path) -> str:
    """Return :func:`search_summary` as a section in Markdown."""
    summary = search_summary(track, settings, root, escaped)
    table = [] if summary.table.empty else [pipe_table(summary.table)]
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
    best = search.best.model_dump()["values"]
    return all(used.get(name, missing) == value for name, value in best.items())


def _line(search: Search) -> dict[str, str]:
    head, percent = search.head, pd.Series([trial.value for trial in search.trials], dtype=float).dropna()
    cells = {"method": head.title, "trials": str(len(search.trials)), "failed": str(search.failed)}
    if search.best is None:
        return cells | dict.fromkeys(["best", "median", "range", "sd"], "n/a") | {"the best trial": "none"}
    chosen = {name.partition(".")[2]: value for name, value in search.best.model_dump()["values"].items()}
    shown = [f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in chosen.items()]
    return cells | {
        "best": f"{percent.max():.1f}",
        "median": f"{percent.median():.1f}",
        "range": f"{percent.min():.1f} to {percent.max():.1f}",
        "sd": "n/a" if len(percent) == 1 else f"{percent.std():.1f}",
        "the best trial": ", ".join(shown),
    }


def objective_label(searches: Sequence[Search]) -> str:
    """Return what the vertical axis of a plot shows."""
    names = dict.fromkeys(search.head.objective for search in searches)
    return f"{' or '.join(names)} on val (%)"
