"""What the stored tracks say, as sentences whose numbers are filled in; no claim that no test carries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from wsolbench.report.markdown import escaped, pipe_table
from wsolbench.report.paired import TestedPair, tested_pairs
from wsolbench.report.ranks import Ranking
from wsolbench.report.track import MARKS, Row, TrackResults, number_text
from wsolbench.results.metrics import METRICS, Metric
from wsolbench.results.stats import LEVEL

__all__ = ["findings_markdown"]

_GAUSSIAN = "centre_gaussian"
_FEWEST_SEEDS = 2
_START = f"""# Findings

Written from the stored numbers, over all tracks that have results. "Above" and "below" stand only where a test says so:
a bootstrap over images and seeds, corrected by Holm for the number of comparisons in the sentence, at {1 - LEVEL:.2f}.
What is "not told apart" may still differ: so many seeds and images do not show it. Nothing here is a statement on data
beyond these tracks. {MARKS["learned_nothing"]} marks rows of which a run did not learn to classify.
"""


def findings_markdown(tracks: Sequence[TrackResults], ranked: Sequence[Ranking], root: Path) -> str:
    """Return the page, in Markdown.

    Args:
        tracks: those that have results, without entries.
        ranked: methods over tracks.
        root: the repository, for the results per image.

    Raises:
        DataError: a per-image file is missing or damaged, or of other images; the message names it.
    """
    tracks = [track for track in tracks if track.truth]
    parts = {
        "Who localizes better than the first method": [_against_first(track, root) for track in tracks],
        "What another recipe brings": [text for pair in combinations(tracks, 2) for text in _recipes(*pair, root)],
        "What else moves the numbers": [_moves(tracks)] if tracks else [],
        "Where no look at the image is needed": [_without_looking(track) for track in tracks],
        "Parts of methods alone": [text for track in tracks for text in _parts(track, root)],
        "Over tracks": [escaped(each.reading) + "\n" for each in ranked],
    }
    sections = (f"## {heading}\n\n" + "\n".join(texts) for heading, texts in parts.items() if any(texts))
    return "\n".join([_START, *sections])


def _number(track: TrackResults) -> Metric:
    """Return what methods are compared by: the threshold never comes from the test split."""
    return METRICS["p_iou.val" if track.truth == "masks" else "gt_known.val"]


def _title(rows: pd.DataFrame, row: Row) -> str:
    title = escaped(str(rows["title"][row]))
    return f"{title} {MARKS['learned_nothing']}" if rows["learned_nothing"][row] else title


def _cell(track: TrackResults, row: Row) -> Any:
    return track.summary[_number(track).name].loc[row]


def _mean(track: TrackResults, row: Row) -> str:
    cell = _cell(track, row)
    return number_text(_number(track), cell["mean"], cell["sd"], cell["ci95"])


def _measured(track: TrackResults) -> pd.DataFrame:
    """Return the rows that have the number; empty for a track without ``val``."""
    found = track.summary.get((_number(track).name, "n"))
    return track.rows.iloc[:0] if found is None else track.rows[found.reindex(track.rows.index) > 0]


def _against_first(track: TrackResults, root: Path) -> str:
    """Return which rows are above and below the first method of a track, by the recipe that it has."""
    rows = _measured(track)
    rows = rows[rows["compares"]]
    if len(rows) < 2:
        return ""
    first, *others = rows.index
    start = f"- **{escaped(track.name)}**, {_number(track).heading}, {_title(rows, first)} {_mean(track, first)}"
    if rows["n"].min() < _FEWEST_SEEDS:
        return f"{start}: one seed, so that nothing is tested.\n"
    alike = [row for row in others if row[2] == first[2]]
    told = _told(tested_pairs(track, [(row, first) for row in alike], root), rows)
    own = [f"{_title(rows, row)} {_mean(track, row)}" for row in others if row not in alike]
    told += [f"by a recipe of their own, so not compared: {', '.join(own)}"] if own else []
    return f"{start}: {'; '.join(told)}.\n"


def _told(pairs: Sequence[TestedPair], rows: pd.DataFrame) -> list[str]:
    """Return who is above, below, and neither, with the differences of those that are told apart."""
    groups: dict[str, list[str]] = {"above": [], "below": [], "not told apart": []}
    for each in sorted(pairs, key=lambda pair: -pair.difference.points):
        found, title = each.difference, _title(rows, each.one)
        if each.significant:
            text = f"{title} by {abs(found.points):.1f} points ({found.low:+.1f} to {found.high:+.1f})"
            groups["above" if found.points > 0 else "below"].append(text)
        else:
            groups["not told apart"].append(f"{title} ({found.points:+.1f})")
    return [f"{group}: {', '.join(texts)}" for group, texts in groups.items() if texts]


def _recipes(track: TrackResults, other: TrackResults, root: Path) -> Iterator[str]:
    """Return what each method gains on a second track of the same data and network by another recipe."""
    if not _alike(track, other):
        return
    both = _together([track, other])
    rows = _measured(both)
    rows = rows[rows["compares"] & (rows["n"] >= _FEWEST_SEEDS)]
    pairs = [(one, of) for of, one in combinations(rows.index, 2) if of[1::2] == one[1::2] and of[2] != one[2]]
    if tested := tested_pairs(both, pairs, root):
        start = f"- **{escaped(other.name)}** against **{escaped(track.name)}**, {_number(track).heading}"
        yield f"{start}: {'; '.join(_told(tested, rows))}.\n"


def _alike(track: TrackResults, other: TrackResults) -> bool:
    """Return whether two tracks have the same images, their truth included, and the same network."""
    return all(set(track.measured[name]) == set(other.measured[name]) for name in ("data_digest", "backbone"))


def _together(tracks: Sequence[TrackResults]) -> TrackResults:
    """Return several tracks as one, of which each row keeps its own track's name."""
    runs, frame = (pd.concat([getattr(each, name) for each in tracks]) for name in ("runs", "frame"))
    return TrackResults(tracks[0].name, tracks[0].seeds, runs, frame)


def _moves(tracks: Sequence[TrackResults]) -> str:
    """Return how far methods, seeds, thresholds, normalisations and recipes move the number, a row per track."""
    lines = [line for track in tracks if (line := _moved(track, [each for each in tracks if _alike(track, each)]))]
    if not lines:
        return ""
    table = pd.DataFrame(lines).fillna("n/a")
    return (
        "Points of percent. Methods: from the lowest to the highest mean by the first method's recipe. Seeds: standard "
        "deviation, mean over rows and largest. Threshold: what the one that is best on the test split adds to that "
        "from `val`, mean over rows and largest. Normalisation: from the lowest to the highest of all normalisations "
        "of one row, mean over rows and largest. Recipe: from the lowest to the highest mean of one method over its "
        "recipes, on this track and on those of the same data and network, largest.\n\n"
        f"{pipe_table(table)}"
    )


def _moved(track: TrackResults, alike: Sequence[TrackResults]) -> dict[str, str] | None:
    number, rows = _number(track), _measured(track)
    rows = rows[rows["compares"]]
    if len(rows) < 2:
        return None
    found = track.summary.loc[rows.index]
    means, recipes = found[number.name]["mean"], rows.index.get_level_values("recipe")
    of_one_recipe = means[recipes == recipes[0]]
    stem = number.name.removesuffix(".val")
    oracle = found[f"{stem}.oracle"]["mean"] - means
    names = [f"normalisation.{how}.{number.name}" for how in ("max", "percentile", "ivr")]
    names = [name for name in names if name in found]
    normalised = pd.concat([means, *(found[name]["mean"] for name in names)], axis=1)
    both = _together(alike)
    compared = both.rows.index[both.rows["compares"]]
    by_method = both.summary[number.name]["mean"].reindex(compared).dropna().groupby(level=["kind", "method"])
    recipe = by_method.agg(lambda each: each.max() - each.min() if len(each) > 1 else float("nan"))
    return {
        "track": escaped(track.name),
        "methods": f"{of_one_recipe.max() - of_one_recipe.min():.1f}",
        "seeds": _mean_and_most(found[number.name]["sd"]),
        "threshold": _mean_and_most(oracle),
        "normalisation": _mean_and_most(normalised.max(axis=1) - normalised.min(axis=1)) if names else "n/a",
        "recipe": "n/a" if recipe.isna().all() else f"{recipe.max():.1f}",
    }


def _mean_and_most(values: pd.Series[float]) -> str:
    return "n/a" if values.isna().all() else f"{values.mean():.1f}, {values.max():.1f}"


def _without_looking(track: TrackResults) -> str:
    """Return which rows a Gaussian in the middle of the picture is above, by the interval of their mean over seeds."""
    rows = _measured(track)
    fixed = [row for row in rows.index if row[1] == "baseline" and row[3] == _GAUSSIAN]
    others = rows[rows["compares"]]
    if not fixed or others.empty:
        return ""
    value = _cell(track, fixed[0])["mean"]
    alone: list[str] = []
    groups: dict[str, list[str]] = {"below it": [], "above it": [], "not told apart from it": []}
    for row in others.index:
        cell = _cell(track, row)
        if cell["n"] < _FEWEST_SEEDS:
            alone.append(f"{_title(rows, row)} {cell['mean']:.1f}")
            continue
        apart = abs(cell["mean"] - value) > cell["ci95"]
        groups[("below it" if cell["mean"] < value else "above it") if apart else "not told apart from it"].append(
            _title(rows, row)
        )
    told = "; ".join(f"{group}: {', '.join(titles)}" for group, titles in groups.items() if titles)
    told = told and f" By Student's {LEVEL:.0%} interval of the mean over seeds, wide for so few, {told}."
    told += f" Of one seed each, which tells nothing apart: {', '.join(alone)}." if alone else ""
    return (
        f"- **{escaped(track.name)}**: a Gaussian in the middle of every picture reaches {value:.1f} "
        f"({_number(track).heading}).{told}\n"
    )


def _parts(track: TrackResults, root: Path) -> Iterator[str]:
    """Return how far the variants of each method are from it and from the first method."""
    rows = _measured(track)
    first = next((row for row in rows.index if rows.loc[row, "compares"]), None)
    variants = rows[rows["variant_of"].notna() & (rows["n"] >= _FEWEST_SEEDS)]
    for whole, found in variants.groupby("variant_of", sort=False):
        same = rows[rows.index.isin([whole], level="method") & (rows["n"] >= _FEWEST_SEEDS)]
        for row in same.index[:1]:
            parts = [part for part in found.index if part[2] == row[2]]
            pairs = [(one, other) for one in parts for other in dict.fromkeys((row, first)) if other is not None]
            tested = tested_pairs(track, pairs, root)
            told = "; ".join(
                f"{_title(rows, part)} {_mean(track, part)} is "
                + " and ".join(f"{_verdict(each)} {_title(rows, each.other)}" for each in tested if each.one == part)
                for part in parts
            )
            if tested:
                heading = f"**{escaped(track.name)}**, {_number(track).heading}"
                yield f"- {heading}: {_title(rows, row)} {_mean(track, row)}; {told}.\n"


def _verdict(pair: TestedPair) -> str:
    if not pair.significant:
        return "not told apart from"
    return f"{abs(pair.difference.points):.1f} points {'above' if pair.difference.points > 0 else 'below'}"
