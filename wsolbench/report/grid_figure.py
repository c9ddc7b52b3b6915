"""A grid for a paper: a row per photograph, a column per method, truth and predictions as lines over them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Patch, Polygon, Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.textpath import TextPath
from numpy.typing import NDArray

from wsolbench.data.images import resize
from wsolbench.report.grid import Box, Column, Shown
from wsolbench.report.palette import PREDICTED_RGB, TRUE_RGB

__all__ = ["GRID_DPI", "grid_figure"]

GRID_DPI = 300
"""Dots per inch of photographs at their size in the figure."""

_BLEND = 0.45  # share of the heat map
_GAP = 0.04  # inches between cells
_LINE = 1.25  # lines of text, in font sizes
_DESCENT = 0.25  # of a line below its baseline, in font sizes
_PAD = 0.04  # inches between a heading and its cell
_EDGE = 0.02  # inches at the right, for the lines of boxes that reach it


def grid_figure(shown: Sequence[Shown], columns: Sequence[Column]) -> Figure:
    """Draw photographs with their truth, and each method's heat map and prediction over them.

    Call it inside :func:`~wsolbench.report.style.figure_style`, whose width it has. Cells keep the photographs'
    aspects.

    Args:
        shown: a row each.
        columns: with as many guesses each.
    """
    width, size = mpl.rcParams["figure.figsize"][0], mpl.rcParams["font.size"]
    line = _LINE * size / 72
    side = (width - line - _EDGE - _GAP * len(columns)) / (len(columns) + 1)
    headings, heading_size = _headings(["photograph", *(column.title for column in columns)], side, size)
    above = _PAD + _LINE * heading_size / 72 * (max(map(len, headings)) + 0.4)
    heights = [side * each.pixels.shape[0] / each.pixels.shape[1] for each in shown]
    height = above + sum(heights) + _GAP * len(heights) + 1.8 * line
    figure = Figure(figsize=(width, height))
    figure.set_layout_engine("none")  # every cell has its place
    bottom = height - above
    for number, (each, high) in enumerate(zip(shown, heights, strict=True)):
        bottom -= high + _GAP * (number > 0)
        for place in range(len(headings)):
            corner = ((line + place * (side + _GAP)) / width, bottom / height)
            axis = figure.add_axes((*corner, side / width, high / height))
            axis.axis("off")
            _draw(axis, each, columns[place - 1].guesses[number] if place else None, (side, high))
        name = _shortened(each.class_name.replace("_", " "), high, size)
        middle = (line * 0.45 / width, (bottom + high / 2) / height)
        figure.text(*middle, name, rotation=90, ha="center", va="center")
    for place, heading in enumerate(headings):
        for rank, text in enumerate(reversed(heading)):  # line by line, so that baselines are level
            up = height - above + _PAD + heading_size / 72 * (_DESCENT + rank * _LINE)
            middle = ((line + place * (side + _GAP) + side / 2) / width, up / height)
            figure.text(*middle, text, ha="center", va="baseline", size=heading_size)
    what = "box" if any(each.boxes for each in shown) else "mask"
    handles = [Patch(label=f"true {what}", **_look(TRUE_RGB)), Patch(label=f"predicted {what}", **_look(PREDICTED_RGB))]
    middle = ((line + width) / 2 / width, 0.3 * line / height)
    figure.legend(handles=handles, loc="lower center", bbox_to_anchor=middle, ncols=2, borderaxespad=0, borderpad=0)
    return figure


def _headings(titles: Sequence[str], side: float, size: float) -> tuple[list[list[str]], float]:
    """Return titles in lines that fit a width in inches, and the font size that the longest word needs for that."""
    words = [word for title in titles for word in title.split()]
    fitting = min(size, size * side / max(_wide(word, size) for word in words))
    lines = []
    for title in titles:
        found = [""]
        for word in title.split():
            longer = f"{found[-1]} {word}".strip()
            found[-1:] = [longer] if _wide(longer, fitting) <= side * 1.001 else [found[-1], word]
        lines.append([line for line in found if line])
    return lines, fitting


def _shortened(text: str, most: float, size: float) -> str:
    """Return as much of a text as fits a length in inches."""
    if _wide(text, size) <= most:
        return text
    while text and _wide(text + "…", size) > most:
        text = text[:-1]
    return text + "…"


def _wide(text: str, size: float) -> float:
    """Return the width of a line of text in inches."""
    family = FontProperties(family=mpl.rcParams["font.family"])
    return float(TextPath((0, 0), text, size=size, prop=family).get_extents().width) / 72 if text.strip() else 0.0


def _draw(axis: Axes, shown: Shown, guess: Any, inches: tuple[float, float]) -> None:
    pixels = _fitted(shown.pixels, inches)
    if guess is not None and guess.heat is not None:
        heat = cv2.resize(guess.heat, pixels.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        coloured = cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS)[..., ::-1]
        pixels = (pixels * (1 - _BLEND) + coloured * _BLEND).astype(np.uint8)
    # "none" keeps the pixels as they are in PDF and SVG, whatever the resolution at which these are written.
    axis.imshow(pixels, extent=(0, 1, 1, 0), aspect="auto", interpolation="none")
    for box in shown.boxes:
        _box(axis, box, TRUE_RGB)
    for outline in shown.outlines:
        axis.add_patch(Polygon(outline, **_look(TRUE_RGB)))
    if guess is not None and guess.box is not None:
        _box(axis, guess.box, PREDICTED_RGB)
    for outline in guess.outlines if guess is not None else ():
        axis.add_patch(Polygon(outline, **_look(PREDICTED_RGB)))
    axis.set(xlim=(0, 1), ylim=(1, 0))


def _fitted(pixels: NDArray[np.uint8], inches: tuple[float, float]) -> NDArray[np.uint8]:
    """Return a photograph at its size in print, but never enlarged to more than the grid of the protocols."""
    wide, high = (max(round(each * GRID_DPI), 1) for each in inches)
    least = max(wide / max(pixels.shape[1], 224), 1)
    return resize(pixels, (max(round(high / least), 1), max(round(wide / least), 1)))


def _box(axis: Axes, box: Box, colour: tuple[int, int, int]) -> None:
    x0, y0, x1, y1 = box
    axis.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, clip_on=False, **_look(colour)))


def _look(colour: tuple[int, int, int]) -> dict[str, Any]:
    """Return a thin line in a colour with a dark rim, which is seen on any photograph and on paper."""
    rim = [withStroke(linewidth=1.8, foreground="black")]
    edge = tuple(value / 255 for value in colour)
    return {"facecolor": "none", "edgecolor": edge, "linewidth": 0.9, "path_effects": rim}
