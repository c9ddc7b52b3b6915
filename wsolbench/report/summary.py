"""One page over all tracks of a benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import pandas as pd

from wsolbench.report.columns import headline
from wsolbench.report.markdown import escaped
from wsolbench.report.tables import score_table, skipped_list, table_frame, track_facts
from wsolbench.results.load import TrackResults

__all__ = ["TrackPage", "summary_csv", "summary_markdown"]

_SHOWN_RUNS = 3


@dataclass(frozen=True)
class TrackPage:
    """What the summary says about a track.

    Attributes:
        track: its name.
        results: its results; None where files are missing.
        missing: what is missing, one message per run.
        pictures: file names of its pictures, by what they show.
    """

    track: str
    results: TrackResults | None
    missing: Sequence[str]
    pictures: Mapping[str, str]


def summary_csv(pages: Sequence[TrackPage]) -> str:
    """Return the CSV tables of all tracks that have results as one."""
    frames = [table_frame(page.results) for page in pages if page.results]
    joined = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame({"track": []})
    return joined.to_csv(index=False, lineterminator="\n")


def summary_markdown(pages: Sequence[TrackPage], ranks: str = "") -> str:
    """Return the page; its links are relative to ``results/``.

    Args:
        pages: the tracks.
        ranks: section on ranks over them.
    """
    complete = sum(page.results is not None for page in pages)
    start = (
        f"# Results\n\n{complete} of {len(pages)} tracks of `params.yaml` have results. Each column names the protocol "
        "by which its threshold was chosen: numbers of different protocols are not comparable, and oracle numbers are "
        "upper bounds. No track ranks its methods; its tables say which differences exceed the spread of the seeds.\n"
        "\nTables that sort, plots and a gallery of maps and boxes, all on one page: [report.html](report.html). "
        "Published numbers beside ours: [comparison.md](comparison.md).\n"
    )
    return "\n".join([start, *([ranks] if ranks else []), *map(_section, pages)])


def _section(page: TrackPage) -> str:
    heading = f"## {escaped(page.track)}\n"
    if page.results is None:
        left_out = len(page.missing) - _SHOWN_RUNS
        lines = [f"- {escaped(each)}\n" for each in page.missing[:_SHOWN_RUNS]]
        lines += [f"- and {left_out} more\n"] if left_out > 0 else []
        return f"{heading}\nNo results: {len(page.missing)} runs have no metrics file.\n\n{''.join(lines)}"
    name = quote(page.track)
    parts = [heading, track_facts(page.results, interval=False)]
    if page.results.measured:
        parts.append(score_table(page.results, headline(page.results), interval=False))
    links = [f"[all columns](tables/{name}.md)", f"[CSV](tables/{name}.csv)"]
    if any(row.kind != "baseline" for row in page.results.measured):
        links.append(f"[costs](tables/{name}_costs.csv)")
    links += [f"[{shows}](plots/{name}/{file})" for shows, file in page.pictures.items()]
    parts.append(f"More: {', '.join(links)}.\n")
    if page.pictures:
        shows, file = next(iter(page.pictures.items()))
        parts.append(f"![{escaped(page.track)}: {shows}](plots/{name}/{file})\n")
    skipped = skipped_list(page.results)
    return "\n".join([*parts, f"#{skipped}"] if skipped else parts)
