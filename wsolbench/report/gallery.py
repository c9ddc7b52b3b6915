"""The same test images under every method: the runs' strips, stacked and labelled."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib as mpl
from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError

from wsolbench.errors import DataError
from wsolbench.layout import Layout
from wsolbench.palette import PREDICTED_RGB, TRUE_RGB
from wsolbench.report.results import Row, TrackResults
from wsolbench.report.run_result import RunResult
from wsolbench.report.style import row_label
from wsolbench.report.tables import blocks_of

__all__ = ["gallery_picture"]

_LABEL_WIDTH = 190
_MARGIN = 10
_LEGEND_HEIGHT = 58
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
    strips = [_strip(Layout(root).thumbnails(results.track, row.runs[0].key), row.runs[0]) for row in rows]
    width, height = strips[0].size
    for row, strip in zip(rows, strips, strict=True):
        if strip.size != (width, height):
            path = Layout(root).thumbnails(results.track, row.runs[0].key)
            raise DataError(
                f"{path} is {strip.size} pixels, the first row's strip {(width, height)}; {_remedy(row.runs[0])}"
            )
    page = Image.new(
        "RGB", (_LABEL_WIDTH + width + _MARGIN, _LEGEND_HEIGHT + len(rows) * (height + 4) + _MARGIN), _PAPER
    )
    draw = ImageDraw.Draw(page)
    _legend(draw, results)
    for index, (row, strip) in enumerate(zip(rows, strips, strict=True)):
        top = _LEGEND_HEIGHT + index * (height + 4)
        page.paste(strip, (_LABEL_WIDTH, top))
        _label(draw, row, len(results.seeds), top + height / 2)
    stream = io.BytesIO()
    page.save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def _strip(path: Path, run: RunResult) -> Image.Image:
    try:
        with Image.open(path) as strip:
            return strip.convert("RGB")
    except FileNotFoundError:
        raise DataError(f"{path} is missing; {_remedy(run)}") from None
    except (UnidentifiedImageError, OSError, SyntaxError) as error:  # Pillow calls a broken PNG a SyntaxError
        raise DataError(f"{path} is damaged ({error}); delete it and {_remedy(run)}") from None


def _remedy(run: RunResult) -> str:
    return f"run `wsolbench evaluate {run.key}` (or `baseline`), or `make benchmark`"


def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return the font that comes with matplotlib; plain layout, because Raqm is not in every build of Pillow."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(
        Path(mpl.get_data_path(), "fonts", "ttf", name), size, layout_engine=ImageFont.Layout.BASIC
    )


def _label(draw: ImageDraw.ImageDraw, row: Row, seeds: int, middle: float) -> None:
    text = f"{row_label(row, seeds, 22)}\nseed {row.runs[0].seed}"
    draw.multiline_text((_MARGIN, middle), text, fill=_INK, font=_font(13), anchor="lm", spacing=4)


def _legend(draw: ImageDraw.ImageDraw, results: TrackResults) -> None:
    draw.text(
        (_MARGIN, 8),
        f"{results.track}: localization maps of the same test images",
        fill=_INK,
        font=_font(15, bold=True),
    )
    left = _MARGIN
    for colour, text in ((TRUE_RGB, "true box"), (PREDICTED_RGB, "predicted box, threshold from val")):
        draw.rectangle((left, 33, left + 30, 49), fill=_SWATCH_GROUND)
        draw.rectangle((left + 6, 37, left + 24, 45), outline=colour, width=2)
        draw.text((left + 38, 41), text, fill=_INK, font=_font(13), anchor="lm")
        left += 38 + round(draw.textlength(text, font=_font(13))) + 24
