"""One table per track: CSV for machines, Markdown for people, from the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain, groupby

import pandas as pd

from wsolbench.errors import counted
from wsolbench.report.columns import COLUMNS, NORMALISED, ORACLE, PIXEL, WITHOUT_ORACLE, Column, summarised
from wsolbench.report.costs import COST_COLUMNS, Costs
from wsolbench.report.differences import differences_table
from wsolbench.report.markdown import escaped, markdown_of
from wsolbench.report.shown import LEARNED_NOTHING, ShownTable, shown_table
from wsolbench.results.load import Row, TrackResults
from wsolbench.results.run_result import RunResult
from wsolbench.results.stats import LEVEL

__all__ = [
    "SCORE_TABLES",
    "by_row",
    "csv_table",
    "facts",
    "learned_nothing",
    "markdown_table",
    "over_seeds",
    "score_table",
    "shown_scores",
    "skipped_list",
    "skipped_runs",
    "table_frame",
    "track_facts",
    "truth_used",
    "weights_of",
]

_SELECTIONS = {
    "last": "Maps of the last epoch's weights",
    "val_boxes": "Maps of the weights of the epoch with the best BoxAcc on `val`",
    "val_cls": "Maps of the weights of the epoch with the best Top-1 accuracy on `val`",
}


SCORE_TABLES = {
    "Threshold fixed in advance or chosen on `val`": WITHOUT_ORACLE,
    "Threshold chosen on the test split itself (oracle): upper bounds": ORACLE,
    "The same boxes without the reference evaluator's particularities (protocol `pixel`)": PIXEL,
    "Other normalisations of the maps (protocol `choe2020`)": NORMALISED,
}
"""Headings and columns of a track's tables, one per protocol; those that nothing defines are left out."""


def table_frame(results: TrackResults) -> pd.DataFrame:
    """Return one row per method (or cell, or baseline) and recipe.

    Returns:
        What identifies a row, then ``<number>_mean``, ``<number>_sd``, ``<number>_ci95`` and ``<number>_n`` for every
        number of :data:`~wsolbench.report.columns.COLUMNS`. ``ci95`` is half the width of Student's 95 % interval of
        the mean over seeds. Missing: NaN (no value; no spread of a single one), n = 0.
    """
    return pd.DataFrame([_record(results, row) for row in results.rows])


def csv_table(results: TrackResults) -> str:
    """Return :func:`table_frame` as CSV with full precision (each number reads back as the same float)."""
    return table_frame(results).to_csv(index=False, lineterminator="\n")


def markdown_table(results: TrackResults, paired: str = "", costs: Costs | None = None, searched: str = "") -> str:
    """Return the track's page: a table per protocol, differences, costs, skipped runs, and what the columns mean.

    Args:
        results: of the track.
        paired: section on tests between methods.
        costs: of its methods; None leaves them out.
        searched: section on searches.
    """
    sections = [f"# {escaped(results.track)}\n\n{track_facts(results)}"]
    if results.measured:
        tables = {heading: shown_scores(results, columns) for heading, columns in SCORE_TABLES.items()}
        sections += [f"## {heading}\n\n{markdown_of(table)}" for heading, table in tables.items() if table.headings]
        sections += [
            differences_table(results),
            paired,
            _costs_section(costs),
        ]
    sections += [searched, skipped_list(results), _meanings(results, costs)]
    return "\n\n".join(section.strip("\n") for section in sections if section) + "\n"


def track_facts(results: TrackResults, *, interval: bool = True) -> str:
    """Return two paragraphs in Markdown on what was measured: data, protocol, seeds; truth of ``val``, weights.

    Args:
        results: of the track.
        interval: whether the numbers below have intervals.
    """
    return "\n\n".join(facts(results, escaped, interval=interval)) + "\n"


def facts(results: TrackResults, mark: Callable[[str], str], *, interval: bool = True) -> list[str]:
    """Return what was measured, as paragraphs in which names of parameters stand in backticks.

    Args:
        results: of the track.
        mark: applied to everything that a user supplied.
        interval: whether the numbers have intervals.
    """
    if not results.runs:
        return [f"Every run was skipped (seeds asked for: {', '.join(map(str, results.seeds))})."]
    run = results.runs[0]
    masks = results.truth == "masks"
    protocol = "Masks, no boxes: thresholds are chosen by pIoU" if masks else f"Box protocol {mark(run.protocol)}"
    percent = "Percent." if masks else "Percent of the test images unless a heading says otherwise."
    measured = (
        f"Data set {mark(run.dataset)}, backbone {mark(run.backbone)}, {run.images.test} test images. "
        f"{protocol}. {_SELECTIONS[run.selection]}. "
        f"Seeds {over_seeds(results, interval=interval)}, n = number of seeds. {percent}"
    )
    truth, weights = by_row(results, truth_used), by_row(results, weights_of)
    note = learned_nothing(results, mark)
    notes = [f"{LEARNED_NOTHING} {note}"] if note else []
    return [measured, f"Truth of `val` that chose thresholds: {mark(truth)}. Weights: {mark(weights)}.", *notes]


def learned_nothing(results: TrackResults, mark: Callable[[str], str]) -> str:
    """Return the footnote on trainings that learned nothing that shows, empty if there is none.

    Args:
        results: of the track.
        mark: applied to everything that a user supplied.
    """
    found = []
    for row in results.measured:
        failed = [str(run.seed) for run in row.runs if run.learned_nothing]
        if failed:
            found.append(f"{mark(row.title)} (seeds {', '.join(failed)}; {len(failed)} of {len(row.runs)})")
    return (
        f"Trained without learning anything that shows (Top-1 Cls on `val` not above that of one class for all images, "
        f"or a loss that grew), and counted in all numbers: {', '.join(found)}."
        if found
        else ""
    )


def over_seeds(results: TrackResults, *, interval: bool = True) -> str:
    """Return the seeds of a track, and what its numbers say about them."""
    seeds = ", ".join(map(str, results.seeds))
    if len(results.seeds) == 1:
        return f"{seeds}: one seed, so no spread"
    start = f"{seeds}: mean ± sample standard deviation over the seeds"
    if not interval:
        return start
    return (
        f"{start}, in brackets half the width of the {LEVEL:.0%} interval of the mean (Student's t, n - 1 degrees of "
        "freedom; it speaks of training again and not of other images)"
    )


def shown_scores(results: TrackResults, columns: Iterable[Column], *, interval: bool = True) -> ShownTable:
    """Return some columns of a track, those of pixels first where it has no boxes; see :func:`shown_table`."""
    chosen = list(columns)
    if results.truth == "masks":
        chosen.sort(key=lambda each: not each.name.startswith(("px_ap", "p_iou")))
    return shown_table(results.measured, chosen, summarised, interval=interval)


def score_table(results: TrackResults, columns: Iterable[Column], *, interval: bool = True) -> str:
    """Return a table of some columns: methods in blocks of one recipe each, below them what is no method.

    Columns that no row defines are left out. Rows keep the order of the settings: nothing is ranked.

    Args:
        results: of the track.
        columns: what to show.
        interval: whether cells have the interval of the mean, too.
    """
    return markdown_of(shown_scores(results, columns, interval=interval))


def skipped_list(results: TrackResults) -> str:
    """Return a section on runs without results and why, empty if there is none."""
    lines = [
        f"- {escaped(title)} (seeds {seeds}): {escaped(reason)}\n" for title, seeds, reason in skipped_runs(results)
    ]
    return "## Skipped\n\n" + "".join(lines) if lines else ""


def skipped_runs(results: TrackResults) -> list[tuple[str, str, str]]:
    """Return title, seeds and reason of the runs without results."""
    return [
        (row.title, ", ".join(run.key.rpartition("-")[2] for run in runs), reason)
        for row in results.rows
        for reason, runs in groupby(row.skipped, key=lambda run: run.reason)
    ]


def _record(results: TrackResults, row: Row) -> dict[str, object]:
    run = row.runs[0] if row.runs else None
    weights = run.weights if run else None
    record: dict[str, object] = {
        "track": results.track,
        "dataset": run.dataset if run else None,
        "backbone": run.backbone if run else None,
        "kind": row.kind,
        "method": row.method,
        "title": row.title,
        "recipe": row.recipe,
        "weights": weights.name if weights else None,
        "weights_sha256": weights.sha256 if weights else None,
        "protocol": run.protocol if run else None,
        "images_val": run.images.val if run else 0,
        "images_test": run.images.test if run else 0,
        "seeds": " ".join(str(each.seed) for each in row.runs),
        "skipped": "; ".join(dict.fromkeys(each.reason for each in row.skipped)),
    }
    for each in COLUMNS:
        summary = summarised(row, each)
        record[f"{each.stem}_mean"] = summary.mean if summary else float("nan")
        record[f"{each.stem}_sd"] = summary.sd if summary and summary.sd is not None else float("nan")
        half = summary.half_width() if summary else None
        record[f"{each.stem}_ci95"] = half if half is not None else float("nan")
        record[f"{each.stem}_n"] = summary.n if summary else 0
    return record


def truth_used(run: RunResult) -> str:
    """Return how much of ``val`` chose thresholds, and whose truth it is."""
    whose = "" if run.val_truth == "gt" else f", {run.val_truth} instead of true ones"
    boxes, masks = counted(run.boxes_used.val, "box", "boxes"), counted(run.masks_used.val, "mask")
    return f"{counted(run.images.val, 'image')} with {boxes} and {masks}{whose}"


def weights_of(run: RunResult) -> str:
    """Return which pretrained weights a run started from."""
    if run.weights is None:
        return "none (random initialisation)"
    return f"{run.weights.name} (sha256 {run.weights.sha256[:12]})"


def by_row(results: TrackResults, fact: Callable[[RunResult], str]) -> str:
    """Return a fact about the runs; where they differ, with the rows that each value holds for."""
    titles: dict[str, dict[str, None]] = {}
    for row in results.measured:
        for run in row.runs:
            titles.setdefault(fact(run), {})[row.title] = None
    if len(titles) == 1:
        return next(iter(titles))
    return "; ".join(f"{value} for {', '.join(rows)}" for value, rows in titles.items())


def _costs_section(costs: Costs | None) -> str:
    if costs is None or not costs.rows:
        return ""
    return f"## Costs\n\n{escaped(costs.reading)}\n\n{markdown_of(costs.shown())}"


def _meanings(results: TrackResults, costs: Costs | None) -> str:
    used = [
        each
        for each in chain.from_iterable(SCORE_TABLES.values())
        if any(summarised(row, each) for row in results.measured)
    ]
    lines = [f"- {each.heading}: {each.meaning}.\n" for each in used]
    headings = costs.shown().headings if costs else ()
    lines += [f"- {each.heading}: {each.meaning}.\n" for each in COST_COLUMNS if each.heading in headings]
    return "## What the columns mean\n\n" + "".join(lines) if lines else ""
