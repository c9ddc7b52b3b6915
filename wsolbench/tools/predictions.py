"""What a run says of photographs: as objects, as tables in CSV, JSON and COCO, and as pictures to look at."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import cv2
import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from wsolbench.data.masks import decode
from wsolbench.data.scoremaps import upsample_and_normalise
from wsolbench.data.tables import literal
from wsolbench.evaluation.boxes import candidates
from wsolbench.evaluation.protocols import SIDE
from wsolbench.report.palette import PREDICTED_RGB

Format = Literal["csv", "json", "coco"]
FORMATS: dict[Format, str] = {"csv": "predictions.csv", "json": "predictions.json", "coco": "coco.json"}
"""Names of the files."""

_BLEND = 0.45  # share of the heat map
_COLUMNS = ("id", "class", "name", "probability", "x0", "y0", "x1", "y1", "score")


@dataclass(frozen=True)
class Box:
    """A box, half-open in pixels of the displayed photograph; its score is the mean of the map inside, 0 to 1."""

    corners: tuple[int, int, int, int]
    score: float


@dataclass(frozen=True)
class Prediction:
    """What a run says of a photograph.

    Attributes:
        probability: of that class, the softmax over all classes, 0 to 1; None where the run does not classify.
        top5: up to five classes as label, name and probability, best first.
        boxes: the largest component's first; none where the map says nothing.
        map: ``(h, w)`` float32, as the network gives it.
        mask_code: of the pixels that reach the threshold (:mod:`wsolbench.data.masks`), if they were asked for.
    """

    id: str
    width: int
    height: int
    label: int
    name: str
    probability: float | None
    top5: tuple[tuple[int, str, float], ...]
    boxes: tuple[Box, ...]
    map: NDArray[np.float32]
    mask_code: str | None = None

    @property
    def mask(self) -> NDArray[np.bool_] | None:
        """Pixels of the photograph that reach the threshold, ``(height, width)``, if they were asked for."""
        return None if self.mask_code is None else decode(self.mask_code)


def score_map_of(raw: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return a map as it is scored: upsampled to 224 x 224 and brought to [0, 1]."""
    return upsample_and_normalise(raw, SIDE, SIDE)


def boxes_at(score_map: NDArray[np.float64], size: tuple[int, int], cut: float, *, every: bool) -> tuple[Box, ...]:
    """Return the boxes of a map at a threshold under protocol ``pixel``: the largest component's, and others if asked.

    ``score_map`` is of :func:`score_map_of`; ``cut`` is in [0, 1), times its maximum. Boxes are in pixels of an image
    of ``size``, width and height.
    """
    _, found = candidates(score_map[None], np.array([cut]))
    largest = found.single[found.cut[0]]
    if not largest[2] > largest[0]:
        return ()
    others = [box for box in found.boxes_at(0) if tuple(box) != tuple(largest)] if every else []
    boxes = []
    for x0, y0, x1, y1 in [largest, *sorted(others, key=lambda box: -(box[2] - box[0]) * (box[3] - box[1]))]:
        low = np.minimum(np.rint(np.array([x0, y0]) * size / SIDE).astype(int), np.array(size) - 1)
        high = np.maximum(np.rint(np.array([x1, y1]) * size / SIDE).astype(int), low + 1)
        boxes.append(Box((*low.tolist(), *high.tolist()), float(score_map[y0:y1, x0:x1].mean())))
    return tuple(boxes)


def table(found: Sequence[Prediction]) -> str:
    """Return CSV: a line per box, one with empty corners and score where there is no box."""
    stream = io.StringIO()
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow(_COLUMNS)
    for each in found:
        probability = "" if each.probability is None else f"{each.probability:.4f}"
        head = [literal(each.id), each.label, literal(each.name), probability]
        boxes = [[*box.corners, f"{box.score:.4f}"] for box in each.boxes] or [[""] * 5]
        rows.writerows([*head, *box] for box in boxes)
    return stream.getvalue()


def tree(found: Sequence[Prediction]) -> str:
    """Return JSON: a list with an entry per photograph, a line each."""
    entries = [
        {
            "id": each.id,
            "width": each.width,
            "height": each.height,
            "class": {"id": each.label, "name": each.name, "probability": _rounded(each.probability)},
            "top5": [{"id": label, "name": name, "probability": round(p, 6)} for label, name, p in each.top5],
            "boxes": [{"box": list(box.corners), "score": round(box.score, 6)} for box in each.boxes],
        }
        for each in found
    ]
    return "[\n" + ",\n".join(json.dumps(entry) for entry in entries) + "\n]\n"


def coco(found: Sequence[Prediction], class_names: Sequence[str]) -> str:
    """Return COCO's instances: images, categories and annotations, with a score and a probability in each of these.

    Category ids are classes + 1, because tools take 0 for background. Masks are compressed RLE, as pycocotools reads
    them; one annotation of an image has it, the largest component's.
    """
    annotations: list[dict[str, Any]] = []
    for number, each in enumerate(found, 1):
        for place, box in enumerate(each.boxes):
            x0, y0, x1, y1 = box.corners
            area: int = (x1 - x0) * (y1 - y0)
            segmentation: Any = []
            if each.mask is not None and not place:
                counts = str(each.mask_code).split(":", 3)[3]
                area, segmentation = int(each.mask.sum()), {"size": [each.height, each.width], "counts": counts}
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": each.label + 1,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": area,
                    "iscrowd": 0,
                    "segmentation": segmentation,
                    "score": round(box.score, 6),
                    "probability": _rounded(each.probability),
                }
            )
    content = {
        "images": [
            {"id": number, "file_name": each.id, "width": each.width, "height": each.height}
            for number, each in enumerate(found, 1)
        ],
        "categories": [{"id": label + 1, "name": name} for label, name in enumerate(class_names)],
        "annotations": annotations,
    }
    return json.dumps(content) + "\n"


def draw(
    shown: NDArray[np.uint8], score_map: NDArray[np.float64], found: Prediction, mask_cut: float | None
) -> Image.Image:
    """Lay a map, of any size, over a photograph ``(h, w, 3)``; draw boxes, class, and the contour at ``mask_cut``."""
    height, width = shown.shape[:2]
    fitted = cv2.resize(score_map.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    coloured = cv2.applyColorMap((fitted * 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS)[..., ::-1]
    pixels = np.ascontiguousarray((shown * (1 - _BLEND) + coloured * _BLEND).astype(np.uint8))
    line = max(round(min(width, height) / 120), 2)
    if mask_cut is not None and fitted.max() > 0:
        contours, _ = cv2.findContours((fitted >= mask_cut).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(pixels, contours, -1, PREDICTED_RGB, max(line - 1, 1))
    picture = Image.fromarray(pixels)
    pen = ImageDraw.Draw(picture)
    scale = np.array([width / found.width, height / found.height] * 2)
    corner = (0.0, 0.0)
    for place, box in reversed(list(enumerate(found.boxes))):
        x0, y0, x1, y1 = (float(value) for value in box.corners * scale)
        pen.rectangle((x0, y0, max(x1 - 1, x0), max(y1 - 1, y0)), outline=PREDICTED_RGB, width=1 if place else line)
        corner = (x0, y0)
    _write(pen, (width, height), corner, found)
    return picture


def _write(pen: ImageDraw.ImageDraw, size: tuple[int, int], corner: tuple[float, float], found: Prediction) -> None:
    """Write class and probability on a plate over the box's upper left corner, inside the picture."""
    text = found.name if found.probability is None else f"{found.name} {_percent(found.probability)}"
    font = label_font(max(round(min(size) / 20), 13))
    left, top, right, bottom = pen.textbbox((0, 0), text, font)
    wide, high = right - left + 8, bottom - top + 8
    x = max(min(corner[0], size[0] - wide), 0)
    y = corner[1] - high if corner[1] >= high else corner[1]
    pen.rectangle((x, y, x + wide - 1, y + high - 1), fill=PREDICTED_RGB)
    pen.text((x + 4 - left, y + 4 - top), text, "white", font)


def _percent(probability: float) -> str:
    return f"{probability:.0%}" if 0.01 <= probability < 0.995 else "> 99%" if probability > 0.5 else "< 1%"


@cache
def label_font(size: int) -> ImageFont.FreeTypeFont:
    """Return the font that comes with matplotlib, which has most alphabets, at a size in pixels."""
    return ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def _rounded(probability: float | None) -> float | None:
    return None if probability is None else round(probability, 6)
