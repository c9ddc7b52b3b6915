"""One look for all figures, and the same bytes whenever one is drawn again."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from wsolbench.report.outputs import ImageKind
from wsolbench.report.results import Row, TrackResults

__all__ = ["PAGE_WIDTH", "encoded", "figure_style", "row_label", "seeds_phrase"]

PAGE_WIDTH = 7.2
"""Inches: the text width of an A4 or letter page, so that 8 pt in a figure are 8 pt in print."""

_STYLE: Any = {  # matplotlib types the keys since 3.11, and earlier not
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 8,
    "axes.titleweight": "bold",
    "figure.constrained_layout.use": True,
    "figure.titlesize": 9,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same glyphs everywhere
    "font.size": 8,
    "grid.color": "0.85",
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.6,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "savefig.dpi": 200,
    "svg.fonttype": "path",  # the same picture in viewers without the font
    "svg.hashsalt": "wsolbench",  # element ids are random otherwise
    "text.parse_math": False,  # names may hold dollar signs
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
}
_UNDATED: dict[ImageKind, dict[str, None]] = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}


@contextmanager
def figure_style() -> Iterator[None]:
    """Draw in the benchmark's style, whatever the user's matplotlib settings are; restore them afterwards."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def encoded(figure: Figure, kind: ImageKind) -> bytes:
    """Return a figure as a file's bytes; call it inside :func:`figure_style`."""
    stream = io.BytesIO()
    figure.savefig(stream, format=kind, metadata=_UNDATED[kind])
    return stream.getvalue()


def row_label(row: Row, seeds: int, width: int = 26) -> str:
    """Return a row's title as lines of at most ``width`` characters.

    Args:
        row: what to name; a recipe other than ``common`` and missing seeds are remarked upon.
        seeds: number of seeds that were asked for.
        width: characters of a line; there are at most three lines.
    """
    remarks = [] if row.kind == "baseline" or row.recipe == "common" else [f"recipe: {row.recipe}"]
    remarks += [f"n = {len(row.runs)}"] if len(row.runs) < seeds else []
    text = f"{row.title} [{', '.join(remarks)}]" if remarks else row.title
    return "\n".join(textwrap.wrap(text, width, max_lines=3, placeholder=" ..."))


def seeds_phrase(results: TrackResults) -> str:
    """Return what a title says about the seeds."""
    count = len(results.seeds)
    return f"mean and sd over {count} seeds" if count > 1 else "one seed, so no spread"
