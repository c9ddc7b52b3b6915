"""One look for all figures, and the same bytes whenever one is drawn again."""

from __future__ import annotations

import io
import logging
import re
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from PIL import Image

from wsolbench.errors import SettingsError, nearest
from wsolbench.results.load import Row, TrackResults

__all__ = ["encoded", "figure_style", "is_narrow", "legend", "new_figure", "row_label", "seeds_phrase", "titled"]

_WIDTH = 7.2  # inches: the text width of an A4 or letter page, so that 8 pt in a figure are 8 pt in print
_BESIDE = 5.0  # inches: where legends stand below a narrower figure, and not beside it
_LETTERS = 110.0  # of text, to an inch at a size of 1 pt
_KEY = 7  # letters that a legend's picture takes

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
    "pdf.fonttype": 42,  # TrueType: publishers refuse Type 3
    "savefig.dpi": 150,
    "svg.fonttype": "path",  # the same picture in viewers without the font
    "svg.hashsalt": "wsolbench",  # element ids are random otherwise
    "text.parse_math": False,  # names may hold dollar signs
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
}
_TEXT: Any = (
    "font.size",
    "axes.titlesize",
    "figure.titlesize",
    "legend.fontsize",
    "xtick.labelsize",
    "ytick.labelsize",
)
_PATH = re.compile(rb' d="[^"]*"')
_NUMBER = re.compile(rb"-?\d+\.\d{3,}")
_UNDATED: dict[str, dict[str, None]] = {
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


@contextmanager
def figure_style(font: str | None = None, font_size: float | None = None, width: float | None = None) -> Iterator[None]:
    """Draw in the benchmark's style, whatever the user's matplotlib settings are; restore them afterwards.

    Args:
        font: another family.
        font_size: points of most text instead of 8; titles and tick labels change along.
        width: inches of the figures; None for a page's text.

    Raises:
        SettingsError: matplotlib finds no such font.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        mpl.rcParams["figure.figsize"] = (_WIDTH if width is None else width, _WIDTH)
        if font is not None:
            mpl.rcParams["font.family"] = _known(font)
        for key in _TEXT:
            mpl.rcParams[key] = _STYLE[key] * (1 if font_size is None else font_size / _STYLE["font.size"])
        yield


def _known(font: str) -> str:
    generic = {"serif", "sans-serif", "monospace", "cursive", "fantasy"}
    families = font_manager.get_font_names()
    if font not in {*families, *generic}:
        raise SettingsError(f"--font: there is no font '{font}' that matplotlib finds; {nearest(font, families)}")
    return font


def new_figure(height: float) -> Figure:
    """Return an empty figure of the style's width and a height in inches."""
    return Figure(figsize=(mpl.rcParams["figure.figsize"][0], height))


def titled(figure: Figure, text: str) -> None:
    """Put a title above a figure, on as many lines as its width asks for."""
    letters = int(figure.get_figwidth() * _LETTERS / mpl.rcParams["figure.titlesize"])
    figure.suptitle(textwrap.fill(text, letters))


def is_narrow(figure: Figure) -> bool:
    """Return whether a figure is as narrow as a paper's column."""
    return bool(figure.get_figwidth() < _BESIDE)


def legend(figure: Figure, handles: Sequence[Artist], columns: int = 1) -> None:
    """Put a legend beside a figure, or below it where there are columns or little room; the figure grows by that.

    Args:
        figure: that gets it.
        handles: with labels.
        columns: of a legend below the figure, at most; 1 for one beside it.
    """
    if columns == 1 and not is_narrow(figure):
        figure.legend(handles=handles, loc="outside right center")
        return
    longest = max(len(line) for handle in handles for line in str(handle.get_label()).split("\n"))
    letters = figure.get_figwidth() * _LETTERS / mpl.rcParams["legend.fontsize"]
    across = max(min(max(columns, 2), int(letters / (longest + _KEY))), 1)
    if is_narrow(figure):
        figure.set_figheight(figure.get_figheight() + 0.18 * -(-len(handles) // across))
    figure.legend(handles=handles, loc="outside lower center", ncols=across)


def encoded(figure: Figure, kind: str, dpi: int | None = None, colours: int | None = 256) -> bytes:
    """Return a figure as a file's bytes, ``svg``, ``png`` or ``pdf``; call it inside :func:`figure_style`.

    PNGs are stored with a palette, which figures of few colours do not miss; paths of SVGs to a
    hundredth of a point, which makes them a fifth smaller.

    Args:
        figure: what was drawn.
        kind: of file.
        dpi: of a PNG; None for the style's.
        colours: of a PNG; None for all, which photographs need.
    """
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it reports each table that it leaves out
    stream = io.BytesIO()
    figure.savefig(
        stream, format=kind, metadata=_UNDATED[kind], dpi=mpl.rcParams["savefig.dpi"] if dpi is None else dpi
    )
    if kind == "svg":
        return _PATH.sub(lambda path: _NUMBER.sub(_rounded, path[0]), stream.getvalue())
    if kind != "png" or colours is None:
        return stream.getvalue()
    reduced = io.BytesIO()
    with Image.open(stream, formats=("PNG",)) as image:
        image.convert("RGB").quantize(colours, dither=Image.Dither.NONE).save(reduced, "PNG", optimize=True)
    return reduced.getvalue()


def _rounded(number: re.Match[bytes]) -> bytes:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".").encode()


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
