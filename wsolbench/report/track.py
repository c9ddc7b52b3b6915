"""The results of one track as tables of numbers, and the rows that everything printed about it has."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from wsolbench.config.settings import Settings
from wsolbench.report.looks import with_looks
from wsolbench.results.load import Results, load_results, truth_of
from wsolbench.results.metrics import Metric
from wsolbench.results.stats import BY_ROW, summarise

__all__ = ["MARKS", "Row", "TrackResults", "load_numbers", "load_track", "number_text", "records", "score_table"]

MARKS = {"learned_nothing": "†", "class_agnostic": "‡", "exempt": "§"}
"""Stand behind the title of a row of which this fact is true."""

Row = tuple[str, str, str, str]
"""TrackResults, kind, recipe and method: what the runs of a row share."""

_BLOCKS = {
    "method": "methods, recipe: {recipe}",
    "readout": "read-outs of trained methods, recipe: {recipe}",
    "variant": "variants: ablations and published recipes",
    "baseline": "baselines and supervised bounds (no weakly supervised methods)",
    "entry": "not trained here: entries from outside this benchmark",
}


@dataclass(frozen=True)
class TrackResults:
    """The results of a track.

    Attributes:
        name: its key.
        seeds: that were asked for.
        runs: of :func:`load_numbers`, and so is ``frame``.
        note: of ``report.notes``; empty without one.
    """

    name: str
    seeds: tuple[int, ...]
    runs: pd.DataFrame
    frame: pd.DataFrame
    note: str = ""

    @property
    def used_seeds(self) -> tuple[int, ...]:
        """Those of the seeds that anything was measured with."""
        return tuple(seed for seed in self.seeds if (self.ours.measured["seed"] == seed).any())

    @cached_property
    def ours(self) -> TrackResults:
        """The same without entries, which have no maps, curves or costs here."""
        runs, frame = (each[each["kind"] != "entry"] for each in (self.runs, self.frame))
        return replace(self, runs=runs, frame=frame)

    @cached_property
    def measured(self) -> pd.DataFrame:
        """The runs that have results."""
        return self.runs[self.runs["skipped"].isna()]

    @cached_property
    def summary(self) -> pd.DataFrame:
        """The numbers over seeds; see :func:`~wsolbench.results.stats.summarise`."""
        return summarise(self.frame)

    @cached_property
    def rows(self) -> pd.DataFrame:
        """A row per method and recipe, indexed like :attr:`summary`, with its title, block, number of seeds and marks.

        Blocks are methods by recipe, read-outs by recipe, variants, baselines, entries; within one, the order is that
        of the settings.
        """
        plain = self.measured.astype(dict.fromkeys(BY_ROW, str))
        rows = plain.groupby(BY_ROW, sort=False).agg(
            title=("title", "first"),
            n=("seed", "size"),
            variant_of=("variant_of", "first"),
            reads=("reads", "first"),
            learned_nothing=("learned_nothing", "any"),
            class_agnostic=("class_agnostic", "any"),
            exempt=("exempt", "any"),
        )
        kinds = ["variant" if isinstance(row.variant_of, str) else row.Index[1] for row in records(rows)]
        names = [
            _BLOCKS[kind].format(recipe=recipe) for kind, recipe in zip(kinds, _level(rows, "recipe"), strict=True)
        ]
        order = {
            name: ([*_BLOCKS].index(str(kind)), names.index(name)) for kind, name in zip(kinds, names, strict=True)
        }
        rows["block"] = pd.Categorical(names, sorted(order, key=order.__getitem__), ordered=True)
        rows["compares"] = pd.Series([kind in {"method", "readout"} for kind in kinds], rows.index, dtype=bool)
        return rows.sort_values("block", kind="stable")

    @property
    def truth(self) -> Literal["boxes", "masks"] | None:
        """What localization is measured by; None without results."""
        return truth_of(self.frame)

    def runs_of(self, row: Row) -> pd.DataFrame:
        """Return the runs of a row, in the order of the seeds."""
        found = self.measured
        for name, value in zip(BY_ROW, row, strict=True):
            found = found[found[name] == value]
        return found

    def values(self, row: Row, metric: str) -> pd.Series[float]:
        """Return a number of a row by seed."""
        found = self.frame[self.frame["metric"] == metric]
        for name, value in zip(BY_ROW, row, strict=True):
            found = found[found[name] == value]
        return found.set_index("seed")["value"]

    def by_row(self, fact: Callable[[Any], str]) -> str:
        """Return a fact about the runs; where they differ, with the titles of the rows that each answer holds for."""
        answers: dict[str, dict[str, None]] = {}
        for run in records(self.measured):
            answers.setdefault(fact(run), {})[run.title] = None
        if len(answers) == 1:
            return next(iter(answers))
        return "; ".join(f"{answer} for {', '.join(titles)}" for answer, titles in answers.items())


def load_track(settings: Settings, track: str, root: Path) -> TrackResults:
    """Read the results of a track.

    Raises:
        SettingsError, DataError: see :func:`~wsolbench.results.load.load_results`.
    """
    seeds, numbers = tuple(dict.fromkeys(settings.run.seeds)), load_numbers(settings, [track], root)
    return TrackResults(track, seeds, *numbers, settings.report.notes.get(track, ""))


def load_numbers(settings: Settings, tracks: Sequence[str], root: Path) -> Results:
    """Read the results of some tracks, with ``look``, how a row is drawn, in ``frame``.

    Raises:
        SettingsError, DataError: see :func:`~wsolbench.results.load.load_results`.
    """
    runs, frame = load_results(settings, tracks, root)
    return Results(runs, with_looks(frame, settings))


def score_table(
    rows: pd.DataFrame, summary: pd.DataFrame, metrics: Iterable[Metric], *, interval: bool = True
) -> pd.DataFrame:
    """Return some numbers as people are shown them, without those that no row defines.

    Returns:
        ``text``, ``value`` and ``best`` of every number, as the first level of the columns, with the headings as the
        second; indexed by ``block``, ``method`` (title and marks), ``recipe`` and ``n``. The best mean of a block of
        methods, as far as the text tells, is ``best``. Empty where no number is defined.
    """
    found = {each: pd.DataFrame(summary[each.name]).reindex(rows.index) for each in metrics if each.name in summary}
    found = {each: numbers for each, numbers in found.items() if numbers["n"].any()}
    means = pd.DataFrame({each.heading: numbers["mean"] for each, numbers in found.items()}, rows.index)
    texts = {
        each.heading: [number_text(each, cell.mean, cell.sd, cell.ci95, interval=interval) for cell in records(numbers)]
        for each, numbers in found.items()
    }
    parts = {"text": pd.DataFrame(texts, rows.index), "value": means, "best": _best(rows, means, list(found))}
    table = pd.concat(parts, axis=1).copy()  # in one piece
    titles = rows["title"]
    for fact, sign in MARKS.items():
        titles = titles.where(~rows[fact].astype(bool), titles + f" {sign}")
    labels = {"block": rows["block"].astype(str), "method": titles, "recipe": _level(rows, "recipe"), "n": rows["n"]}
    return table.set_axis(pd.MultiIndex.from_frame(pd.DataFrame(labels)), axis=0)


def records(table: pd.DataFrame) -> list[Any]:
    """Return the rows of a table, their cells by attribute, and what they are indexed by as ``Index``."""
    return list(table.itertuples())


def _best(rows: pd.DataFrame, means: pd.DataFrame, metrics: Sequence[Metric]) -> pd.DataFrame:
    """Return which means, a column per metric, are the best of their block, as far as their text tells."""
    signs = {True: 1, False: -1, None: math.nan}
    shown = {
        metric.heading: (means[metric.heading] * metric.scale).round(metric.decimals) * signs[metric.higher_is_better]
        for metric in metrics
    }
    compared = pd.DataFrame(shown, rows.index)[rows["compares"]]
    if compared.empty:
        return pd.DataFrame(data=False, index=rows.index, columns=means.columns)
    blocks = compared.groupby(rows["block"], observed=True)
    best = compared.eq(blocks.transform("max")) & (blocks.transform("nunique") > 1)
    return best.reindex(rows.index, fill_value=False)


def number_text(metric: Metric, mean: float, sd: float, ci95: float, sign: str = "", *, interval: bool = False) -> str:
    """Return ``71.2 ± 1.3`` for several seeds, ``71.2`` for one, ``n/a`` where nothing is defined.

    With ``interval``, half the width of the 95 % interval of the mean follows in brackets: ``71.2 ± 1.3 (±3.2)``.
    """
    if math.isnan(mean):
        return "n/a"
    digits = f".{metric.decimals}f"
    text = f"{mean * metric.scale:{sign}{digits}}"
    if math.isnan(sd):
        return text
    text += f" ± {sd * metric.scale:{digits}}"
    return f"{text} (±{ci95 * metric.scale:{digits}})" if interval else text


def _level(rows: pd.DataFrame, name: str) -> Sequence[str]:
    return [str(value) for value in rows.index.get_level_values(name)]
