"""Score one map against its truth: overlaps at every threshold, pixel counts, under every protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wsolbench.data.dataset import Item, Truth
from wsolbench.data.scoremaps import normalise, upsample
from wsolbench.errors import DataError
from wsolbench.evaluation import choe2020, joint, pixel
from wsolbench.evaluation.candidates import Candidates
from wsolbench.evaluation.choe2020 import SIDE
from wsolbench.evaluation.pxap import code_masks, histograms, pixels_over_thresholds

__all__ = [
    "CHOE2020",
    "PIXEL",
    "ImageScores",
    "MapFile",
    "Overlaps",
    "Rules",
    "Thresholds",
    "coded_masks",
    "object_share",
    "score_image",
]

Floats = NDArray[np.float64]
Counts = tuple[NDArray[np.int64], NDArray[np.int64]]

CHOE2020, PIXEL = "choe2020", "pixel"
"""Names of the two box protocols."""


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
class Rules:
    """How maps are scored.

    Attributes:
        thresholds: where to cut.
        normalisations: what the map is scored under in addition to min-max, with ``choe2020``.
        ivr_percentile: see :func:`wsolbench.data.scoremaps.normalise`.
        as_they_are: maps are on the grid and in [0, 1] already, and nothing is done to them.
    """

    thresholds: Thresholds
    normalisations: tuple[str, ...] = ()
    ivr_percentile: float = 35
    as_they_are: bool = False


class MapFile(Protocol):
    """A map that is read when it is scored."""

    def read(self) -> NDArray[np.floating[Any]]:
        """Return the ``(h, w)`` map."""


@dataclass(frozen=True)
class Overlaps:
    """Overlaps of one map's boxes with the truth at every threshold.

    Attributes:
        single: ``(n + extra,)`` IoU of the largest component's box with the best true box.
        multi: ``(n + extra,)`` best IoU over the boxes of all components (and holes, under ``choe2020``).
        boxes: ``(n + extra, 4)`` int16, the largest component's, on the 224x224 grid.
    """

    single: Floats
    multi: Floats
    boxes: NDArray[np.int16]


@dataclass(frozen=True)
class ImageScores:
    """All that is known about one map.

    Attributes:
        boxes: overlaps by protocol, and by normalisation for the additional ones; empty without true boxes.
        pixels: histograms of foreground and background scores over the grid, by normalisation, min-max as
            ``choe2020``; empty without a mask.
        mask: ``(n + extra, 4)`` pixels by kind; see :func:`~wsolbench.evaluation.pxap.pixels_over_thresholds`; None
            without a mask.
        area: of the largest true box (of the mask where there is no box), as a share of the image.
    """

    boxes: dict[str, Overlaps]
    pixels: dict[str, Counts]
    mask: NDArray[np.int64] | None
    area: float


def score_image(
    source: NDArray[np.floating[Any]] | MapFile, item: Item, truth: Truth, mask_root: Path | None, rules: Rules
) -> ImageScores:
    """Score a map.

    Args:
        source: the raw map, of any size, or where to read it.
        item: its image.
        truth: with at least one box or mask.
        mask_root: folder that mask paths are relative to; None leaves masks alone.
        rules: how.

    Raises:
        DataError: the map cannot be scored, or a mask not read; the image or the file is named.
    """
    raw = source if isinstance(source, np.ndarray) else source.read()
    try:
        upsampled = raw.astype(np.float64) if rules.as_they_are else upsample(raw, SIDE, SIDE)
        score_map = upsampled if rules.as_they_are else normalise(upsampled)
        choe2020.check_score_map(score_map)
    except DataError as error:
        raise DataError(f"image '{item.id}': {error}") from None
    coded = None if mask_root is None or not truth.masks else coded_masks(truth)
    maps = {CHOE2020: score_map} | {
        name: normalise(upsampled, name, ivr_percentile=rules.ivr_percentile) for name in rules.normalisations
    }
    boxes = _overlaps(maps, item, truth, rules) if len(truth.boxes) else {}
    pixels = {} if coded is None else {name: histograms(maps[name], coded, rules.thresholds.grid) for name in maps}
    mask = None if coded is None else pixels_over_thresholds(score_map, coded, rules.thresholds.all)
    return ImageScores(boxes, pixels, mask, object_share(item, truth, coded))


def coded_masks(truth: Truth) -> NDArray[np.uint8]:
    """Merge an image's masks: see :func:`wsolbench.evaluation.pxap.code_masks`."""
    return code_masks(truth.object_masks(), truth.ignored())


def object_share(item: Item, truth: Truth, coded: NDArray[np.uint8] | None) -> float:
    """Return the area of the largest true box, or of the mask where there is no box, as a share of the image."""
    if len(truth.boxes):
        sides = truth.boxes[:, 2:] - truth.boxes[:, :2]
        return float(sides.prod(1).max() / (item.width * item.height))
    return float("nan") if coded is None else float((coded == 1).mean())


def _overlaps(maps: Mapping[str, Floats], item: Item, truth: Truth, rules: Rules) -> dict[str, Overlaps]:
    """Return the overlaps of each normalisation's boxes under ``choe2020``, and of the first's under ``pixel``."""
    contours, pieces = joint.candidates(list(maps.values()), rules.thresholds.all)
    ious = choe2020.best_ious(contours, choe2020.true_boxes(truth, item))
    by_name = (each.reshape(len(maps), -1, *each.shape[1:]) for each in (*ious, _drawn(contours)))
    found = {name: Overlaps(*each) for name, *each in zip(maps, *by_name, strict=True)}
    scaled = pixel.scaled_boxes(truth.boxes, item.width, item.height)
    return found | {PIXEL: Overlaps(*pixel.best_ious(pieces, scaled), _drawn(pieces))}


def _drawn(found: Candidates) -> NDArray[np.int16]:
    return found.single.astype(np.int16)[found.cut]
