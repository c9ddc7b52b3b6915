"""The photographs stage: small copies of a track's candidate images, and their true boxes or masks."""

from __future__ import annotations

import numpy as np

from wsolbench.acquire.building import build_dataset
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.data.dataset import Item, Split
from wsolbench.data.images import read_image, resize
from wsolbench.data.index import read_split
from wsolbench.evaluation.photographs import TILE, Caption, Photograph, encode_caption, encode_sheet, outlines
from wsolbench.evaluation.pxap import coded_masks
from wsolbench.evaluation.thumbnails import candidates
from wsolbench.files import write_bytes

__all__ = ["write_photographs"]

_GREY = 128


def write_photographs(settings: Settings, track: str, layout: Layout) -> None:
    """Write the sheet of a track's ``evaluate.gallery`` candidate images, and their facts; equal data, equal bytes.

    Of a data set whose photographs may not be passed on, the sheet is grey, for maps and boxes to be drawn on.

    Raises:
        DataError: the data set is not prepared, or a photograph is missing or has changed.
    """
    prepared = layout.prepared(track)
    dataset = build_dataset(settings, settings.tracks[track].dataset)
    image_root = dataset.image_root(prepared)
    split = read_split(prepared, "test")
    chosen = [split.items[k] for k in candidates([item.id for item in split.items], settings.evaluate.gallery)]
    if "restricted" in dataset.traits:
        tiles = [np.full((TILE, TILE, 3), _GREY, np.uint8)] * len(chosen)
    else:
        tiles = [resize(read_image(image_root / item.path, item), (TILE, TILE)) for item in chosen]
    caption = Caption(split.digest, list(split.class_names), [_facts(item, split) for item in chosen])
    contents = (encode_sheet(tiles), encode_caption(caption))
    for path, content in zip(layout.photographs(track), contents, strict=True):
        write_bytes(path, content)


def _facts(item: Item, split: Split) -> Photograph:
    size, truth = np.array([item.width, item.height] * 2, np.float64), split.truth(item.id)
    boxes = [(x0, y0, x1, y1) for x0, y0, x1, y1 in np.round(truth.boxes / size, 4).tolist()]
    drawn = [] if boxes else [list(each) for each in outlines(coded_masks(truth) == 1)]
    return Photograph(item.id, item.label, boxes, drawn)
