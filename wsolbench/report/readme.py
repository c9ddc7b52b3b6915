"""The table in README.md: generated, never typed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from wsolbench.config.settings import Settings
from wsolbench.errors import DataError
from wsolbench.files import write_bytes
from wsolbench.report.columns import HEADLINE_OF_MASKS
from wsolbench.report.facts import marks
from wsolbench.report.markdown import escaped, markdown_of, pipe_table
from wsolbench.report.track import MARKS, TrackResults, load_track, number_text, records, score_table
from wsolbench.results.metrics import METRICS, metrics_named

__all__ = ["refreshed", "write_readme"]

_BLOCK = re.compile(r"(<!-- results of ([^:>]+?)(?:: ([\w ]+))? -->\n).*?(<!-- end -->\n)", re.DOTALL)
_COLUMNS = metrics_named("cls.top1", "gt_known.val", "max_box_acc")
_OWN_RECIPE = "°"


def refreshed(text: str, settings: Settings, root: Path) -> str:
    """Return a text in which every block of results holds the present table of its track.

    A block stands between ``<!-- results of TRACK -->`` and ``<!-- end -->``; with ``TRACK: cam adl``, it shows the
    rows of these methods and baselines only. With several tracks, it has a row per method and a column per track:
    GT-known, or pIoU without boxes, at the threshold from ``val``.

    Raises:
        DataError: a result is missing or damaged.
        SettingsError: a block names no track.
    """

    def table(block: re.Match[str]) -> str:
        tracks = [load_track(settings, name, root) for name in block[2].split()]
        known = {method for track in tracks for method in track.rows.index.get_level_values("method")}
        chosen = block[3].split() if block[3] else None
        if unknown := sorted({*(chosen or ())} - known):
            raise DataError(f"README.md names a row that {block[2]} does not have: {unknown[0]}")
        found = _of_one(tracks[0], chosen) if len(tracks) == 1 else _of_several(tracks, chosen)
        return f"{block[1]}\n{found}\n{block[4]}"

    return _BLOCK.sub(table, text)


def _of_one(track: TrackResults, methods: Sequence[str] | None) -> str:
    columns = HEADLINE_OF_MASKS if track.truth == "masks" else _COLUMNS
    rows = track.rows if methods is None else track.rows[track.rows.index.isin(methods, level="method")]
    notes = [f"{sign} {note}" for sign, note in marks(track, escaped)] + ([escaped(track.note)] if track.note else [])
    table = score_table(rows, track.summary, columns, interval=False)
    return markdown_of(table) + "".join(f"\n{note}\n" for note in notes)


def _of_several(tracks: Sequence[TrackResults], methods: Sequence[str] | None) -> str:
    """Return a row per method, in the order of ``methods``, with a column per track and marks at the numbers."""
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for track in tracks:
        number = METRICS["p_iou.val" if track.truth == "masks" else "gt_known.val"]
        summary = track.summary[number.name].reindex(track.rows.index)
        for row, cell in zip(records(track.rows), records(pd.DataFrame(summary)), strict=True):
            signs = [sign for fact, sign in MARKS.items() if getattr(row, fact)]
            signs += [_OWN_RECIPE] * (row.Index[2] != "common")
            text = " ".join([number_text(number, cell.mean, cell.sd, cell.ci95), *signs])
            cells.setdefault((row.Index[3], row.title), {})[escaped(track.name)] = text
    order = list(dict.fromkeys(name for name, _ in cells)) if methods is None else methods
    lines = [{"method": escaped(title), **line} for name in order for (of, title), line in cells.items() if of == name]
    table = pd.DataFrame(lines, columns=["method", *(escaped(track.name) for track in tracks)]).fillna("n/a")
    notes = {
        _OWN_RECIPE: "by a recipe of its own, and so not compared with the others",
        MARKS["learned_nothing"]: "a run did not learn to classify",
        MARKS["class_agnostic"]: "the maps are the same for every class",
        MARKS["exempt"]: "keeps a promise of the conformance suite in part only",
    }
    shown = table.to_csv()
    told = [f"{sign} {note}" for sign, note in notes.items() if sign in shown]
    notes_of = {note: [track.name for track in tracks if track.note == note] for note in (each.note for each in tracks)}
    told += [escaped(f"{', '.join(names)}: {note}") for note, names in notes_of.items() if note]
    return pipe_table(table) + "".join(f"\n{note}\n" for note in told)


def write_readme(settings: Settings, root: Path) -> bool:
    """Refresh the blocks of ``README.md``; return whether it changed.

    Raises:
        DataError: there is no README, or it has no block, or see :func:`refreshed`.
    """
    path = root / "README.md"
    try:
        before = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from None
    if _BLOCK.search(before) is None:
        raise DataError(f"{path} has no block between '<!-- results of TRACK -->' and '<!-- end -->'")
    after = refreshed(before, settings, root)
    if after != before:
        write_bytes(path, after.encode())
    return after != before
