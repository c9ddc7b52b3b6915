"""A page per track, as Markdown for people, and the same numbers as a table, which CSV makes of it for machines."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pandas as pd

from wsolbench.config.settings import Settings
from wsolbench.report.columns import SCORE_TABLES, in_order
from wsolbench.report.costs import COSTS, cost_table, costs_reading
from wsolbench.report.facts import skipped_list, track_facts
from wsolbench.report.markdown import escaped, markdown_of
from wsolbench.report.paired import differences_section, paired_section
from wsolbench.report.searches import search_section
from wsolbench.report.track import TrackResults, score_table
from wsolbench.results.metrics import METRICS, Metric
from wsolbench.results.stats import BY_ROW

__all__ = ["csv_of", "markdown_page", "table_frame"]

_FACTS = ["dataset", "backbone", "title", "status", "variant_of", "class_agnostic", "weights", "weights_sha256"]
_FACTS += ["protocol", "images_val", "images_test"]


def table_frame(track: TrackResults) -> pd.DataFrame:
    """Return one row per method and recipe, in the order of the settings.

    Returns:
        What identifies a row, then ``<number>_mean``, ``<number>_sd``, ``<number>_ci95`` and ``<number>_n`` for every
        metric. ``ci95`` is half the width of Student's 95 % interval of the mean over seeds. Missing: NaN (no value; no
        spread of a single one), n = 0.
    """
    runs = track.runs.astype(dict.fromkeys(BY_ROW, str))
    runs["seeds"] = runs["seed"].astype(str).where(runs["skipped"].isna())
    groups = runs.groupby(BY_ROW, sort=False)
    told = groups.agg(seeds=("seeds", _joined(" ")), skipped=("skipped", _joined("; ")))
    numbers = track.summary.reindex(index=told.index, columns=pd.MultiIndex.from_product([METRICS, _STATISTICS]))
    numbers = numbers.fillna({(name, "n"): 0 for name in METRICS}).copy()
    numbers.columns = pd.Index([f"{each.stem}_{statistic}" for each in METRICS.values() for statistic in _STATISTICS])
    facts = groups[_FACTS].first().fillna({"images_val": 0, "images_test": 0})
    facts = facts.astype({"images_val": int, "images_test": int})
    return pd.concat([facts, told, numbers], axis=1).reset_index()


def _joined(separator: str) -> Callable[[pd.Series], str]:
    return lambda texts: separator.join(dict.fromkeys(texts.dropna()))


_STATISTICS = ["mean", "sd", "ci95", "n"]


def csv_of(frame: pd.DataFrame) -> str:
    """Return results as CSV with six significant digits; metrics files have all of them."""
    return frame.to_csv(index=False, lineterminator="\n", float_format="%.6g")


def markdown_page(track: TrackResults, costs: pd.DataFrame, settings: Settings, root: Path) -> str:
    """Return the track's page: a table per protocol, differences, costs, searches, and what the columns mean.

    Raises:
        DataError, SearchError: a per-image file or a stored search is damaged; the message names it.
    """
    sections = [f"# {escaped(track.name)}\n\n{track_facts(track)}"]
    if not track.measured.empty:
        for heading, metrics in SCORE_TABLES.items():
            table = score_table(track.rows, track.summary, in_order(metrics, track.truth))
            sections += [] if table.empty else [f"## {heading}\n\n{markdown_of(table)}"]
        sections += [differences_section(track), paired_section(track, root)]
        if not costs.empty:
            sections.append(f"## Costs\n\n{escaped(costs_reading(costs))}\n\n{markdown_of(cost_table(track, costs))}")
    sections += [search_section(track, settings, root), skipped_list(track), _meanings(track, costs)]
    return "\n\n".join(section.strip("\n") for section in sections if section) + "\n"


def _meanings(track: TrackResults, costs: pd.DataFrame) -> str:
    used = [each for each in chain.from_iterable(SCORE_TABLES.values()) if each.name in track.summary]
    used += [each for name, each in COSTS.items() if not costs.empty and costs[name].notna().any()]
    return "## What the columns mean\n\n" + "".join(map(_meaning, used)) if used else ""


def _meaning(metric: Metric) -> str:
    return f"- {metric.heading}: {metric.meaning}.\n"
