"""A contact sheet of a data set's images with what is true of them: what everybody looks at before training."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from wsolbench.acquire.building import build_dataset
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.data.dataset import Item, Split, SplitName
from wsolbench.data.images import read_image, resize
from wsolbench.data.index import read_split
from wsolbench.data.seeding import image_key
from wsolbench.errors import DataError
from wsolbench.files import write_bytes
from wsolbench.report.palette import CATEGORICAL, TRUE_RGB
from wsolbench.tools.predictions import label_font

__all__ = ["choose_items", "contact_sheet"]

_SIDE = 224  # pixels of the longer side of a picture
_CAPTION = 30  # pixels of two lines of text
_GAP = 8
_COLUMNS = 6
_VEIL = 0.45  # share of a mask's colour in its pixels
_OBJECT, _IGNORED = CATEGORICAL["sky blue"], CATEGORICAL["orange"]


def contact_sheet(
    settings: Settings, track: str, split: SplitName, count: int, seed: int, layout: Layout, target: Path
) -> str:
    """Draw images of a prepared data set with boxes and masks, and write them to ``target`` (PNG, JPEG, ...).

    Pictures keep their aspect. Boxes are white on black; a mask is blue, what counts for neither side orange. Images of
    ``train`` come without either: nothing in the harness can reach them.

    There are ``count``, spread over the classes; another seed chooses others. Returns a line about what was written.

    Raises:
        DataError: the data set is not prepared, the split is empty, a file is damaged, or ``target`` cannot be written.
    """
    prepared = layout.prepared(track)
    found = read_split(prepared, split)
    if not len(found):
        raise DataError(f"split '{split}' of {track} is empty; there is nothing to show")
    root = build_dataset(settings, settings.tracks[track].dataset).image_root(prepared)
    items = choose_items(found, count, seed)
    columns = min(_COLUMNS, len(items))
    cell = (_SIDE + _GAP, _SIDE + _CAPTION + _GAP)
    size = (columns * cell[0] + _GAP, math.ceil(len(items) / columns) * cell[1] + _GAP)
    sheet = Image.new("RGB", size, "white")
    for position, item in enumerate(items):
        row, column = divmod(position, columns)
        corner = (column * cell[0] + _GAP, row * cell[1] + _GAP)
        picture = _draw_item(found, item, root)
        sheet.paste(picture, (corner[0], corner[1] + _SIDE - picture.height))
        name = found.class_names[item.label]
        _write_caption(sheet, (corner[0], corner[1] + _SIDE + 2), name, item.id)
    stream, kind = io.BytesIO(), Image.registered_extensions().get(target.suffix.lower(), "")
    try:
        sheet.save(stream, kind)
    except (KeyError, OSError, ValueError):  # of what Pillow cannot write, or not in colours
        raise DataError(
            f"{target} cannot be written: no picture ends in '{target.suffix}'; take .png or .jpg"
        ) from None
    write_bytes(target, stream.getvalue())
    return f"{target}: {len(items)} of {len(found)} images of '{split}', {len({i.label for i in items})} classes"


def choose_items(split: Split, count: int, seed: int) -> list[Item]:
    """Return ``count`` images in index order, spread evenly over the classes, by the lowest hash of seed and id."""
    drawn: dict[int, int] = {}
    places: dict[str, tuple[int, int]] = {}
    for rank, item in enumerate(sorted(split.items, key=lambda each: image_key(f"{seed}:{each.id}"))):
        places[item.id] = (drawn.get(item.label, 0), rank)
        drawn[item.label] = places[item.id][0] + 1
    wanted = set(sorted(places, key=places.__getitem__)[:count])
    return [item for item in split.items if item.id in wanted]


def _draw_item(split: Split, item: Item, root: Path) -> Image.Image:
    scale = _SIDE / max(item.width, item.height)
    size = (max(1, round(item.height * scale)), max(1, round(item.width * scale)))
    pixels = resize(read_image(root / item.path, item), size)
    if split.name == "train":
        return Image.fromarray(pixels)
    truth = split.truth(item.id)
    ignored = truth.ignored()
    for mask in truth.object_masks():
        pixels = _tint(pixels, mask, _OBJECT)
    if ignored is not None:
        pixels = _tint(pixels, ignored, _IGNORED)
    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    for box in truth.boxes * scale:
        x0, y0, x1, y1 = (float(value) for value in box)
        draw.rectangle((x0, y0, x1 - 1, y1 - 1), outline="black", width=3)
        draw.rectangle((x0 + 1, y0 + 1, x1 - 2, y1 - 2), outline=TRUE_RGB, width=1)
    return picture


def _tint(pixels: NDArray[np.uint8], mask: NDArray[np.bool_], colour: str) -> NDArray[np.uint8]:
    fitted = Image.fromarray(mask).resize((pixels.shape[1], pixels.shape[0]), Image.Resampling.NEAREST)
    inside = np.asarray(fitted)[..., None]
    tint = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)])
    return np.where(inside, (1 - _VEIL) * pixels + _VEIL * tint, pixels).astype(np.uint8)


def _write_caption(sheet: Image.Image, corner: tuple[int, int], *lines: str) -> None:
    draw, font = ImageDraw.Draw(sheet), label_font(11)
    for number, line in enumerate(lines):
        text = line
        while len(text) > 1 and draw.textlength(text, font) > _SIDE:
            text = "…" + text.lstrip("…")[1:]
        draw.text((corner[0], corner[1] + 13 * number), text, "black", font)
