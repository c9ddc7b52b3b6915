"""Which images the gallery shows, and what every method made of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wsolbench.config.paths import Layout
from wsolbench.data.scoremaps import upsample_and_normalise
from wsolbench.errors import DataError
from wsolbench.evaluation.photographs import Outline, outlines, read_photographs
from wsolbench.evaluation.thumbnails import Thumbnails, read_thumbnails
from wsolbench.files import parse_file, read_parquet
from wsolbench.report.pictures import heat_picture, photograph_picture
from wsolbench.report.track import Row, TrackResults, records
from wsolbench.results.load import remedy

__all__ = ["Picture", "Prediction", "Section", "check_digest", "gallery_sections"]

Box = tuple[float, float, float, float]

_SIDE = 224  # the grid of the boxes in per-image tables
_OVERLAPS = ("iou_val", "iou_fixed", "mask_iou_val", "mask_iou_fixed")  # the first that is defined


@dataclass(frozen=True)
class Prediction:
    """What one row's first seed made of an image.

    Attributes:
        title: name of the row.
        seed: of the run.
        heat: the map as a data URI; None for a run without maps.
        box: prediction, shares of width and height; None if it is empty, or a mask.
        outline: of the predicted mask, as an SVG path on a square of 100; empty where boxes are predicted.
        overlap: of prediction and truth, 0 to 1; None where it is not defined.
        predicted: name of the most probable class, None for a run that does not classify.
        correct: whether that is the true one.
    """

    title: str
    seed: int
    heat: str | None
    box: Box | None
    outline: str
    overlap: float | None
    predicted: str | None
    correct: bool


@dataclass(frozen=True)
class Picture:
    """An image under every row.

    Attributes:
        id: of the image.
        class_name: true class.
        photograph: data URI.
        boxes: true boxes, shares of width and height.
        outline: of the true masks where there are no boxes, as an SVG path on a square of 100.
        predictions: a row each, in the order of the tables.
    """

    id: str
    class_name: str
    photograph: str
    boxes: list[Box]
    outline: str
    predictions: list[Prediction]


@dataclass(frozen=True)
class Section:
    """Pictures chosen by one rule; ``rule`` is a sentence."""

    title: str
    rule: str
    pictures: list[Picture]


@dataclass(frozen=True)
class _Run:
    row: Row  # of the track's rows
    title: str
    seed: int
    compares: bool
    threshold: float | None  # from val, or the fixed one
    boxes: NDArray[np.float64]  # of the candidates, as all that follows
    predicted: list[int | None]
    overlaps: NDArray[np.float64]
    thumbnails: Thumbnails


def gallery_sections(track: TrackResults, root: Path, count: int) -> list[Section]:
    """Return the chosen images, the worst, and those that methods disagree on most, without empty sections.

    Only candidates are looked at (``evaluate.gallery``). Worst is the lowest overlap of prediction and truth, averaged
    over all runs of methods; disagreement is the range of the methods' overlaps, each averaged over its seeds. Ties
    keep the candidates' order. Without methods, all rows count as such.

    Raises:
        DataError: an input is missing, damaged, or not of these images; the message names it.
    """
    if track.measured.empty or not count:
        return []
    caption, tiles = read_photographs(root, track.name)
    ids = [each.id for each in caption.photographs]
    check_digest(track.name, dict(track.measured[["key", "data_digest"]].to_numpy()), caption.data_digest, root)
    runs = [each for row in track.rows.index for each in _read_row(track, row, ids, root)]
    shown = [next(each for each in runs if each.row == row) for row in track.rows.index]
    masks = track.truth == "masks"

    @cache
    def picture(position: int) -> Picture:
        facts = caption.photographs[position]
        predictions = [_prediction(each, position, facts.label, caption.class_names, masks=masks) for each in shown]
        name, photograph = caption.class_names[facts.label], photograph_picture(tiles[position])
        return Picture(facts.id, name, photograph, list(facts.boxes), _path(facts.outlines), predictions)

    return [
        Section(title, rule, [picture(position) for position in order[:count]])
        for title, rule, order in _orders(_by_method(runs), len(ids))
        if order
    ]


def _orders(by_method: NDArray[np.float64], candidates: int) -> list[tuple[str, str, list[int]]]:
    """Return a title, a rule and the candidates in the rule's order, for each rule that can be followed."""
    found = [("Chosen by lot", "Lowest sha256 of the id, whatever the methods made of it.", list(range(candidates)))]
    of = f"of {candidates} candidates chosen by lot"
    if candidates and np.isfinite(by_method).all():
        worst = np.argsort(by_method.mean(0), kind="stable").tolist()
        found.append(("Worst", f"Lowest overlap of prediction and truth, mean over methods and seeds, {of}.", worst))
        if len(by_method) > 1:
            most = np.argsort(-np.ptp(by_method, axis=0), kind="stable").tolist()
            found.append(("Most disagreeing", f"Largest range of the methods' overlaps, mean over seeds, {of}.", most))
    return found


def _by_method(runs: Sequence[_Run]) -> NDArray[np.float64]:
    """Return ``(methods, candidates)`` overlaps, mean over seeds."""
    methods = [each for each in runs if each.compares] or runs
    rows = list(dict.fromkeys(each.row for each in methods))
    return np.array([np.mean([each.overlaps for each in methods if each.row == row], axis=0) for row in rows])


def _read_row(track: TrackResults, row: Row, ids: Sequence[str], root: Path) -> Iterator[_Run]:
    layout, facts = Layout(root), track.rows.T[row]
    thresholds = [track.values(row, f"threshold.{at}") for at in ("val", "fixed")]
    for run in records(track.runs_of(row)):
        again = remedy(run.kind, run.key)
        images, boxes, predicted = parse_file(layout.per_image(track.name, run.key), partial(_parsed, ids=ids), again)
        thumbnails = read_thumbnails(layout.thumbnails(track.name, run.key), again)
        if len(thumbnails.ids) and thumbnails.ids.tolist() != list(ids):
            raise DataError(
                f"{layout.thumbnails(track.name, run.key)} is of other images than the photographs; {again}"
            )
        threshold = next((float(found[run.seed]) for found in thresholds if run.seed in found), None)
        about = (row, facts["title"], run.seed, bool(facts["compares"]), threshold)
        yield _Run(*about, boxes, predicted, _overlaps(images), thumbnails)


def _parsed(content: bytes, ids: Sequence[str]) -> tuple[pd.DataFrame, NDArray[np.float64], list[int | None]]:
    images = read_parquet(content).to_pandas(use_threads=False).set_index("id").loc[list(ids)]
    predicted = [None if pd.isna(each) else int(each) for each in images["predicted"].tolist()]
    return images, images[["x0", "y0", "x1", "y1"]].to_numpy(np.float64), predicted


def _overlaps(images: pd.DataFrame) -> NDArray[np.float64]:
    for name in _OVERLAPS:
        if name in images and images[name].notna().all():
            return images[name].to_numpy(np.float64)
    return np.full(len(images), np.nan)


def _prediction(found: _Run, position: int, label: int, class_names: Sequence[str], *, masks: bool) -> Prediction:
    x0, y0, x1, y1 = (found.boxes[position] / _SIDE).tolist()
    has_map = len(found.thumbnails.ids) > 0
    overlap, predicted = float(found.overlaps[position]), found.predicted[position]
    return Prediction(
        title=found.title,
        seed=found.seed,
        heat=heat_picture(found.thumbnails.maps[position]) if has_map else None,
        box=(x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None,
        outline=_path(_predicted(found, position)) if has_map and masks else "",
        overlap=None if np.isnan(overlap) else overlap,
        predicted=None if predicted is None else class_names[predicted],
        correct=predicted == label,
    )


def _predicted(found: _Run, position: int) -> list[Outline]:
    """Return the outlines of what reaches the threshold from ``val``, or the fixed one, on the evaluation's grid."""
    small, threshold = found.thumbnails.maps[position].astype(np.float64), found.threshold
    return [] if threshold is None else outlines(upsample_and_normalise(small, _SIDE, _SIDE) >= threshold)


def _path(polygons: Iterable[Outline]) -> str:
    return "".join(f"M{' '.join(f'{x * 100:.1f},{y * 100:.1f}' for x, y in each)}Z" for each in polygons)


def check_digest(track: str, digests: Mapping[str, str | None], digest: str, root: Path) -> None:
    """Refuse photographs of other data than the results were measured on.

    Raises:
        DataError: a run's metrics have another digest of the index; the message names the file.
    """
    for key, measured in digests.items():
        if isinstance(measured, str) and measured != digest:
            raise DataError(
                f"{Layout(root).metrics(track, key)} was measured on other data ({measured}) than the photographs of "
                f"the gallery show ({digest}); run `wsolbench launch`"
            )
