"""``wsolbench predict``: classes, maps, boxes and pictures for anybody's photographs, by a trained run."""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from wsolbench.acquire.building import build_dataset
from wsolbench.acquire.inspection import inspect_images
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.data.cache import Reading
from wsolbench.data.dataset import Item, Split
from wsolbench.data.folders import files_below
from wsolbench.data.images import read_image, turned_size
from wsolbench.data.scoremaps import upsample_and_normalise
from wsolbench.data.tables import literal
from wsolbench.errors import DataError, first_three
from wsolbench.evaluation.choe2020 import SIDE
from wsolbench.evaluation.pixel import candidates
from wsolbench.report.palette import PREDICTED_RGB
from wsolbench.runs.device import set_up_device
from wsolbench.runs.progress import track
from wsolbench.training.prediction import predict_split
from wsolbench.training.trained import load_trained, read_trained, run_of_record

__all__ = ["find_images", "photographs", "predict"]

IMAGE_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
_BLEND = 0.45  # share of the heat map
_BLOCK = 64  # images at a time
_HEADER = ("id", "class", "name", "logit", "x0", "y0", "x1", "y1")
_log = logging.getLogger("wsolbench.tools.predict")


@dataclass(frozen=True)
class _Writer:
    """Writes results below one directory, each file atomically."""

    out: Path

    def write(self, name: str, content: bytes) -> None:
        path = self.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_bytes(content)
        temporary.replace(path)


def find_images(sources: Sequence[Path]) -> tuple[Path, list[str]]:
    """List photographs: files as they are, directories with all that is below them.

    Returns:
        A folder, and paths below it, sorted, each once.

    Raises:
        DataError: a source does not exist, there is no image in any of them, or a name is not UTF-8.
    """
    found: set[Path] = set()
    for source in sources:
        if source.is_dir():
            # A link keeps its own name: what it leads to may lie anywhere.
            below = (source.resolve() / name for name in files_below(source))
            found |= {path for path in below if path.suffix.lower() in IMAGE_SUFFIXES}
        elif source.exists():
            found.add(source.parent.resolve() / source.name)
        else:
            raise DataError(f"{source} does not exist")
    if not found:
        raise DataError(f"no images ({', '.join(sorted(IMAGE_SUFFIXES))}) in {', '.join(map(str, sources))}")
    only = sources[0].resolve() if len(sources) == 1 and sources[0].is_dir() else None
    root = only or Path(*_shared([path.parent.parts for path in found]))
    return root, sorted(path.relative_to(root).as_posix() for path in found)


def photographs(root: Path, names: Sequence[str], *, displayed: bool) -> list[Item]:
    """Open all photographs, and return them as items; how they are turned is said once.

    Args:
        root: folder that the names are relative to.
        names: image files.
        displayed: whether to turn them by their EXIF orientation, as the images that the run was trained on were.

    Raises:
        DataError: photographs are missing or unreadable; the first ones are named.
    """
    items, oriented = [], []
    for name, fact in zip(names, inspect_images(root, names), strict=True):
        orientation = fact.orientation if displayed else 1
        width, height = turned_size(fact.width, fact.height, orientation)
        items.append(Item(name, name, 0, width, height, "test", fact.sha256, orientation))
        oriented += [name] if fact.orientation != 1 else []
    if oriented:
        _log.warning(
            "%d images have an EXIF orientation (%s) and are %s",
            len(oriented),
            first_three(oriented),
            "turned, as viewers display them"
            if displayed
            else "not turned, like the images that the run was trained on; turn them first if they lie on their side",
        )
    return items


def predict(
    settings: Settings, key: str, sources: Sequence[Path], out: Path, layout: Layout, threshold: float | None
) -> int:
    """Predict photographs with a trained run.

    Writes to ``out``: ``predictions.csv`` (first class, its logit, box in pixels of the photograph, half-open; ``'``
    is before a name that a spreadsheet would take for a formula),
    ``classes.txt`` (up to five classes per image, as ``wsolbench score --predictions`` reads them), ``maps/<id>.npy``
    (raw map of the first class, as ``wsolbench score --maps`` reads them) and ``pictures/<id>.jpg``. The box is that of
    protocol ``pixel``: the largest component of what reaches the threshold times the maximum.

    Args:
        settings: runtime, and the fixed threshold.
        key: ``<track>-<method>-<seed>`` of a trained run.
        sources: image files and directories.
        out: directory for the results.
        layout: where the run lies.
        threshold: in [0, 1); None takes the one that the run's ``val`` split chose, or the fixed one if there is none.

    Returns:
        Number of images.

    Raises:
        DataError: the run or an image is missing or damaged.
    """
    record = read_trained(layout, key)
    run = run_of_record(record)
    root, names = find_images(sources)
    items = photographs(root, names, displayed=build_dataset(settings, run.track.dataset).orientation == "displayed")
    device = set_up_device(settings.runtime)
    method = load_trained(record, layout, device)
    cut = _threshold(settings, run.track_name, key, layout) if threshold is None else threshold
    _log.info("%s: %d images, threshold %g, protocol pixel", key, len(items), cut)
    writer, table, listed = _Writer(out), io.StringIO(), io.StringIO()
    rows, classes = (csv.writer(stream, lineterminator="\n") for stream in (table, listed))
    rows.writerow(_HEADER)
    blocks = [items[start : start + _BLOCK] for start in range(0, len(items), _BLOCK)]
    reading = replace(Reading.of(settings.runtime, layout), cache=None)
    common: dict[str, Any] = {"crop": run.track.crop, "batch": run.track.batch, "reading": reading}
    for block in track(iter(blocks), "predicting", len(blocks), "blocks"):
        split = Split("test", block, record["class_names"], "")
        guessed = predict_split(method, split, root, device=device, **common)
        if not guessed.top5.shape[1]:
            raise DataError(f"method '{run.method}' does not classify, so that there is no class to draw a map of")
        labelled = [replace(item, label=int(best)) for item, best in zip(block, guessed.top5[:, 0], strict=True)]
        stored = predict_split(method, replace(split, items=labelled), root, device=device, **common)
        for k, item in enumerate(labelled):
            box = _write_image(writer, root, item, stored.maps[k], cut)
            chosen = record["class_names"][item.label]
            rows.writerow([literal(item.id), item.label, literal(chosen), f"{stored.top5_logits[k, 0]:.4f}", *box])
            classes.writerow([item.id, *stored.top5[k]])
    writer.write("predictions.csv", table.getvalue().encode())
    writer.write("classes.txt", listed.getvalue().encode())
    return len(items)


def _shared(parts: Sequence[tuple[str, ...]]) -> list[str]:
    shared = []
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return shared


def _threshold(settings: Settings, track_name: str, key: str, layout: Layout) -> float:
    path = layout.metrics(track_name, key)
    if path.is_file():
        chosen = json.loads(path.read_text(encoding="utf-8"))["pixel"]["threshold"]["val"]
        if chosen is not None:
            return float(chosen)
    return settings.evaluate.fixed_threshold


def _write_image(writer: _Writer, root: Path, item: Item, raw: NDArray[np.float32], cut: float) -> list[int]:
    score_map = upsample_and_normalise(raw, SIDE, SIDE)
    found = candidates(score_map, np.array([cut]))
    scale = np.array([item.width, item.height] * 2) / SIDE
    box: list[int] = np.rint(found.single[found.cut[0]] * scale).astype(int).tolist()
    stream = io.BytesIO()
    np.save(stream, raw)
    writer.write(f"maps/{item.id}.npy", stream.getvalue())
    photograph = read_image(root / item.path, item)
    heat = (upsample_and_normalise(raw, item.height, item.width) * 255).astype(np.uint8)
    coloured = cv2.applyColorMap(heat, cv2.COLORMAP_VIRIDIS)[..., ::-1]
    picture = Image.fromarray((photograph * (1 - _BLEND) + coloured * _BLEND).astype(np.uint8))
    if box[2] > box[0] and box[3] > box[1]:
        line = max(round(min(item.width, item.height) / 100), 2)
        corners = (box[0], box[1], box[2] - 1, box[3] - 1)
        ImageDraw.Draw(picture).rectangle(corners, outline=PREDICTED_RGB, width=line)
    drawn = io.BytesIO()
    picture.save(drawn, "JPEG", quality=90)
    writer.write(f"pictures/{item.id}.jpg", drawn.getvalue())
    return box
