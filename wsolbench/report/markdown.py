"""Markdown text from values that users supplied."""

from __future__ import annotations

import re
from collections.abc import Sequence

from wsolbench.report.columns import Column
from wsolbench.stats import Spread

__all__ = ["escaped", "measured", "pipe_table"]

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~$&#])")


def escaped(text: str) -> str:
    """Return text on one line, with every character that Markdown, HTML or GitHub's formulas would read escaped."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def measured(summary: Spread | None, shown: Column, sign: str = "") -> str:
    """Return ``71.2 ± 1.3`` for several seeds, ``71.2`` for one, ``n/a`` where nothing is defined.

    Args:
        summary: of the seeds.
        shown: the column, whose unit decides the number of digits.
        sign: ``+`` to print the sign of positive means, too.
    """
    if summary is None:
        return "n/a"
    mean = f"{summary.mean:{sign}.{shown.decimals}f}"
    return mean if summary.sd is None else f"{mean} ± {summary.sd:.{shown.decimals}f}"


def pipe_table(headings: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Return a pipe table; its cells are already escaped.

    Args:
        headings: one per column.
        rows: of as many cells.
        left: number of leading columns that are aligned left; the others are numbers.
    """
    rule = [":--" if index < left else "--:" for index in range(len(headings))]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (headings, rule, *rows))
