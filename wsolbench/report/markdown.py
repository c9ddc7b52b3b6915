"""Tables in Markdown, whose text may be a user's."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

__all__ = ["escaped", "markdown_of", "pipe_table"]

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~$&#])")


def escaped(text: str) -> str:
    """Return text on one line, with every character that Markdown, HTML or GitHub's formulas would read escaped."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def pipe_table(table: pd.DataFrame, left: Sequence[str] = ()) -> str:
    """Return a table of escaped text as a pipe table; the first column and those named are aligned left."""
    rule = [":--" if heading in {table.columns[0], *left} else "--:" for heading in table.columns]
    rows: list[list[object]] = [[*table.columns], [*rule], *table.to_numpy().tolist()]
    return "".join(f"| {' | '.join([str(cell) for cell in row])} |\n" for row in rows)


def markdown_of(table: pd.DataFrame) -> str:
    """Return a table of :func:`~wsolbench.report.track.score_table`, several blocks of it under headings."""
    text = pd.DataFrame(table["text"]).reset_index(["method", "recipe", "n"])
    text.columns = pd.Index([escaped(str(heading)) for heading in text.columns])
    for labels in ("method", "recipe"):
        text[labels] = [escaped(str(label)) for label in text[labels]]
    blocks = list(text.groupby(level="block", sort=False))
    parts = []
    for name, block in blocks:
        if len(blocks) > 1:
            parts.append(
                pd.DataFrame([[f"**{escaped(str(name))}**", *[""] * (len(text.columns) - 1)]], columns=text.columns)
            )
        parts.append(block)
    return pipe_table(pd.concat(parts), ["recipe"])
