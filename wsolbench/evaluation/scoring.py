"""Score the maps of a split in parallel and in bounded memory: sums over images, and per-image tables on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from wsolbench.data.dataset import Item, Split, Truth
from wsolbench.data.scoremaps import StoredBoxes, StoredMaps
from wsolbench.errors import DataError
from wsolbench.evaluation import choe2020, pixel
from wsolbench.evaluation.accuracy import IOUS
from wsolbench.evaluation.choe2020 import SIDE, scaled_boxes
from wsolbench.evaluation.image_scores import (
    CHOE2020,
    PIXEL,
    ImageScores,
    MapFile,
    Overlaps,
    Rules,
    coded_masks,
    object_share,
    score_image,
)
from wsolbench.evaluation.pxap import PIXEL_KINDS, pixels_over_thresholds
from wsolbench.evaluation.rows import Rows
from wsolbench.runs.progress import track

__all__ = ["BoxHits", "BoxScores", "MaskScores", "PixelScores", "SplitScores", "score_maps", "score_split"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Source = NDArray[np.floating[Any]] | MapFile
_Task = tuple[Source, Item, Truth]

_BLOCK = 16  # images that a process scores at a time
_PARALLEL_FROM = 100  # images; below, starting processes costs more than it saves


class BoxHits:
    """Correct boxes of a split under one protocol and normalisation, at every threshold.

    Attributes:
        single: ``(3, n + extra)`` int64, images whose single box reaches each overlap of ``IOUS``.
        multi: the same for the best box of all components.
    """

    def __init__(self, thresholds: int) -> None:
        self.single, self.multi = np.zeros((2, len(IOUS), thresholds), np.int64)

    def add(self, scores: Overlaps) -> None:
        """Add an image."""
        for k, iou in enumerate(IOUS):
            self.single[k] += scores.single >= iou / 100
            self.multi[k] += scores.multi >= iou / 100


class BoxScores(BoxHits):
    """The same, and each image by itself.

    Attributes:
        overlaps: one row per image: IoU of its single box at every threshold.
    """

    def __init__(self, thresholds: int) -> None:
        super().__init__(thresholds)
        self.overlaps = Rows((thresholds,), np.float64)

    def add(self, scores: Overlaps) -> None:
        """Add an image."""
        super().add(scores)
        self.overlaps.append(scores.single[None])


@dataclass
class PixelScores:
    """Pixels of a split under one normalisation.

    Attributes:
        pooled: ``(2, n + 2)`` int64 histograms of foreground and background scores, over all images.
        by_class: the same by label.
    """

    pooled: Counts
    by_class: dict[int, Counts] = field(default_factory=dict)

    def add(self, label: int, counts: tuple[Counts, Counts]) -> None:
        """Add an image."""
        both = np.stack(counts)
        self.pooled += both
        self.by_class[label] = self.by_class.get(label, 0) + both


@dataclass
class MaskScores:
    """Overlap of {score >= threshold} with the masks of a split.

    Attributes:
        ious: ``(n + extra,)`` sum over images of the intersection over union.
        pooled: ``(n + extra, 4)`` int64 pixels of all images by :data:`~wsolbench.evaluation.pxap.PIXEL_KINDS`.
        rows: one row per image: its pixels by kind at every threshold.
    """

    ious: Floats
    pooled: Counts
    rows: Rows

    @classmethod
    def none(cls, thresholds: int) -> MaskScores:
        """Return the scores of no image."""
        kinds = (thresholds, len(PIXEL_KINDS))
        return cls(np.zeros(thresholds), np.zeros(kinds, np.int64), Rows(kinds, np.int32))

    def add(self, pixels: Counts) -> None:
        """Add an image; where map and mask are empty, its overlap is 0."""
        self.ious += pixels[:, 0] / np.maximum(pixels.sum(1), 1)
        self.pooled += pixels
        self.rows.append(pixels[None])

    def shares(self, place: int) -> Floats:
        """Return each image's pixels by kind as shares of its union, ``(N, 4)``, the first its IoU, at a threshold."""
        pixels = self.rows.column(place)
        return np.asarray(pixels / np.maximum(pixels.sum(1, keepdims=True), 1))


@dataclass
class SplitScores:
    """Scores of a split.

    Attributes:
        images: number of them.
        boxes: by protocol; empty where no image has a true box.
        normalised: by additional normalisation, under ``choe2020``; empty likewise.
        drawn: one row per image: its single box under ``choe2020`` at every threshold; no row likewise.
        pixels: by normalisation, min-max as ``choe2020``; empty unless all images have masks.
        masks: None unless all images have masks.
        areas: ``(N,)`` see :class:`ImageScores`.
    """

    images: int
    boxes: dict[str, BoxScores]
    normalised: dict[str, BoxHits]
    drawn: Rows
    pixels: dict[str, PixelScores]
    masks: MaskScores | None
    areas: Floats


def score_split(
    stored: StoredMaps | StoredBoxes, split: Split, image_root: Path, rules: Rules, jobs: int
) -> SplitScores:
    """Score every stored map, or box, of a split against its truth; see :func:`score_maps`.

    Args:
        stored: maps or boxes, one per image of ``split``, in its order. A box is the same at every threshold.
        split: with truth.
        image_root: folder that mask paths are relative to.
        rules: how.
        jobs: parallel processes.
    """
    if isinstance(stored, StoredBoxes):
        return _score_boxes(stored, split, rules)
    return score_maps(list(stored.maps), split, image_root, rules, jobs)


def score_maps(
    sources: Sequence[Source],
    split: Split,
    mask_root: Path,
    rules: Rules,
    jobs: int,
    seen: Callable[[ImageScores], object] | None = None,
) -> SplitScores:
    """Score maps against the truth of a split.

    Args:
        sources: one per image of ``split``, in its order: the raw map, or where to read it.
        split: with truth. Boxes are scored if any image has one, and then all must; pixels if all images have masks.
        mask_root: folder that mask paths are relative to.
        rules: how.
        jobs: parallel processes.
        seen: called with the scores of each image, in the order of the split.

    Raises:
        DataError: a map cannot be scored, or an image has no box where others do; the image is named.
    """
    truths = [split.truth(item.id) for item in split.items]
    _check_boxes(split.items, truths)
    boxed = any(len(truth.boxes) for truth in truths)
    masked = bool(truths) and all(truth.masks for truth in truths)
    total = _nothing(rules, boxed=boxed, masked=masked)
    tasks = iter(zip(sources, split.items, truths, strict=True))
    # The first image is scored here, so that the kernels are compiled and stored before processes want them.
    first = [score_image(*task, mask_root if masked else None, rules) for task in islice(tasks, 1)]
    blocks = iter(lambda: list(islice(tasks, _BLOCK)), [])
    jobs = jobs if len(truths) >= _PARALLEL_FROM else 1
    parallel = Parallel(n_jobs=jobs, return_as="generator", pre_dispatch="2*n_jobs")
    results = parallel(delayed(_score_block)(block, mask_root if masked else None, rules) for block in blocks)
    areas: list[float] = []
    every = _labelled(first, results, split.items)
    for scores, item in track(every, f"scoring {split.name}", len(truths), "images"):
        _add(total, scores, item.label)
        if seen is not None:
            seen(scores)
        areas.append(scores.area)
    total.images, total.areas = len(truths), np.array(areas)
    return total


def _score_block(block: list[_Task], mask_root: Path | None, rules: Rules) -> list[ImageScores]:
    return [score_image(*task, mask_root, rules) for task in block]


def _labelled(
    first: list[ImageScores], blocks: Iterator[list[ImageScores]], items: Sequence[Item]
) -> Iterator[tuple[ImageScores, Item]]:
    """Yield the scores one by one, each with its image."""

    def scores() -> Iterator[ImageScores]:
        yield from first
        for block in blocks:
            yield from block

    yield from zip(scores(), items, strict=True)


def _nothing(rules: Rules, *, boxed: bool, masked: bool) -> SplitScores:
    grid, everywhere = len(rules.thresholds.grid), len(rules.thresholds.all)
    names = (CHOE2020, *rules.normalisations)
    return SplitScores(
        images=0,
        boxes={name: BoxScores(everywhere) for name in (CHOE2020, PIXEL)} if boxed else {},
        normalised={name: BoxHits(everywhere) for name in rules.normalisations} if boxed else {},
        drawn=Rows((everywhere, 4), np.int16),
        pixels={name: PixelScores(np.zeros((2, grid + 2), np.int64)) for name in names} if masked else {},
        masks=MaskScores.none(everywhere) if masked else None,
        areas=np.zeros(0),
    )


def _add(total: SplitScores, scores: ImageScores, label: int) -> None:
    for name, overlaps in scores.boxes.items():
        (total.boxes if name in total.boxes else total.normalised)[name].add(overlaps)
        if name == CHOE2020:
            total.drawn.append(overlaps.boxes[None])
    for name, counts in scores.pixels.items():
        total.pixels[name].add(label, counts)
    if total.masks is not None and scores.mask is not None:
        total.masks.add(scores.mask)


def _check_boxes(items: Sequence[Item], truths: Sequence[Truth]) -> None:
    if any(len(truth.boxes) for truth in truths):
        for item, truth in zip(items, truths, strict=True):
            if not len(truth.boxes):
                raise DataError(
                    f"image '{item.id}' has no box, and other images of its split have one; give it a box, or take all "
                    "boxes away to score by masks alone"
                )


def _score_boxes(stored: StoredBoxes, split: Split, rules: Rules) -> SplitScores:
    """Score boxes that are there without a map, the same at every threshold."""
    truths = [split.truth(item.id) for item in split.items]
    _check_boxes(split.items, truths)
    everywhere = len(rules.thresholds.all)
    boxed = any(len(truth.boxes) for truth in truths)
    masked = bool(truths) and all(truth.masks for truth in truths)
    total = _nothing(replace(rules, normalisations=()), boxed=boxed, masked=masked)
    total.pixels = {}  # without scores there is no curve over them
    areas = []
    for box, item, truth in zip(stored.boxes, split.items, truths, strict=True):
        coded = coded_masks(truth) if masked else None
        areas.append(object_share(item, truth, coded))
        if total.masks is not None and coded is not None:
            pixels = pixels_over_thresholds(_filled(box, item), coded, np.array([0.5]))
            total.masks.add(np.broadcast_to(pixels, (everywhere, pixels.shape[1])))
        drawn = np.minimum(scaled_boxes(box[None], item.width, item.height), SIDE - 1)
        if not boxed:
            total.drawn.append(np.broadcast_to(drawn.astype(np.int16), (1, everywhere, 4)))
            continue
        overlap = choe2020.box_ious(drawn, choe2020.true_boxes(truth, item)).max()
        scores = _constant(overlap, drawn[0], everywhere)
        total.boxes[CHOE2020].add(scores)
        total.drawn.append(scores.boxes[None])
        half_open = pixel.scaled_boxes(box[None], item.width, item.height)
        overlap = pixel.box_ious(half_open, pixel.scaled_boxes(truth.boxes, item.width, item.height)).max()
        total.boxes[PIXEL].add(_constant(overlap, drawn[0], everywhere))
    total.images, total.areas = len(truths), np.array(areas)
    return total


def _filled(box: Floats, item: Item) -> Floats:
    """Return a box as a map, ``(224, 224)``: 1 within it and 0 outside."""
    found = np.zeros((SIDE, SIDE))
    x0, y0, x1, y1 = np.rint(box * SIDE / np.array([item.width, item.height] * 2)).astype(int).tolist()
    found[y0:y1, x0:x1] = 1
    return found


def _constant(overlap: float, box: NDArray[np.int64], thresholds: int) -> Overlaps:
    same = np.full(thresholds, overlap)
    return Overlaps(same, same, np.broadcast_to(box.astype(np.int16), (thresholds, 4)))
