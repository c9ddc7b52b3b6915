"""Numbers that others have published beside ours, where both were measured alike, and why not where they were not."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from wsolbench.config.schema import StrictModel, validated
from wsolbench.errors import DataError, SettingsError
from wsolbench.report.columns import Column, columns_named, summarised
from wsolbench.report.markdown import escaped, pipe_table
from wsolbench.report.shown import measured
from wsolbench.results.load import Row, TrackResults

__all__ = [
    "Comparison",
    "Published",
    "comparison_csv",
    "comparison_markdown",
    "comparisons",
    "read_published",
    "why_not",
]

_FOLDER = Path("results", "published")
_RULES, _REFERENCES = "comparable.yaml", "references.yaml"
_COLUMNS = ["method", "backbone", "dataset", "metric", "value", "source", "table", "note"]


class _Dataset(StrictModel):
    name: str
    test_images: int


class _Rules(StrictModel):
    datasets: dict[str, _Dataset]
    backbones: dict[str, list[str]]
    methods: dict[str, list[str]]
    metrics: dict[str, str]
    refused_notes: list[str]


@dataclass(frozen=True)
class Published:
    """Published numbers, and the rules by which ours may stand beside them.

    Attributes:
        rows: one per number: ``bibkey``, and the columns of the files; ``value`` is NaN where a source has none.
        references: full reference by bibkey.
        rules: names of the same things in the sources and here.
    """

    rows: pd.DataFrame
    references: dict[str, str]
    rules: _Rules


@dataclass(frozen=True)
class Comparison:
    """A number of ours and those of the same thing that were published.

    Attributes:
        track: ours.
        row: our method on it.
        column: our number.
        published: the published ones, as in :attr:`Published.rows`.
    """

    track: str
    row: Row
    column: Column
    published: pd.DataFrame

    @property
    def contradictory(self) -> bool:
        """Whether two sources disagree with one another."""
        return len(set(self.published["bibkey"])) > 1 and len(set(self.published["value"])) > 1


def read_published(root: Path) -> Published:
    """Read all published numbers.

    Raises:
        DataError: a file is missing or damaged, or a source has no reference; the message names it.
    """
    folder = root / _FOLDER
    rules = _checked(folder / _RULES)
    references = {key: value["reference"].strip() for key, value in _yaml(folder / _REFERENCES).items()}
    frames = []
    for path in sorted(folder.glob("*.csv")):
        if path.stem not in references:
            raise DataError(f"{path} has no reference; add '{path.stem}' to {folder / _REFERENCES}")
        try:
            frame = pd.read_csv(path, dtype=str, keep_default_na=False)
            frame["value"] = pd.to_numeric(frame["value"], errors="coerce")  # some sources show half a number: 65.xx
        except (KeyError, ValueError, UnicodeDecodeError) as error:
            raise DataError(f"{path} is damaged ({error}); restore it") from None
        if list(frame.columns) != _COLUMNS:
            raise DataError(f"{path} must have the columns {', '.join(_COLUMNS)}; restore it")
        frames.append(frame.assign(bibkey=path.stem))
    if not frames:
        raise DataError(f"{folder} holds no published numbers; restore it")
    return Published(pd.concat(frames, ignore_index=True), references, rules)


def comparisons(results: TrackResults, published: Published) -> list[Comparison]:
    """Return every number of a track beside which a published one may stand: same data, network, method and rule."""
    if why_not(results, published):
        return []
    rules, run = published.rules, results.runs[0]
    alike = published.rows[
        (published.rows["dataset"] == rules.datasets[run.dataset].name)
        & published.rows["value"].notna()
        & ~_refused(published)
        & published.rows["backbone"].isin(rules.backbones[run.backbone])
    ]
    found = []
    for row in results.measured:
        named = alike[alike["method"].isin(rules.methods.get(row.runs[0].variant_of or row.method, []))]
        if row.kind == "variant" and row.recipe != "published":
            continue
        for name, column in rules.metrics.items():
            (shown,) = columns_named(column)
            numbers = named[named["metric"] == name]
            if len(numbers) and summarised(row, shown):
                found.append(Comparison(results.track, row, shown, numbers))
    return found


def _refused(published: Published) -> pd.Series:
    """Return which rows were measured by another rule, as their notes say."""
    patterns = [re.compile(pattern) for pattern in published.rules.refused_notes]
    return published.rows["note"].map(lambda note: any(pattern.search(note) for pattern in patterns))


def why_not(results: TrackResults, published: Published) -> str:
    """Return why no published number may stand beside a track's, empty if some may."""
    if not results.runs:
        return "nothing was measured"
    rules, run = published.rules, results.runs[0]
    if run.dataset not in rules.datasets:
        return f"nobody has published numbers on data set {run.dataset}"
    whole = rules.datasets[run.dataset]
    if run.images.test != whole.test_images:
        return f"{run.images.test} test images are a subset of {whole.name}, which has {whole.test_images}"
    if run.backbone not in rules.backbones:
        return f"no source has backbone {run.backbone} on {whole.name}"
    return ""


def comparison_markdown(tracks: Sequence[TrackResults], published: Published) -> str:
    """Return the page of published numbers beside ours."""
    start = (
        "# Published and measured\n\n"
        f"{len(published.rows)} published numbers of {len(published.references)} sources ([files](published), "
        "[references](published/references.yaml)). A published number stands beside ours only where data set (all of "
        "its test images), network, method and metric are the same and the threshold was chosen by the same rule "
        "([rules](published/comparable.yaml)). Weights, recipes and schedules may still differ. The difference is ours "
        "minus theirs, in points; where sources contradict one another, all are shown and marked.\n"
    )
    parts = [start]
    for results in tracks:
        parts.append(f"## {escaped(results.track)}\n")
        reason = why_not(results, published)
        found = comparisons(results, published)
        if reason or not found:
            parts.append(
                f"Nothing to compare: {escaped(reason or 'no source measured these methods by these rules')}.\n"
            )
            continue
        lines = [cells for each in found for cells in _lines(each)]
        headings = ["method", "recipe", "number", "n", "measured", "published", "difference", "source", "note"]
        parts.append(pipe_table(headings, lines, left=3))
    return "\n".join(parts)


def comparison_csv(tracks: Sequence[TrackResults], published: Published) -> str:
    """Return all comparisons as CSV: one row per published number."""
    rows = [
        _record(each, theirs)
        for results in tracks
        for each in comparisons(results, published)
        for theirs in each.published.to_dict("records")
    ]
    columns = ["track", "method", "recipe", "number", "measured_mean", "measured_sd", "measured_n", "published"]
    columns += ["difference", "contradictory", "bibkey", "table", "note"]
    return pd.DataFrame(rows, columns=columns).to_csv(index=False, lineterminator="\n")


def _record(each: Comparison, theirs: Mapping[Hashable, Any]) -> dict[str, Any]:
    ours = summarised(each.row, each.column)
    return {
        "track": each.track,
        "method": each.row.method,
        "recipe": each.row.recipe,
        "number": each.column.name,
        "measured_mean": ours.mean if ours else None,
        "measured_sd": ours.sd if ours else None,
        "measured_n": ours.n if ours else 0,
        "published": theirs["value"],
        "difference": ours.mean - theirs["value"] if ours else None,
        "contradictory": each.contradictory,
        "bibkey": theirs["bibkey"],
        "table": theirs["table"],
        "note": theirs["note"],
    }


def _lines(each: Comparison) -> list[list[str]]:
    ours = summarised(each.row, each.column)
    start = [escaped(each.row.title), escaped(each.row.recipe), each.column.heading]
    lines = []
    for theirs in each.published.to_dict("records"):
        value = theirs["value"]
        remark = "sources disagree" if each.contradictory else ""
        note = "; ".join(filter(None, [remark, escaped(theirs["note"])]))
        difference = f"{ours.mean - value:+.1f}" if ours else ""
        numbers = [str(ours.n if ours else 0), measured(ours, each.column), f"{value:g}", difference]
        lines.append([*start, *numbers, escaped(theirs["bibkey"]), note])
    return lines


def _checked(path: Path) -> _Rules:
    try:
        return validated(_Rules, _yaml(path), "", str(path))
    except SettingsError as error:
        raise DataError(str(error)) from None


def _yaml(path: Path) -> dict[str, Any]:
    try:
        found = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise DataError(f"{path} cannot be read ({error}); restore it") from None
    if not isinstance(found, dict):
        raise DataError(f"{path} must be a mapping; restore it")
    return found
