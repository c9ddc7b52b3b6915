"""One style for all figures: fonts, sizes, layout for the width of a page or a column, and equal bytes each time."""

from __future__ import annotations

import io
import logging
import re
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import font_manager
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.textpath import text_to_path
from PIL import Image

from wsolbench.errors import SettingsError, nearest

__all__ = [
    "TALLEST",
    "encoded",
    "figure_style",
    "finish",
    "is_narrow",
    "new_figure",
    "panels",
    "text_inches",
    "wrapped",
    "zoomed",
]

TALLEST = 9.0
"""Inches that a figure may be tall, so that it fits a page with its caption."""


_PAGE = 7.2  # inches: the text width of an A4 or letter page, so that 8 pt in a figure are 8 pt in print
_NARROW = 5.0  # inches, below which a figure is laid out for a paper's column
_LEAST = 6.0  # points: smaller print is not read
_AROUND = 1.5  # inches that title, legend and labels of a figure of panels take
_FONT = "DejaVu Sans"  # comes with matplotlib, with accents: the same glyphs everywhere
_STYLE: Any = {  # matplotlib types the keys since 3.11, and earlier not
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 8.0,
    "axes.titleweight": "bold",
    "figure.constrained_layout.use": True,
    "figure.titlesize": 9.0,
    "font.family": [_FONT],
    "font.size": 8.0,
    "grid.color": "0.85",
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.6,
    "legend.fontsize": 7.0,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # TrueType: publishers refuse Type 3
    "savefig.dpi": 150,
    "svg.fonttype": "path",  # the same picture in viewers without the font
    "svg.hashsalt": "wsolbench",  # element ids are random otherwise
    "text.parse_math": False,  # names may hold dollar signs
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
}
_TEXT = [key for key in _STYLE if key.endswith("size")]
_PATH = re.compile(rb' d="[^"]*"')
_NUMBER = re.compile(rb"-?\d+\.\d{3,}")
_WEBP_QUALITY = 80
_WEBP_COLOURS = 64  # with fewer, the light bands around lines lose their colours
_UNDATED: dict[str, dict[str, None]] = {
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


@contextmanager
def figure_style(font: str | None = None, font_size: float | None = None, width: float | None = None) -> Iterator[None]:
    """Draw in the benchmark's style, whatever the user's matplotlib settings are; restore them afterwards.

    Args:
        font: another family; what it has no letters for is drawn in the style's own.
        font_size: points of most text instead of 8; other sizes change along, but none falls below 6.
        width: inches of the figures; None for a page's text.

    Raises:
        SettingsError: matplotlib finds no such font.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        mpl.rcParams["figure.figsize"] = (width or _PAGE, _PAGE)
        if font is not None:
            mpl.rcParams["font.family"] = [_known(font), _FONT]
        scale = 1 if font_size is None else font_size / _STYLE["font.size"]
        mpl.rcParams.update({key: max(_STYLE[key] * scale, _LEAST) for key in _TEXT})
        yield


def _known(font: str) -> str:
    generic = {"serif", "sans-serif", "monospace", "cursive", "fantasy"}
    families = font_manager.get_font_names()
    if font not in {*families, *generic}:
        raise SettingsError(f"--font: there is no font '{font}' that matplotlib finds; {nearest(font, families)}")
    return font


def text_inches(text: str, size: float, weight: str = "normal") -> float:
    """Return the width of the longest line of a text at a size in points."""
    family = font_manager.FontProperties(family=mpl.rcParams["font.family"], size=size, weight=weight)
    lines = [line for line in text.split("\n") if line.strip()]
    return max((text_to_path.get_text_width_height_descent(line, family, False)[0] / 72 for line in lines), default=0.0)


class _Wrapper(textwrap.TextWrapper):
    wordsep_re = re.compile(r"( +|(?<=[-_])(?=\w))")  # not at no-break spaces


def wrapped(text: str, inches: float, size: float, lines: int | None = None, weight: str = "normal") -> str:
    """Return a text broken into lines of at most a width, words only where one is longer, and cut short after some."""
    parts = re.split(r"([ \n]+|(?<=[-_])(?=\w))", text)
    whole = [piece for part in parts for piece in _broken(part, inches, size, weight)]
    text = re.sub("[ \n]+", " ", "".join(whole))
    for letters in range(len(text), 0, -1):
        found = "\n".join(_Wrapper(letters, max_lines=lines, placeholder="…", break_long_words=False).wrap(text))
        if text_inches(found, size, weight) <= inches:
            return found
    return text[:1]


def _broken(word: str, inches: float, size: float, weight: str) -> Iterator[str]:
    """Yield the pieces of a word that fit a width, with spaces between them."""
    while len(word) > 1 and text_inches(word, size, weight) > inches:
        fitting = (end for end in range(len(word) - 1, 1, -1) if text_inches(word[:end], size, weight) <= inches)
        end = next(fitting, 1)
        yield f"{word[:end]} "
        word = word[end:]
    yield word


def new_figure(height: float) -> Figure:
    """Return an empty figure of the style's width and a height in inches."""
    return Figure(figsize=(mpl.rcParams["figure.figsize"][0], height))


def is_narrow() -> bool:
    """Return whether figures are as narrow as a paper's column."""
    return bool(mpl.rcParams["figure.figsize"][0] < _NARROW)


def panels(
    count: int, inches: float, height: float, least: float | None = None, **how: Any
) -> tuple[Figure, Sequence[Axes]]:
    """Return a figure of as many panels, side by side as far as each gets its inches, and of that height each.

    Where they would be taller than a page, more stand side by side, as far as each gets the least inches.
    """
    width = mpl.rcParams["figure.figsize"][0]
    across = min(max(int(width / inches), 1), count)
    while -(-count // across) * height > TALLEST - _AROUND and across < min(width / (least or inches) - 1, count):
        across += 1
    down = -(-count // across)
    figure = new_figure(down * height)
    axes = figure.subplots(down, across, squeeze=False, **how)
    for axis in axes.flat[count:]:
        axis.set_axis_off()
    for axis in axes.flat[
        max(count - across, 0) : count
    ]:  # the lowest of its column, also where the last line is not full
        axis.tick_params(labelbottom=True)
    return figure, list(axes.flat[:count])


def zoomed(axis: Axes, name: str, label: str) -> None:
    """Label an axis ``x`` or ``y`` of percentages, and say so where it shows a part of them only."""
    low, high = getattr(axis, f"get_{name}lim")()
    part = "" if low <= 0 and high >= 100 else f", zoomed to {max(low, 0):.0f}-{min(high, 100):.0f}"
    getattr(axis, f"set_{name}label")(f"{label} (%){part}")


def finish(
    figure: Figure, title: str = "", keys: Sequence[Artist] = (), *, below: bool = False, tallest: float = TALLEST
) -> Figure:
    """Put title and legend to a figure, and break what its panels are called into lines where one is too long.

    A figure that would be taller than a page becomes as tall as that: its panels become smaller.
    """
    if title:
        size = mpl.rcParams["figure.titlesize"]
        text = wrapped(title, figure.get_figwidth() - 0.2, size)
        figure.suptitle(text)
        _grow(figure, text.count("\n"), size)
    if keys:
        _legend(figure, keys, below=below or is_narrow())
    if axis_name := figure.get_supylabel():
        size = mpl.rcParams["font.size"]
        figure.supylabel(wrapped(axis_name, figure.get_figheight() - 0.8, size), size=size)
    rows = [getattr(axis.get_subplotspec(), "rowspan", range(1)).start for axis in figure.axes]
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    headed = [row for row, name in zip(rows, titles, strict=True) if name]
    for axis in figure.axes:  # the layout would make room for what is not yet broken into lines
        axis.set_title("", loc="left")
    figure.draw_without_rendering()
    added = dict.fromkeys(rows, 0)
    places = [np.array(axis.get_window_extent().bounds) / figure.dpi for axis in figure.axes]
    rooms = [
        width if headed.count(row) > 1 else figure.get_figwidth() - left
        for row, (left, _, width, _) in zip(rows, places, strict=True)
    ]
    size = _title_size(titles, rooms)
    for axis, row, name, room, (_, _, width, height) in zip(figure.axes, rows, titles, rooms, places, strict=True):
        text = wrapped(name, room, size, weight="bold")
        axis.set_title(text, loc="left", size=size)
        added[row] = max(added[row], text.count("\n"))
        for label, inches in ((axis.xaxis.label, width), (axis.yaxis.label, height)):
            label.set_text(wrapped(label.get_text(), inches, float(label.get_fontsize())))
    _grow(figure, sum(added.values()), size)
    figure.set_figheight(min(figure.get_figheight(), tallest))
    return figure


def _title_size(titles: Sequence[str], rooms: Sequence[float]) -> float:
    """Return the points of panels' titles at which no word is broken, as far as print that can be read allows."""
    size = float(mpl.rcParams["axes.titlesize"])
    for title, room in zip(titles, rooms, strict=True):
        widest = max(text_inches(word, size, "bold") for word in re.split("[ \n]+", title))  # not at no-break spaces
        size *= min(1.0, 0.97 * room / widest) if widest else 1.0  # small print is a little wider
    return max(size, _LEAST)


def _grow(figure: Figure, lines: float, size: float) -> None:
    figure.set_figheight(figure.get_figheight() + 1.4 * size / 72 * lines)


def _legend(figure: Figure, keys: Sequence[Artist], *, below: bool) -> None:
    size, width = mpl.rcParams["legend.fontsize"], figure.get_figwidth() - 0.1
    picture = 5 * size / 72  # what stands before a label, and the gap behind it
    room = width / (2 if is_narrow() else 3) - picture
    labels = [wrapped(str(key.get_label()), room, size, 3) for key in keys]
    if not below:  # as tall as its labels and the gaps between them, below the title
        inches = size / 72 * (1.25 * sum(label.count("\n") + 1 for label in labels) + 0.5 * len(labels)) + 0.6
        figure.set_figheight(max(figure.get_figheight(), inches))
        figure.legend(keys, labels, loc="outside right center")
        return
    across = min(max(int(width / (max(text_inches(label, size) for label in labels) + picture)), 1), len(keys))
    lines = [label.count("\n") + 1 for label in labels]
    _grow(figure, 1 + 1.3 * max(sum(part) for part in np.array_split(lines, across)), size)
    figure.legend(keys, labels, loc="outside lower center", ncols=across)


def encoded(figure: Figure, kind: str, dpi: int | None = None, colours: int | None = 256) -> bytes:
    """Return a figure as a file's bytes, ``svg``, ``png``, ``webp`` or ``pdf``; call it inside :func:`figure_style`.

    PNGs are stored with a palette, which figures of few colours do not miss; WebPs with one of 64, which makes them a
    third smaller than such PNGs, or without colours, for photographs, with a small loss; paths of SVGs to a hundredth
    of a point, which makes them a fifth smaller.
    """
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it reports each table that it leaves out
    stream = io.BytesIO()
    drawn = "png" if kind == "webp" else kind
    figure.savefig(stream, format=drawn, metadata=_UNDATED[drawn], dpi=dpi or mpl.rcParams["savefig.dpi"])
    if kind == "svg":
        return _PATH.sub(lambda path: _NUMBER.sub(_rounded, path[0]), stream.getvalue())
    if drawn != "png" or (kind == "png" and colours is None):
        return stream.getvalue()
    reduced = io.BytesIO()
    with Image.open(stream, formats=("PNG",)) as image:
        plain = image.convert("RGB")
        if colours is None:
            plain.save(reduced, "WEBP", quality=_WEBP_QUALITY, method=6)
            return reduced.getvalue()
        few = min(colours, _WEBP_COLOURS) if kind == "webp" else colours
        palette = plain.quantize(few, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        if kind == "webp":
            palette.convert("RGB").save(reduced, "WEBP", lossless=True, method=6)
        else:
            palette.save(reduced, "PNG", optimize=True)
    return reduced.getvalue()


def _rounded(number: re.Match[bytes]) -> bytes:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".").encode()
