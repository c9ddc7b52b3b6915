"""The same test images under every method: the runs' strips, stacked and labelled."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib as mpl
from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError

from wsolbench.errors import DataError
from wsolbench.layout import Layout
from wsolbench.palette import PREDICTED_RGB, TRUE_RGB
from wsolbench.report.results import Row, TrackResults, remedy
from wsolbench.report.style import row_label
from wsolbench.report.tables import blocks_of

__all__ = ["gallery_picture"]

_LABEL_WIDTH = 190
_LEGEND_WIDTH = 430
_LEGEND_HEIGHT = 58
_MARGIN = 10
_GAP = 4
_INK = (0, 0, 0)
_PAPER = (255, 255, 255)
_SWATCH_GROUND = (40, 40, 40)  # a white box would not show on white


def gallery_picture(results: TrackResults, root: Path) -> bytes:
    """Stack the gallery strips of each row's first seed, with a legend.

    Returns:
        A PNG file: a line per row, in the order of the tables.

    Raises:
        DataError: a strip is missing, damaged or of another size than the first; the message names it.
    """
    rows = [row for _, block in blocks_of(results.measured) for row in block]
    strips = _strips(rows, results.track, root)
    width, height = strips[0].size
    title, bold = f"{results.track}: localization maps of the same test images", _font(15, bold=True)
    content = max(_LABEL_WIDTH + width, _LEGEND_WIDTH, _MARGIN + round(bold.getlength(title)))
    page = Image.new("RGB", (content + _MARGIN, _LEGEND_HEIGHT + len(rows) * (height + _GAP) + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((_MARGIN, 8), title, fill=_INK, font=bold)
    _legend(draw)
    for index, (row, strip) in enumerate(zip(rows, strips, strict=True)):
        top = _LEGEND_HEIGHT + index * (height + _GAP)
        page.paste(strip, (_LABEL_WIDTH, top))
        _label(draw, row, len(results.seeds), top + height / 2)
    stream = io.BytesIO()
    page.save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def _strips(rows: list[Row], track: str, root: Path) -> list[Image.Image]:
    strips: list[Image.Image] = []
    for row in rows:
        key = row.runs[0].key
        path = Layout(root).thumbnails(track, key)
        try:
            with Image.open(path) as strip:
                strips.append(strip.convert("RGB"))
        except FileNotFoundError:
            raise DataError(f"{path} is missing; {remedy(row.kind, key)}") from None
        except (UnidentifiedImageError, OSError, SyntaxError) as error:  # Pillow calls a broken PNG a SyntaxError
            raise DataError(f"{path} is damaged ({error}); delete it and {remedy(row.kind, key)}") from None
        mine, first = strips[-1].size, strips[0].size
        if mine != first:
            raise DataError(f"{path} has {mine} pixels, the first row's strip {first}; {remedy(row.kind, key)}")
    return strips


def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return the font that comes with matplotlib; plain layout, because Raqm is not in every build of Pillow."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    path = Path(mpl.get_data_path(), "fonts", "ttf", name)
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


def _label(draw: ImageDraw.ImageDraw, row: Row, seeds: int, middle: float) -> None:
    text = f"{row_label(row, seeds, 22)}\nseed {row.runs[0].seed}"
    draw.multiline_text((_MARGIN, middle), text, fill=_INK, font=_font(13), anchor="lm", spacing=4)


def _legend(draw: ImageDraw.ImageDraw) -> None:
    left = _MARGIN
    for colour, text in ((TRUE_RGB, "true box"), (PREDICTED_RGB, "predicted box, threshold from val")):
        draw.rectangle((left, 33, left + 30, 49), fill=_SWATCH_GROUND)
        draw.rectangle((left + 6, 37, left + 24, 45), outline=colour, width=2)
        draw.text((left + 38, 41), text, fill=_INK, font=_font(13), anchor="lm")
        left += 38 + round(draw.textlength(text, font=_font(13))) + 24
