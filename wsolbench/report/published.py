"""Numbers that others have published beside ours, where both were measured alike, and why not where they were not."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from wsolbench.config.schema import StrictModel, load_yaml, validated
from wsolbench.errors import DataError, SettingsError
from wsolbench.files import parse_file
from wsolbench.report.markdown import escaped, pipe_table
from wsolbench.report.track import Row, TrackResults, number_text, records
from wsolbench.results.metrics import METRICS

__all__ = ["Published", "comparison_csv", "comparison_markdown", "comparisons", "read_published", "why_not"]

_FOLDER = Path("results", "published")
_RULES, _REFERENCES = "comparable.yaml", "references.yaml"
_COLUMNS = ["method", "backbone", "dataset", "metric", "value", "source", "table", "note"]
_COMPARED = ["track", "method", "recipe", "number", "measured_mean", "measured_sd", "measured_n", "published"]
_COMPARED += ["difference", "contradictory", "bibkey", "table", "note", "title"]
_CURE = "restore it"


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


def read_published(root: Path) -> Published:
    """Read all published numbers; there are none where the folder holds neither rules nor numbers.

    Raises:
        DataError: a file is missing or damaged, or a source has no reference; the message names it.
    """
    folder = root / _FOLDER
    if not (folder / _RULES).exists() and not any(folder.glob("*.csv")):
        nothing = _Rules(datasets={}, backbones={}, methods={}, metrics={}, refused_notes=[])
        return Published(pd.DataFrame(columns=[*_COLUMNS, "bibkey"]), {}, nothing)
    try:
        rules = validated(_Rules, _mapping(folder / _RULES), "", str(folder / _RULES))
    except SettingsError as error:
        raise DataError(str(error)) from None
    references = {key: value["reference"].strip() for key, value in _mapping(folder / _REFERENCES).items()}
    frames = []
    for path in sorted(folder.glob("*.csv")):
        if path.stem not in references:
            raise DataError(f"{path} has no reference; add '{path.stem}' to {folder / _REFERENCES}")
        frames.append(parse_file(path, _numbers, _CURE).assign(bibkey=path.stem))
    if not frames:
        raise DataError(f"{folder} holds no published numbers; {_CURE}")
    return Published(pd.concat(frames, ignore_index=True), references, rules)


def _numbers(content: bytes) -> pd.DataFrame:
    frame = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)
    if list(frame.columns) != _COLUMNS:
        raise ValueError(f"it must have the columns {', '.join(_COLUMNS)}")
    return frame.assign(value=pd.to_numeric(frame["value"], errors="coerce"))  # some sources show half a number: 65.xx


def _mapping(path: Path) -> dict[str, Any]:
    found = parse_file(path, lambda content: load_yaml(content.decode()), _CURE)
    if not isinstance(found, dict):
        raise DataError(f"{path} must be a mapping; {_CURE}")
    return found


def why_not(track: TrackResults, published: Published) -> str:
    """Return why no published number may stand beside a track's, empty if some may."""
    if track.measured.empty:
        return "nothing was measured"
    rules, run = published.rules, track.measured.iloc[0]
    if run["dataset"] not in rules.datasets:
        return f"nobody has published numbers on data set {run['dataset']}"
    whole, images = rules.datasets[run["dataset"]], int(run["images_test"])
    if images != whole.test_images:
        return f"{images} test images are a subset of {whole.name}, which has {whole.test_images}"
    if run["backbone"] not in rules.backbones:
        return f"no source has backbone {run['backbone']} on {whole.name}"
    return ""


def comparisons(track: TrackResults, published: Published) -> pd.DataFrame:
    """Return every number of a track beside which published ones may stand: same data, network, method and rule.

    Returns:
        A row per published number: ``track``, ``method``, ``recipe``, ``number``, ``measured_mean``, ``measured_sd``,
        ``measured_n``, ``published``, ``difference`` (ours minus theirs), ``contradictory`` (whether sources disagree
        with one another), ``bibkey``, ``table``, ``note``, and our ``title``.
    """
    found = [] if why_not(track, published) else [*_compared(track, published)]
    return pd.concat(found)[_COMPARED] if found else pd.DataFrame(columns=_COMPARED)


def _compared(track: TrackResults, published: Published) -> Iterator[pd.DataFrame]:
    rules, run, theirs = published.rules, track.measured.iloc[0], published.rows
    patterns = [re.compile(pattern) for pattern in rules.refused_notes]
    refused = theirs["note"].map(lambda note: any(pattern.search(note) for pattern in patterns))
    alike = theirs[
        (theirs["dataset"] == rules.datasets[run["dataset"]].name)
        & theirs["backbone"].isin(rules.backbones[run["backbone"]])
        & theirs["value"].notna()
        & ~refused
    ].rename(columns={"value": "published"})
    for facts in records(track.rows):
        row: Row = facts.Index
        variant = facts.variant_of if isinstance(facts.variant_of, str) else None
        if variant and row[2] != "published":
            continue
        named = alike[alike["method"].isin(rules.methods.get(variant or row[3], []))]
        for metric, name in rules.metrics.items():
            numbers = named[named["metric"] == metric]
            ours: Any = track.summary[name].loc[row] if name in track.summary else None
            if numbers.empty or ours is None or not ours["n"]:
                continue
            yield numbers.assign(
                track=track.name, method=row[3], recipe=row[2], number=name, title=facts.title,
                measured_mean=ours["mean"], measured_sd=ours["sd"], measured_n=int(ours["n"]),
                difference=ours["mean"] - numbers["published"],
                contradictory=len(set(numbers["bibkey"])) > 1 and len(set(numbers["published"])) > 1,
            )  # fmt: skip


def comparison_csv(tracks: Sequence[TrackResults], published: Published) -> str:
    """Return all comparisons as CSV."""
    found = [comparisons(track, published) for track in tracks]
    table = pd.concat([each for each in found if not each.empty] or [pd.DataFrame(columns=_COMPARED)])
    return table.drop(columns="title").to_csv(index=False, lineterminator="\n")


def comparison_markdown(tracks: Sequence[TrackResults], published: Published) -> str:
    """Return the page of published numbers beside ours."""
    if published.rows.empty:
        return "# Published and measured\n\nThis benchmark holds no published numbers.\n"
    start = (
        "# Published and measured\n\n"
        f"{len(published.rows)} published numbers of {len(published.references)} sources ([files](published), "
        "[references](published/references.yaml)). A published number stands beside ours only where data set (all of "
        "its test images), network, method and metric are the same and the threshold was chosen by the same rule "
        "([rules](published/comparable.yaml)). Weights, recipes and schedules may still differ. The difference is ours "
        "minus theirs, in points; where sources contradict one another, all are shown and marked.\n"
    )
    parts = [start]
    for track in tracks:
        parts.append(f"## {escaped(track.name)}\n")
        found = comparisons(track, published)
        if found.empty:
            reason = why_not(track, published) or "no source measured these methods by these rules"
            parts.append(f"Nothing to compare: {escaped(reason)}.\n")
        else:
            table = pd.DataFrame([_line(each) for each in found.to_dict("records")])
            parts.append(pipe_table(table, ["recipe", "number"]))
    return "\n".join(parts)


def _line(each: dict[Any, Any]) -> dict[str, str]:
    metric, remark = METRICS[each["number"]], "sources disagree" if each["contradictory"] else ""
    ours = number_text(metric, each["measured_mean"], each["measured_sd"], float("nan"))
    return {
        "method": escaped(each["title"]), "recipe": escaped(each["recipe"]), "number": metric.heading,
        "n": str(each["measured_n"]), "measured": ours, "published": f"{each['published']:g}",
        "difference": f"{each['difference']:+.1f}", "source": escaped(each["bibkey"]),
        "note": "; ".join(filter(None, [remark, escaped(each["note"])])),
    }  # fmt: skip
