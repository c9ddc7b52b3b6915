"""The table in README.md: generated, never typed."""

from __future__ import annotations

import re
from pathlib import Path

from wsolbench.config.settings import Settings
from wsolbench.errors import DataError
from wsolbench.files import write_bytes
from wsolbench.report.columns import HEADLINE_OF_MASKS, columns_named
from wsolbench.report.markdown import escaped
from wsolbench.report.shown import LEARNED_NOTHING
from wsolbench.report.tables import learned_nothing, score_table
from wsolbench.results.load import read_track

__all__ = ["refreshed", "write_readme"]

_BLOCK = re.compile(r"(<!-- results of (\S+) -->\n).*?(<!-- end -->\n)", re.DOTALL)
_COLUMNS = columns_named("cls.top1", "gt_known.fixed", "gt_known.val", "pixel.gt_known.val", "max_box_acc", "px_ap")


def refreshed(text: str, settings: Settings, root: Path) -> str:
    """Return a text in which every block of results holds the present table of its track.

    A block stands between ``<!-- results of TRACK -->`` and ``<!-- end -->``.

    Raises:
        DataError: a result is missing or damaged.
        SettingsError: a block names no track.
    """

    def table(block: re.Match[str]) -> str:
        results = read_track(settings, block[2], root)
        columns = HEADLINE_OF_MASKS if results.truth == "masks" else _COLUMNS
        note = learned_nothing(results, escaped)
        footnote = f"\n{LEARNED_NOTHING} {note}\n" if note else ""
        return f"{block[1]}\n{score_table(results, columns, interval=False)}{footnote}\n{block[3]}"

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
