"""One page over all tracks of a benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import pandas as pd

from wsolbench.report.columns import headline
from wsolbench.report.facts import skipped_list, track_facts
from wsolbench.report.markdown import escaped, markdown_of
from wsolbench.report.tables import csv_of, table_frame
from wsolbench.report.track import TrackResults, score_table

__all__ = ["TrackPage", "summary_csv", "summary_markdown"]

_SHOWN_RUNS = 3


@dataclass(frozen=True)
class TrackPage:
    """What the summary says about a track.

    Attributes:
        name: its key.
        track: its results; None where files are missing.
        missing: what is missing, one message per run.
        pictures: file names of its pictures, by what they show.
    """

    name: str
    track: TrackResults | None
    missing: Sequence[str]
    pictures: Mapping[str, str]


def summary_csv(pages: Sequence[TrackPage]) -> str:
    """Return the numbers of all tracks that have results as one CSV table."""
    frames = [table_frame(page.track) for page in pages if page.track]
    joined = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame({"track": []})
    return csv_of(joined)


def summary_markdown(pages: Sequence[TrackPage], ranks: str = "") -> str:
    """Return the page; its links are relative to ``results/``.

    Args:
        pages: the tracks.
        ranks: section on ranks over them.
    """
    complete = sum(page.track is not None for page in pages)
    start = (
        f"# Results\n\n{complete} of {len(pages)} tracks of `params.yaml` have results. Each column names the protocol "
        "by which its threshold was chosen: numbers of different protocols are not comparable, and oracle numbers are "
        "upper bounds. No track ranks its methods; its tables say which differences exceed the spread of the seeds.\n"
        "\nTables that sort, plots and a gallery of maps and boxes, all on one page: [report.html](report.html). "
        "What they say, in sentences: [findings.md](findings.md). "
        "Published numbers beside ours: [comparison.md](comparison.md). "
        "Every number of all tracks as one table: [summary.csv](summary.csv).\n"
    )
    return "\n".join([start, *([ranks] if ranks else []), *map(_section, pages)])


def _section(page: TrackPage) -> str:
    heading = f"## {escaped(page.name)}\n"
    if page.track is None:
        left_out = len(page.missing) - _SHOWN_RUNS
        lines = [f"- {escaped(each)}\n" for each in page.missing[:_SHOWN_RUNS]]
        lines += [f"- and {left_out} more\n"] if left_out > 0 else []
        return f"{heading}\nNo results: {len(page.missing)} runs have no metrics file.\n\n{''.join(lines)}"
    name, track = quote(page.name), page.track
    parts = [heading, track_facts(track, interval=False)]
    table = score_table(track.rows, track.summary, headline(track.truth), interval=False)
    parts += [] if table.empty else [markdown_of(table)]
    links = [f"[all columns](tables/{name}.md)"]
    if track.measured["kind"].isin(["method", "readout"]).any():
        links.append(f"[costs](tables/{name}_costs.csv)")
    links += [f"[{shows}](plots/{name}/{file})" for shows, file in page.pictures.items()]
    parts.append(f"More: {', '.join(links)}.\n")
    if page.pictures:
        shows, file = next(iter(page.pictures.items()))
        parts.append(f"![{escaped(page.name)}: {shows}](plots/{name}/{file})\n")
    skipped = skipped_list(track)
    return "\n".join([*parts, f"#{skipped}"] if skipped else parts)
