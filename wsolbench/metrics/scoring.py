"""Score the stored maps of a split, image by image, in parallel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from wsolbench.data.masks import read_mask
from wsolbench.dataset import Item, Split, Truth
from wsolbench.errors import DataError
from wsolbench.metrics.choe2020 import SIDE, best_ious, box_ious, candidates, scaled_boxes
from wsolbench.metrics.pxap import code_masks, histograms
from wsolbench.progress import track
from wsolbench.scoremaps import StoredBoxes, StoredMaps, upsample_and_normalise

__all__ = ["SplitScores", "Thresholds", "score_split"]

Floats = NDArray[np.float64]
_PARALLEL_FROM = 100  # images; below, starting processes costs more than it saves


@dataclass(frozen=True)
class Thresholds:
    """The thresholds at which a split is scored: a sweep, then single ones at their exact values.

    Attributes:
        grid: ``(n,)`` ascending from 0; what sweeps, maxima and PxAP are over.
        extra: thresholds that are asked for by value, whether on the grid or not.
    """

    grid: Floats
    extra: tuple[float, ...]

    @property
    def all(self) -> Floats:
        """All of them, ``(n + len(extra),)``."""
        return np.concatenate([self.grid, self.extra])

    def position(self, value: float) -> int:
        """Return where an extra threshold stands in :attr:`all`."""
        return len(self.grid) + self.extra.index(value)


@dataclass(frozen=True)
class SplitScores:
    """Overlaps of a split under ``choe2020``.

    Attributes:
        single: ``(N, n + extra)`` IoU of the single-contour box with the best true box.
        multi: ``(N, n + extra)`` best IoU over the boxes of all contours.
        boxes: ``(N, 4)`` int64 single-contour box at the asked-for threshold, on the 224x224 grid.
        pixels: foreground and background counts over the grid, summed over images; None without masks.
    """

    single: Floats
    multi: Floats
    boxes: NDArray[np.int64]
    pixels: tuple[NDArray[np.int64], NDArray[np.int64]] | None


@dataclass(frozen=True)
class _ImageScores:
    single: Floats
    multi: Floats
    box: NDArray[np.int64]
    pixels: tuple[NDArray[np.int64], NDArray[np.int64]] | None


def score_split(
    stored: StoredMaps | StoredBoxes,
    split: Split,
    image_root: Path,
    thresholds: Thresholds,
    box_at: int,
    jobs: int,
) -> SplitScores:
    """Score every map, or box, of a split against its truth.

    Args:
        stored: maps or boxes, one per image of ``split``, in its order. A box is the same at every threshold.
        split: with truth; if all its images have masks, pixels are counted too.
        image_root: folder that mask paths are relative to.
        thresholds: where to cut.
        box_at: position in ``thresholds.all`` of the threshold whose boxes are kept.
        jobs: parallel processes.

    Raises:
        DataError: a map cannot be scored; the image is named.
    """
    if isinstance(stored, StoredBoxes):
        return _score_boxes(stored, split, len(thresholds.all))
    tasks = [(raw, item, split.truth(item.id)) for raw, item in zip(stored.maps, split.items, strict=True)]
    masked = all(truth.masks for _, _, truth in tasks)
    parallel = Parallel(n_jobs=jobs if len(tasks) >= _PARALLEL_FROM else 1, return_as="generator")
    calls = (delayed(_score)(*task, image_root if masked else None, thresholds, box_at) for task in tasks)
    scores = list(track(parallel(calls), f"scoring {split.name}", len(tasks), "images"))
    return SplitScores(
        np.stack([score.single for score in scores]),
        np.stack([score.multi for score in scores]),
        np.stack([score.box for score in scores]),
        _summed([score.pixels for score in scores]),
    )


def _score(
    raw: NDArray[np.float32], item: Item, truth: Truth, mask_root: Path | None, thresholds: Thresholds, box_at: int
) -> _ImageScores:
    try:
        score_map = upsample_and_normalise(raw, SIDE, SIDE)
        found = candidates(score_map, thresholds.all)
    except DataError as error:
        raise DataError(f"image '{item.id}': {error}") from None
    single, multi = best_ious(found, _true_boxes(item, truth))
    pixels = None
    if mask_root is not None and truth.masks:
        ignored = read_mask(mask_root / truth.ignore) if truth.ignore else None
        coded = code_masks([read_mask(mask_root / mask) for mask in truth.masks], ignored)
        pixels = histograms(score_map, coded, thresholds.grid)
    return _ImageScores(single, multi, found.single[found.level[box_at]], pixels)


def _score_boxes(stored: StoredBoxes, split: Split, thresholds: int) -> SplitScores:
    overlaps, boxes = [], []
    for box, item in zip(stored.boxes, split.items, strict=True):
        predicted = np.minimum(scaled_boxes(box[None], item.width, item.height), SIDE - 1)
        overlaps.append(box_ious(predicted, _true_boxes(item, split.truth(item.id))).max())
        boxes.append(predicted[0])
    everywhere = np.broadcast_to(np.array(overlaps)[:, None], (len(overlaps), thresholds))
    return SplitScores(everywhere, everywhere, np.stack(boxes), None)


def _true_boxes(item: Item, truth: Truth) -> NDArray[np.int64]:
    if len(truth.boxes) == 0:
        raise DataError(f"image '{item.id}' has a mask but no box, which box metrics need; give the data set one")
    return scaled_boxes(truth.boxes, item.width, item.height)


def _summed(
    counts: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]] | None],
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    present = [pair for pair in counts if pair is not None]
    if not present:
        return None
    foreground, background = np.sum(present, axis=0)
    return foreground, background
