"""The table in README.md: generated, never typed."""

from __future__ import annotations

import re
from pathlib import Path

from wsolbench.config.settings import Settings
from wsolbench.errors import DataError
from wsolbench.files import write_bytes
from wsolbench.report.columns import HEADLINE_OF_MASKS
from wsolbench.report.facts import marks
from wsolbench.report.markdown import escaped, markdown_of
from wsolbench.report.track import load_track, score_table
from wsolbench.results.metrics import metrics_named

__all__ = ["refreshed", "write_readme"]

_BLOCK = re.compile(r"(<!-- results of ([^\s:]+)(?:: ([\w ]+))? -->\n).*?(<!-- end -->\n)", re.DOTALL)
_COLUMNS = metrics_named("cls.top1", "gt_known.val", "max_box_acc")


def refreshed(text: str, settings: Settings, root: Path) -> str:
    """Return a text in which every block of results holds the present table of its track.

    A block stands between ``<!-- results of TRACK -->`` and ``<!-- end -->``; with ``TRACK: cam adl``, it shows the
    rows of these methods and baselines only.

    Raises:
        DataError: a result is missing or damaged.
        SettingsError: a block names no track.
    """

    def table(block: re.Match[str]) -> str:
        track = load_track(settings, block[2], root)
        columns = HEADLINE_OF_MASKS if track.truth == "masks" else _COLUMNS
        chosen = block[3].split() if block[3] else list(track.rows.index.get_level_values("method"))
        if unknown := sorted({*chosen} - {*track.rows.index.get_level_values("method")}):
            raise DataError(f"README.md names a row that {track.name} does not have: {unknown[0]}")
        rows = track.rows[track.rows.index.get_level_values("method").isin(chosen)]
        scores = markdown_of(score_table(rows, track.summary, columns, interval=False))
        notes = "".join(f"\n{sign} {note}\n" for sign, note in marks(track, escaped))
        return f"{block[1]}\n{scores}{notes}\n{block[4]}"

    return _BLOCK.sub(table, text)


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
