"""Markdown text from values that users supplied."""

from __future__ import annotations

import re
from collections.abc import Sequence

from wsolbench.report.shown import ShownTable

__all__ = ["escaped", "markdown_of", "pipe_table"]

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~$&#])")


def escaped(text: str) -> str:
    """Return text on one line, with every character that Markdown, HTML or GitHub's formulas would read escaped."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def pipe_table(headings: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Return a pipe table; its cells are already escaped.

    Args:
        headings: one per column.
        rows: of as many cells.
        left: number of leading columns that are aligned left; the others are numbers.
    """
    rule = [":--" if index < left else "--:" for index in range(len(headings))]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (headings, rule, *rows))


def markdown_of(table: ShownTable) -> str:
    """Return a table as a pipe table, its blocks under headings where there are several."""
    headings = ["method", "recipe", "n", *map(escaped, table.headings)]
    lines: list[list[str]] = []
    for heading, block in table.blocks:
        if len(table.blocks) > 1:
            lines.append([f"**{escaped(heading)}**", *[""] * (len(headings) - 1)])
        for line in block:
            numbers = (cell.text for cell in line.cells)
            lines.append([escaped(line.title), escaped(line.recipe), str(line.seeds), *numbers])
    return pipe_table(headings, lines, left=2)
