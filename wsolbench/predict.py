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

from wsolbench.data.cache import Reading
from wsolbench.data.images import read_image
from wsolbench.data.inspection import inspect_images
from wsolbench.dataset import Item, Split
from wsolbench.engine.device import set_up_device
from wsolbench.engine.prediction import predict_split
from wsolbench.engine.trained import load_trained, read_record, run_of_record
from wsolbench.errors import DataError
from wsolbench.layout import Layout
from wsolbench.metrics.choe2020 import SIDE
from wsolbench.metrics.pixel import candidates
from wsolbench.palette import PREDICTED_RGB
from wsolbench.progress import track
from wsolbench.scoremaps import upsample_and_normalise
from wsolbench.settings import Settings

__all__ = ["find_images", "predict"]

IMAGE_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
_BLEND = 0.45  # share of the heat map
_BLOCK = 64  # images at a time
_ORIENTATION = 0x0112  # tag of EXIF
_HEADER = ("id", "class", "name", "logit", "x0", "y0", "x1", "y1")
_log = logging.getLogger("wsolbench.predict")


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
        DataError: a source does not exist, or there is no image in any of them.
    """
    found: set[Path] = set()
    for source in sources:
        if source.is_dir():
            found |= {path.resolve() for path in source.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES}
        elif source.is_file():
            found.add(source.resolve())
        else:
            raise DataError(f"{source} does not exist")
    if not found:
        raise DataError(f"no images ({', '.join(sorted(IMAGE_SUFFIXES))}) in {', '.join(map(str, sources))}")
    only = sources[0].resolve() if len(sources) == 1 and sources[0].is_dir() else None
    parents = {path.parent for path in found}
    root = only or Path(*_shared([parent.parts for parent in parents]))
    return root, sorted(path.relative_to(root).as_posix() for path in found)


def predict(
    settings: Settings, key: str, sources: Sequence[Path], out: Path, layout: Layout, threshold: float | None
) -> int:
    """Predict photographs with a trained run.

    Writes to ``out``: ``predictions.csv`` (first class, its logit, box in pixels of the photograph, half-open),
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
    record = read_record(layout, key)
    run = run_of_record(record)
    device = set_up_device(settings.runtime)
    method = load_trained(record, layout, device)
    root, names = find_images(sources)
    facts = inspect_images(root, names)
    _warn_of_rotation(root, names)
    items = [
        Item(name, name, 0, fact.width, fact.height, "test", fact.sha256)
        for name, fact in zip(names, facts, strict=True)
    ]
    cut = _threshold(settings, run.track_name, key, layout) if threshold is None else threshold
    _log.info("%s: %d images, threshold %g, protocol pixel", key, len(items), cut)
    writer, table = _Writer(out), io.StringIO()
    rows, classes = csv.writer(table, lineterminator="\n"), []
    rows.writerow(_HEADER)
    blocks = [items[start : start + _BLOCK] for start in range(0, len(items), _BLOCK)]
    reading = Reading(settings.runtime.threads)
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
            rows.writerow([item.id, item.label, chosen, f"{stored.top5_logits[k, 0]:.4f}", *box])
            classes.append(",".join([item.id, *map(str, stored.top5[k])]))
    writer.write("predictions.csv", table.getvalue().encode())
    writer.write("classes.txt", ("\n".join(classes) + "\n").encode())
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


def _warn_of_rotation(root: Path, names: Sequence[str]) -> None:
    turned = []
    for name in names:
        with Image.open(root / name) as image:
            if image.getexif().get(_ORIENTATION, 1) != 1:
                turned.append(name)
    if turned:
        _log.warning(
            "%d images have an EXIF orientation, which is not applied here or anywhere in the benchmark (%s ...); turn "
            "them first if they lie on their side",
            len(turned),
            turned[0],
        )


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
