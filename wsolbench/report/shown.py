"""A table as all outputs show it: the same cells in Markdown, in LaTeX and on the page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from wsolbench.results.load import Row, blocks_of
from wsolbench.results.stats import Spread

__all__ = ["LEARNED_NOTHING", "Shown", "ShownCell", "ShownLine", "ShownTable", "measured", "shown_table"]


LEARNED_NOTHING = "†"
"""Stands behind the title of a row with a run whose training learned nothing that shows."""


class Shown(Protocol):
    """What a column of a table has to say about itself."""

    @property
    def heading(self) -> str:
        """Of the column; names unit or protocol."""
        ...

    @property
    def decimals(self) -> int:
        """Digits after the point."""
        ...

    @property
    def higher_is_better(self) -> bool | None:
        """Whether larger numbers are better; None where neither is."""
        ...


AnyColumn = TypeVar("AnyColumn", bound=Shown)


@dataclass(frozen=True)
class ShownCell:
    """A number as text for people, and as what it is sorted by (None where it is not defined).

    ``is_best`` says whether no other method of its block has a better mean, as far as the text tells.
    """

    text: str
    value: float | None
    is_best: bool = False


@dataclass(frozen=True)
class ShownLine:
    """A row: title, recipe, number of seeds, and a cell per column."""

    title: str
    recipe: str
    seeds: int
    cells: tuple[ShownCell, ...]


@dataclass(frozen=True)
class ShownTable:
    """A table for people.

    Attributes:
        headings: one per cell of a line.
        blocks: lines under a heading each, in the order of the settings: nothing is ranked.
    """

    headings: tuple[str, ...]
    blocks: tuple[tuple[str, tuple[ShownLine, ...]], ...]


def shown_table(
    rows: Sequence[Row],
    columns: Iterable[AnyColumn],
    summary: Callable[[Row, AnyColumn], Spread | None],
    *,
    interval: bool = True,
) -> ShownTable:
    """Return a table of some columns, without those that no row defines.

    Args:
        rows: methods, variants, baselines; each kind (and recipe) has a block.
        columns: what to show.
        summary: of a row's seeds, None where the column is not defined.
        interval: whether cells have the interval of the mean, too; see :func:`measured`.
    """
    chosen = [each for each in columns if any(summary(row, each) for row in rows)]

    def lines(block: Sequence[Row]) -> Iterator[ShownLine]:
        columns = [(each, [summary(row, each) for row in block]) for each in chosen]
        best = [_best(*column) if block[0].kind == "method" else None for column in columns]
        for place, row in enumerate(block):
            cells = [
                _cell(numbers[place], each, top, interval) for (each, numbers), top in zip(columns, best, strict=True)
            ]
            mark = f" {LEARNED_NOTHING}" if any(run.learned_nothing for run in row.runs) else ""
            yield ShownLine(f"{row.title}{mark}", row.recipe, len(row.runs), tuple(cells))

    blocks = tuple((heading, tuple(lines(block))) for heading, block in blocks_of(rows))
    return ShownTable(tuple(each.heading for each in chosen), blocks)


def _cell(summary: Spread | None, shown: Shown, best: float | None, interval: bool) -> ShownCell:
    text = measured(summary, shown, interval=interval)
    return (
        ShownCell(text, summary.mean, round(summary.mean, shown.decimals) == best) if summary else ShownCell(text, None)
    )


def _best(shown: Shown, summaries: Sequence[Spread | None]) -> float | None:
    """Return the best mean of several, rounded as it is shown; None where there is nothing to compare."""
    means = [round(each.mean, shown.decimals) for each in summaries if each]
    if shown.higher_is_better is None or len(set(means)) < 2:
        return None
    return max(means) if shown.higher_is_better else min(means)


def measured(summary: Spread | None, shown: Shown, sign: str = "", *, interval: bool = False) -> str:
    """Return ``71.2 ± 1.3`` for several seeds, ``71.2`` for one, ``n/a`` where nothing is defined.

    With ``interval``, half the width of the 95 % interval of the mean follows in brackets: ``71.2 ± 1.3 (±3.2)``. One
    seed has none.

    Args:
        summary: of the seeds.
        shown: the column, whose unit decides the number of digits.
        sign: ``+`` to print the sign of positive means, too.
        interval: whether the interval follows.
    """
    if summary is None:
        return "n/a"
    mean = f"{summary.mean:{sign}.{shown.decimals}f}"
    half = summary.half_width()
    if summary.sd is None or half is None:
        return mean
    text = f"{mean} ± {summary.sd:.{shown.decimals}f}"
    return f"{text} (±{half:.{shown.decimals}f})" if interval else text
