"""One table per track: CSV for machines, Markdown for people, from the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby

import pandas as pd

from wsolbench.report.columns import COLUMNS, NORMALISED, ORACLE, PIXEL, WITHOUT_ORACLE, Column, summarised
from wsolbench.report.costs import COST_COLUMNS, Costs
from wsolbench.report.differences import differences_table
from wsolbench.report.markdown import escaped, markdown_of
from wsolbench.report.results import Row, TrackResults
from wsolbench.report.run_result import RunResult
from wsolbench.report.shown import shown_table

__all__ = [
    "by_row",
    "csv_table",
    "markdown_table",
    "score_table",
    "skipped_list",
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


def table_frame(results: TrackResults) -> pd.DataFrame:
    """Return one row per method (or cell, or baseline) and recipe.

    Returns:
        What identifies a row, then ``<number>_mean``, ``<number>_sd`` and ``<number>_n`` for every number of
        :data:`~wsolbench.report.columns.COLUMNS`. Missing: NaN (no value; no spread of a single one), n = 0.
    """
    return pd.DataFrame([_record(results, row) for row in results.rows])


def csv_table(results: TrackResults) -> str:
    """Return :func:`table_frame` as CSV with full precision (each number reads back as the same float)."""
    return table_frame(results).to_csv(index=False, lineterminator="\n")


def markdown_table(results: TrackResults, paired: str = "", costs: Costs | None = None) -> str:
    """Return the track's page: a table per protocol, differences, costs, skipped runs, and what the columns mean.

    Args:
        results: of the track.
        paired: section on tests between methods.
        costs: of its methods and cells; None leaves them out.
    """
    sections = [f"# {escaped(results.track)}\n\n{track_facts(results)}"]
    if results.measured:
        sections += [
            "## Threshold fixed in advance or chosen on `val`\n\n" + score_table(results, WITHOUT_ORACLE),
            "## Threshold chosen on the test split itself (oracle)\n\n"
            "Upper bounds: no user of a method could choose these thresholds.\n\n" + score_table(results, ORACLE),
            "## The same boxes without the reference evaluator's particularities (protocol `pixel`)\n\n"
            + score_table(results, PIXEL),
            "## Other normalisations of the maps (protocol `choe2020`)\n\n" + score_table(results, NORMALISED),
            differences_table(results),
            paired,
            _costs_section(costs),
        ]
    sections += [skipped_list(results), _meanings(results, costs)]
    return "\n".join(section for section in sections if section)


def track_facts(results: TrackResults) -> str:
    """Return a paragraph on what was measured: data, protocol, seeds, weights."""
    seeds = ", ".join(map(str, results.seeds))
    if not results.runs:
        return f"Every run was skipped (seeds asked for: {seeds}).\n"
    run = results.runs[0]
    over = "mean ± sample standard deviation over the seeds" if len(results.seeds) > 1 else "one seed, so no spread"
    return (
        f"Data set {escaped(run.dataset)}, backbone {escaped(run.backbone)}, {run.images.test} test images. "
        f"Box protocol {escaped(run.protocol)}. {_SELECTIONS[run.selection]}. "
        f"Seeds {seeds}: {over}, n = number of seeds. "
        "Percent of the test images unless a heading says otherwise.\n\n"
        f"Truth of `val` that chose thresholds: {escaped(by_row(results, truth_used))}. "
        f"Weights: {escaped(by_row(results, weights_of))}.\n"
    )


def score_table(results: TrackResults, columns: Iterable[Column]) -> str:
    """Return a table of some columns: methods in blocks of one recipe each, below them what is no method.

    Columns that no row defines are left out. Rows keep the order of the settings: nothing is ranked.
    """
    return markdown_of(shown_table(results.measured, columns, summarised))


def skipped_list(results: TrackResults) -> str:
    """Return a section on runs without results and why, empty if there is none."""
    lines = []
    for row in results.rows:
        for reason, runs in groupby(row.skipped, key=lambda run: run.reason):
            seeds = ", ".join(run.key.rpartition("-")[2] for run in runs)
            lines.append(f"- {escaped(row.title)} (seeds {seeds}): {escaped(reason)}\n")
    return "## Skipped\n\n" + "".join(lines) if lines else ""


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
        record[f"{each.stem}_n"] = summary.n if summary else 0
    return record


def truth_used(run: RunResult) -> str:
    """Return how much of ``val`` chose thresholds, and whose truth it is."""
    whose = "" if run.val_truth == "gt" else f", {run.val_truth} instead of true ones"
    return f"{run.images.val} images with {run.boxes_used.val} boxes and {run.masks_used.val} masks{whose}"


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
        for each in (*WITHOUT_ORACLE, *ORACLE, *PIXEL, *NORMALISED)
        if any(summarised(row, each) for row in results.measured)
    ]
    lines = [f"- {each.heading}: {each.meaning}.\n" for each in used]
    headings = costs.shown().headings if costs else ()
    lines += [f"- {each.heading}: {each.meaning}.\n" for each in COST_COLUMNS if each.heading in headings]
    return "## What the columns mean\n\n" + "".join(lines) if lines else ""
