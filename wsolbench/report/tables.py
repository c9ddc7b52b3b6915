"""One table per track: CSV for machines, Markdown for people, from the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

import pandas as pd

from wsolbench.report.columns import COLUMNS, NORMALISED, ORACLE, PIXEL, WITHOUT_ORACLE, Column, summarised
from wsolbench.report.differences import differences_table
from wsolbench.report.markdown import escaped, measured, pipe_table
from wsolbench.report.results import Row, TrackResults
from wsolbench.report.run_result import RunResult

__all__ = [
    "blocks_of",
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
_CELLS = "single cells and ablations (`cells`)"
_BASELINES = "baselines and supervised bounds (no weakly supervised methods)"


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


def markdown_table(results: TrackResults, paired: str = "") -> str:
    """Return the track's page: a table per protocol, differences, skipped runs, and what the columns mean.

    Args:
        results: of the track.
        paired: section on tests between methods.
    """
    sections = [
        f"# {escaped(results.track)}\n\n{track_facts(results)}",
        "## Threshold fixed in advance or chosen on `val`\n\n" + score_table(results, WITHOUT_ORACLE),
        "## Threshold chosen on the test split itself (oracle)\n\n"
        "Upper bounds: no user of a method could choose these thresholds.\n\n" + score_table(results, ORACLE),
        "## The same boxes without the reference evaluator's particularities (protocol `pixel`)\n\n"
        + score_table(results, PIXEL),
        "## Other normalisations of the maps (protocol `choe2020`)\n\n" + score_table(results, NORMALISED),
        differences_table(results),
        paired,
        skipped_list(results),
        _meanings(results),
    ]
    if not results.measured:
        sections[1:7] = []
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
    shown = [each for each in columns if any(summarised(row, each) for row in results.measured)]
    headings = ["method", "recipe", "n", *(each.heading for each in shown)]
    blocks = blocks_of(results.measured)
    lines: list[list[str]] = []
    for heading, rows in blocks:
        if len(blocks) > 1:
            lines.append([f"**{escaped(heading)}**", *[""] * (len(headings) - 1)])
        for row in rows:
            numbers = (measured(summarised(row, each), each) for each in shown)
            lines.append([escaped(row.title), escaped(row.recipe), str(len(row.runs)), *numbers])
    return pipe_table(headings, lines, left=2)


def blocks_of(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Divide rows into blocks: one per recipe of methods, whose rows compare, then cells, then baselines and bounds."""
    methods = [row for row in rows if row.kind == "method"]
    recipes = dict.fromkeys(row.recipe for row in methods)
    blocks = [(f"methods, recipe: {recipe}", [row for row in methods if row.recipe == recipe]) for recipe in recipes]
    cells = [row for row in rows if row.kind == "cell"]
    others = [row for row in rows if row.kind == "baseline"]
    return [*blocks, *[(heading, found) for heading, found in ((_CELLS, cells), (_BASELINES, others)) if found]]


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


def _meanings(results: TrackResults) -> str:
    used = [
        each
        for each in (*WITHOUT_ORACLE, *ORACLE, *PIXEL, *NORMALISED)
        if any(summarised(row, each) for row in results.measured)
    ]
    lines = [f"- {each.heading}: {each.meaning}.\n" for each in used]
    return "## What the columns mean\n\n" + "".join(lines) if lines else ""
