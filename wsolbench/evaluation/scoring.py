"""Score a split: every map, or box, against the truth of its image, at every threshold and under every protocol.

Images are scored in blocks, in parallel. What is summed over images is summed where it is made; of each image is kept
what its row of results needs: its boxes by the thresholds at which they change, and its pixels by kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from wsolbench.config.settings import EvaluateSettings
from wsolbench.data.dataset import Item, Split, Truth
from wsolbench.data.scoremaps import upsample
from wsolbench.errors import DataError
from wsolbench.evaluation.accuracy import IOUS
from wsolbench.evaluation.boxes import candidates, check_score_map
from wsolbench.evaluation.map_files import MapFile
from wsolbench.evaluation.normalisation import normalise
from wsolbench.evaluation.protocols import CHOE2020, PIXEL, SIDE, Boxes, threshold_grid
from wsolbench.evaluation.pxap import coded_masks, histograms, pixels_over_thresholds
from wsolbench.runs.progress import meter

__all__ = ["Answer", "BoxRuns", "Rules", "SplitScores", "score_image", "score_split"]

Floats = NDArray[np.float64]
Counts = NDArray[Any]

_BLOCK = 32  # images that a process scores at a time
_PARALLEL_FROM = 100  # images; below, starting processes costs more than it saves


def _nothing() -> NDArray[Any]:
    return np.zeros(0, np.int64)


Answer = NDArray[np.floating[Any]] | MapFile
"""What is scored of an image: its raw map, ``(h, w)``, or where to read it; or a half-open box, ``(4,)``, in pixels of
the image, which is the same at every threshold."""


@dataclass(frozen=True)
class Rules:
    """How maps are scored.

    Attributes:
        grid: ``(n,)`` thresholds ascending from 0; what sweeps, maxima and PxAP are over.
        extra: thresholds that are asked for by value, whether on the grid or not.
        normalisations: what the map is scored under in addition to min-max, with ``choe2020``.
        ivr_percentile: see :func:`wsolbench.evaluation.normalisation.normalise`.
        as_they_are: maps are on the grid and in [0, 1] already, and nothing is done to them.
    """

    grid: Floats
    extra: tuple[float, ...] = ()
    normalisations: tuple[str, ...] = ()
    ivr_percentile: float = 35
    as_they_are: bool = False

    @classmethod
    def of(cls, settings: EvaluateSettings, published: float | None = None, *, as_they_are: bool = False) -> Rules:
        """Return the rules of ``params.yaml``; ``published`` is a threshold that a source states, or None."""
        extra = (settings.fixed_threshold, *(() if published is None else (published,)))
        names, grid = tuple(settings.normalisations), threshold_grid(settings.threshold_step)
        return cls(grid, extra, names, settings.ivr_percentile, as_they_are)

    @property
    def thresholds(self) -> Floats:
        """The thresholds of the sweep, then the single ones at their exact values, ``(T,)``."""
        return np.concatenate([self.grid, self.extra])

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of what boxes are scored under: the protocols, then normalisations under ``choe2020``."""
        return CHOE2020.name, PIXEL.name, *self.normalisations


@dataclass(frozen=True)
class BoxRuns:
    """One box per image and threshold, as runs of equal ones along the thresholds.

    Attributes:
        counts: ``(N,)`` runs of each image.
        first: ``(R,)`` position of the threshold with which a run begins.
        boxes: ``(R, 4)`` its box.
    """

    counts: NDArray[np.int64]
    first: NDArray[np.int64]
    boxes: Boxes

    @classmethod
    def of(cls, drawn: Boxes) -> BoxRuns:
        """Return the runs of one image's boxes at all thresholds, ``(T, 4)``."""
        first = np.flatnonzero(np.append(True, (drawn[1:] != drawn[:-1]).any(1)))
        return cls(np.array([len(first)]), first, drawn[first])

    def at(self, place: int) -> Boxes:
        """Return each image's box at a threshold, ``(N, 4)``."""
        images = np.arange(len(self.counts))
        span = max(int(self.first.max(initial=0)), place) + 1
        begins = np.repeat(images, self.counts) * span + self.first
        found: Boxes = self.boxes[np.searchsorted(begins, images * span + place, side="right") - 1]
        return found


@dataclass(frozen=True)
class SplitScores:
    """The scores of ``N`` images at ``T`` thresholds, under ``C`` columns (see :attr:`Rules.columns`).

    Attributes:
        areas: ``(N,)`` of the largest true box (of the mask where there is no box), as a share of the image.
        columns: their names.
        hits: ``(C, 2, 3, T)`` images whose largest component's box (0), or whose best box (1), reaches each overlap of
            ``IOUS``; empty without true boxes.
        bits: ``(N, 4, ceil(n / 8))`` packed, under ``choe2020``: at which thresholds of the grid the largest
            component's box reaches 0.5, and the best one each of ``IOUS``; empty likewise.
        drawn: the largest component's box, by protocol; empty likewise, except for boxes.
        histograms: ``(C - 1, 2, n + 2)`` foreground and background scores over the grid, under min-max and the other
            normalisations; empty without masks, and for boxes.
        of_images: ``(N, 2, n + 2)`` uint16, those of each image under min-max; empty likewise.
        pixels: ``(N, T, 4)`` uint16, see :func:`.pxap.pixels_over_thresholds`; empty without masks.
    """

    areas: Floats
    columns: tuple[str, ...]
    hits: Counts = field(default_factory=_nothing)
    bits: NDArray[np.uint8] = field(default_factory=_nothing)
    drawn: Mapping[str, BoxRuns] = field(default_factory=dict)
    histograms: Counts = field(default_factory=_nothing)
    of_images: Counts = field(default_factory=_nothing)
    pixels: Counts = field(default_factory=_nothing)

    @property
    def images(self) -> int:
        """Number of images."""
        return len(self.areas)

    @property
    def boxed(self) -> bool:
        """Whether boxes were scored."""
        return self.hits.size > 0

    @property
    def masked(self) -> bool:
        """Whether pixels were scored."""
        return self.pixels.size > 0

    def histogram(self, column: str) -> Counts:
        """Return the scores of all pixels under min-max (``choe2020``) or another normalisation, ``(2, n + 2)``."""
        names = [name for name in self.columns if name != PIXEL.name]
        return self.histograms[names.index(column)] if self.histograms.size else self.histograms

    def shares(self, place: int) -> Floats:
        """Return each image's pixels by kind as shares of their union, ``(N, 4)``, at a threshold; all 0 if empty."""
        pixels = self.pixels[:, place].astype(np.int64)
        return np.asarray(pixels / np.maximum(pixels.sum(1, keepdims=True), 1))


def score_split(answers: Sequence[Answer], split: Split, rules: Rules, jobs: int) -> SplitScores:
    """Score maps, or boxes, against the truth of a split.

    Args:
        answers: one per image of ``split``, in its order; all maps or all boxes.
        split: with truth. Boxes are scored if any image has one, and then all must; pixels if all images have masks.
        rules: how.
        jobs: parallel processes.

    Raises:
        DataError: a map cannot be scored, or an image has no box where others do; the image is named.
    """
    truths = [split.truth(item.id) for item in split.items]
    _check_boxes(split.items, truths)
    masked = all(truth.masks for truth in truths)
    tasks = list(zip(answers, split.items, truths, strict=True))
    # The first image is scored here, so that the kernels are compiled and stored before processes want them.
    first, *blocks = [tasks[:1], *(tasks[start : start + _BLOCK] for start in range(1, len(tasks), _BLOCK))]
    parallel = Parallel(jobs if len(tasks) >= _PARALLEL_FROM else 1, return_as="generator", pre_dispatch="2*n_jobs")
    with meter(f"scoring {split.name}", len(tasks), "images") as shown:
        scored = [_score_block(first, rules, masked)] if first else []

        def parts() -> Iterator[SplitScores]:
            yield from scored
            for part in parallel(delayed(_score_block)(block, rules, masked) for block in blocks):
                yield part
                shown.advance(part.images)

        return _united(parts(), rules)


def _check_boxes(items: Sequence[Item], truths: Sequence[Truth]) -> None:
    if any(len(truth.boxes) for truth in truths):
        for item, truth in zip(items, truths, strict=True):
            if not len(truth.boxes):
                raise DataError(
                    f"image '{item.id}' has no box, and other images of its split have one; give it a box, or take all "
                    "boxes away to score by masks alone"
                )


def _score_block(block: Sequence[tuple[Answer, Item, Truth]], rules: Rules, masked: bool) -> SplitScores:
    return _united((score_image(*task, rules, masked=masked) for task in block), rules)


def _united(parts: Iterable[SplitScores], rules: Rules) -> SplitScores:
    """Put the scores of images together: what is of all is added up as it comes, what is of each is joined at last."""
    hits = histograms = np.zeros((), np.int64)
    every: list[SplitScores] = []
    for part in parts:
        hits, histograms = hits + part.hits, histograms + part.histograms
        every.append(replace(part, hits=_nothing(), histograms=_nothing()))
    if not every:
        return SplitScores(np.zeros(0), rules.columns)
    names = ("areas", "bits", "drawn", "of_images", "pixels")
    joined = {name: _joined([getattr(part, name) for part in every]) for name in names}
    return SplitScores(columns=rules.columns, hits=hits, histograms=histograms, **joined)


def _joined(values: Sequence[Any]) -> Any:
    first = values[0]
    if isinstance(first, dict):
        return {name: _joined([value[name] for value in values]) for name in first}
    if isinstance(first, BoxRuns):
        return BoxRuns(*(_joined([getattr(value, part) for value in values]) for part in vars(first)))
    return np.concatenate(values)


def score_image(answer: Answer, item: Item, truth: Truth, rules: Rules, *, masked: bool = True) -> SplitScores:
    """Score a map, or a box, against the truth of its image.

    Raises:
        DataError: the map cannot be scored; the image is named.
    """
    coded = coded_masks(truth) if masked and truth.masks else None
    true = {each.name: each.true_boxes([item], [truth]).boxes for each in (CHOE2020, PIXEL)} if len(truth.boxes) else {}
    if isinstance(answer, np.ndarray) and answer.ndim == 1:
        found = _of_box(answer, item, true, coded, rules)
    else:
        try:
            maps = _score_maps(answer if isinstance(answer, np.ndarray) else answer.read(), rules)
        except DataError as error:
            raise DataError(f"image '{item.id}': {error}") from None
        found = _of_maps(maps, true, coded, rules)
    if len(truth.boxes):
        area = float((truth.boxes[:, 2:] - truth.boxes[:, :2]).prod(1).max() / (item.width * item.height))
    else:
        area = float("nan") if coded is None else float((coded == 1).mean())
    return SplitScores(np.array([area]), rules.columns, **found)


def _score_maps(raw: NDArray[np.floating[Any]], rules: Rules) -> Floats:
    """Return a map on the grid under min-max and all other normalisations, ``(C - 1, 224, 224)``."""
    upsampled = raw.astype(np.float64) if rules.as_they_are else upsample(raw, SIDE, SIDE)
    maps = normalise(upsampled, ("min_max", *rules.normalisations), rules.ivr_percentile)
    if rules.as_they_are:
        maps[0] = upsampled
    check_score_map(maps[0])
    return maps


def _of_maps(maps: Floats, true: Mapping[str, Boxes], coded: NDArray[np.uint8] | None, rules: Rules) -> dict[str, Any]:
    """Return what :class:`SplitScores` holds of one image, from its map under all normalisations."""
    found: dict[str, Any] = {}
    if true:
        contours, pieces = candidates(maps, rules.thresholds)
        of_maps = np.array(contours.best_ious(CHOE2020, true[CHOE2020.name])).reshape(2, len(maps), -1)
        overlaps = np.insert(of_maps, 1, np.array(pieces.best_ious(PIXEL, true[PIXEL.name])), axis=1)
        count = len(rules.thresholds)
        drawn = {CHOE2020.name: contours.single[contours.cut[:count]], PIXEL.name: pieces.single[pieces.cut]}
        found = _boxes(drawn, overlaps, rules)
    if coded is not None:
        counts = np.stack([histograms(each, coded, rules.grid) for each in maps])
        found |= {"histograms": counts, "of_images": counts[:1].astype(np.uint16)}
        found["pixels"] = pixels_over_thresholds(maps[0], coded, rules.thresholds)[None].astype(np.uint16)
    return found


def _of_box(
    box: NDArray[np.floating[Any]], item: Item, true: Mapping[str, Boxes], coded: NDArray[np.uint8] | None, rules: Rules
) -> dict[str, Any]:
    """Return the same from a box that is there without a map; as pixels, it is filled."""
    drawn = {
        each.name: each.on_grid(box[None].astype(np.float64), item.width, item.height) for each in (CHOE2020, PIXEL)
    }
    drawn[CHOE2020.name] = np.minimum(drawn[CHOE2020.name], SIDE - 1)
    everywhere = len(rules.thresholds)
    ious = [each.best_ious(drawn[each.name], true[each.name]) for each in (CHOE2020, PIXEL)] if true else []
    found = _boxes(drawn, np.broadcast_to(np.array(ious), (2, len(ious), everywhere)) if ious else None, rules)
    if coded is not None:
        filled = np.zeros((SIDE, SIDE))
        x0, y0, x1, y1 = np.rint(box * SIDE / np.array([item.width, item.height] * 2)).astype(int).tolist()
        filled[y0:y1, x0:x1] = 1
        pixels = pixels_over_thresholds(filled, coded, np.array([0.5])).astype(np.uint16)
        found["pixels"] = np.broadcast_to(pixels, (1, everywhere, pixels.shape[1]))
    return found


def _boxes(drawn: Mapping[str, Boxes], overlaps: Floats | None, rules: Rules) -> dict[str, Any]:
    """Return what is kept of one image's boxes.

    Args:
        drawn: its largest component's box by protocol, ``(T, 4)``, or one for all thresholds.
        overlaps: ``(2, C, T)`` of that box, and the best of all boxes; None without true boxes.
        rules: how they were found.
    """
    runs = {name: BoxRuns.of(boxes) for name, boxes in drawn.items()}
    if overlaps is None:
        return {"drawn": runs}
    reached = np.stack([overlaps >= iou / 100 for iou in IOUS], axis=2).swapaxes(0, 1)
    kept = np.concatenate([reached[0, 0, 1:2], reached[0, 1]])[:, : len(rules.grid)]
    return {"drawn": runs, "hits": reached.astype(np.int32), "bits": np.packbits(kept, axis=1)[None]}
