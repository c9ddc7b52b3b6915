"""From the scores of val and test to the numbers of a run, each protocol by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from wsolbench.data.dataset import Split
from wsolbench.evaluation.accuracy import IOUS, choose_threshold, classified, max_box_acc_v2, percent, share
from wsolbench.evaluation.misses import MISSES, SIZES, kinds_of_misses, sizes_of
from wsolbench.evaluation.protocols import CHOE2020, PIXEL, Boxes, Protocol, TrueBoxes
from wsolbench.evaluation.pxap import PIXEL_KINDS, curve
from wsolbench.evaluation.scoring import Counts, Rules, SplitScores

__all__ = ["AT", "Scored", "mask_ious", "numbers"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
T = TypeVar("T")

AT = ("fixed", "val", "oracle")
"""How a threshold was chosen: the same for all, on val, or on test itself."""

_NAMES = (*AT, "published")
_NO_V2: dict[str, float | None] = dict.fromkeys((*(f"iou{iou}" for iou in IOUS), "mean"))
_FIVE = 5  # guesses of Top-5
_NEAR_PEAK = 0.95


@dataclass(frozen=True)
class Scored:
    """What the numbers of a run are made from.

    Attributes:
        test: scores of the test split.
        val: scores of val; None where it is empty.
        split: the test split, with truth.
        top5: ``(N, k)`` guesses at its classes, best first; ``(N, 0)`` if nothing was classified.
        rules: by which both were scored: the fixed threshold is the first extra one, a published one the second.
        swept: False for boxes, which have no threshold.
    """

    test: SplitScores
    val: SplitScores | None
    split: Split
    top5: NDArray[np.int64]
    rules: Rules
    swept: bool = True

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """True classes, ``(N,)``."""
        return np.array([item.label for item in self.split.items], np.int64)

    @cached_property
    def classes(self) -> tuple[Flags, Flags | None] | None:
        """Which images are right at the first guess and within five; None for what was not classified so far."""
        found = classified(self.top5, self.labels)
        if found is None or self.top5.shape[1] >= min(_FIVE, self.split.num_classes):
            return found
        return found[0], None

    @cached_property
    def true_boxes(self) -> dict[str, TrueBoxes]:
        """The true boxes of the test split by protocol."""
        truths = [self.split.truth(item.id) for item in self.split.items]
        return {each.name: each.true_boxes(self.split.items, truths) for each in (CHOE2020, PIXEL)}

    def on_grid(self, values: NDArray[Any]) -> NDArray[Any]:
        """Leave out the thresholds that are not part of the sweep."""
        return values[..., : len(self.rules.grid)]

    def accuracy(self, scores: SplitScores, column: str, iou: int, *, multi: bool = False) -> Floats:
        """BoxAcc at all thresholds, percent."""
        return percent(scores.hits[scores.columns.index(column), int(multi), IOUS.index(iou)], scores.images)

    def places(self, column: str = CHOE2020.name) -> dict[str, int]:
        """Positions of the thresholds of a column of boxes, by how they were chosen; none without true boxes."""
        return self._places(lambda scores: self.accuracy(scores, column, 50) if scores.boxed else None)

    @cached_property
    def mask_places(self) -> dict[str, int]:
        """The same for masks: the highest mean overlap chooses."""
        return self._places(lambda scores: mask_ious(scores) if scores.masked else None)

    def _places(self, accuracy: Callable[[SplitScores], Floats | None]) -> dict[str, int]:
        test, val = accuracy(self.test), None if self.val is None else accuracy(self.val)
        if test is None:
            return {}
        named = ("fixed", "published")[: len(self.rules.extra)]
        places = {name: len(self.rules.grid) + k for k, name in enumerate(named)}
        if val is not None:
            places["val"] = choose_threshold(self.on_grid(val))
        return places | {"oracle": choose_threshold(self.on_grid(test))}

    def drawn(self, place: int) -> Boxes:
        """Return the box of each image under ``choe2020``, ``(N, 4)`` int64."""
        return self.test.drawn[CHOE2020.name].at(place).astype(np.int64)

    def ious(self, protocol: Protocol, place: int) -> Floats:
        """Return the IoU of each image's box with the best true box, ``(N,)``."""
        return protocol.best_ious_of(self.test.drawn[protocol.name].at(place), self.true_boxes[protocol.name])

    def misses(self, place: int) -> NDArray[np.str_]:
        """Return what is wrong with each image's box; see :func:`~wsolbench.evaluation.misses.kinds_of_misses`."""
        return kinds_of_misses(self.drawn(place), self.true_boxes[CHOE2020.name])


def mask_ious(scores: SplitScores) -> Floats:
    """Return the mean overlap with the masks at all thresholds, ``(T,)``, times the number of images."""
    total = np.zeros(scores.pixels.shape[1])
    for pixels in scores.pixels.astype(np.int64):
        total += pixels[:, 0] / np.maximum(pixels.sum(1), 1)
    return total


def numbers(scored: Scored) -> dict[str, Any]:
    """Return all numbers of a run, percent or None, as ``results/metrics`` has them."""
    first, five = scored.classes or (None, None)
    boxes = _boxes(scored, CHOE2020)
    if scored.test.masked and not scored.test.boxed:
        boxes["threshold"] = _values(scored, scored.mask_places)
    return {
        "images": {"val": 0 if scored.val is None else scored.val.images, "test": scored.test.images},
        "cls": {"top1": _mean(first), "top5": _mean(five)},
        **boxes,
        "px_ap": px_ap(scored.test.histogram(CHOE2020.name)),
        "px_ap_per_class": _px_ap_per_class(scored),
        **_masks(scored),
        "by_size": _by_size(scored),
        "misses": _at(scored.places(), lambda place: _shares_of_kinds(scored.misses(place))),
        "pixel_errors": _at(scored.mask_places, lambda place: _pixel_errors(scored.test.shares(place))),
        "pixel": _boxes(scored, PIXEL),
        "normalisation": {name: _normalisation(scored, name) for name in scored.test.columns[2:] if scored.test.images},
    }


def px_ap(histogram: Counts) -> float | None:
    """Return PxAP of a split in percent; None without masks."""
    return curve(histogram).px_ap if histogram.size else None


def _at(places: Mapping[str, int], value: Callable[[int], T], names: tuple[str, ...] = AT) -> dict[str, T | None]:
    """Return a number at each threshold; None for those that there are not."""
    return {name: value(places[name]) if name in places else None for name in names}


def _mean(flags: Flags | None) -> float | None:
    return None if flags is None else float(flags.mean() * 100)


def _boxes(scored: Scored, protocol: Protocol) -> dict[str, Any]:
    places = scored.places(protocol.name)
    if not places:
        return {
            **{name: dict.fromkeys(_NAMES) for name in ("threshold", "gt_known", "top1_loc", "top5_loc", "mean_iou")},
            **dict.fromkeys(("max_box_acc", "regret", "peak_width")),
            **dict.fromkeys(("max_box_acc_v2", "max_box_acc_v2_val"), _NO_V2),
        }
    first, five = scored.classes or (None, None)
    ious = {place: scored.ious(protocol, place) for place in places.values()}

    def loc(classes: Flags | None) -> dict[str, float | None]:
        right = np.zeros(0, bool) if classes is None else classes
        return _at({} if classes is None else places, lambda place: share((ious[place] >= 0.5) & right), _NAMES)

    gt_known = loc(np.ones(scored.test.images, bool))
    oracle, val = gt_known["oracle"], gt_known["val"]
    return {
        "threshold": _values(scored, places),
        "gt_known": gt_known,
        "top1_loc": loc(first),
        "top5_loc": loc(five),
        "mean_iou": _at(places, lambda place: float(ious[place].mean() * 100), _NAMES),
        "max_box_acc": oracle,
        "regret": oracle - val if oracle is not None and val is not None and scored.swept else None,
        "peak_width": _peak_width(scored, protocol.name),
        "max_box_acc_v2": _v2(scored, protocol.name),
        "max_box_acc_v2_val": _v2_at_val(scored, protocol.name),
    }


def _values(scored: Scored, places: Mapping[str, int], names: tuple[str, ...] = _NAMES) -> dict[str, float | None]:
    thresholds = scored.rules.thresholds
    return _at(places if scored.swept else {}, lambda place: float(thresholds[place]), names)


def _v2_accuracies(scored: Scored, scores: SplitScores, column: str) -> dict[int, Floats]:
    return {iou: scored.on_grid(scored.accuracy(scores, column, iou, multi=True)) for iou in IOUS}


def _v2(scored: Scored, column: str) -> dict[str, float]:
    return max_box_acc_v2(_v2_accuracies(scored, scored.test, column))


def _v2_at_val(scored: Scored, column: str) -> Mapping[str, float | None]:
    if scored.val is None or not scored.val.boxed:
        return _NO_V2
    of_val = _v2_accuracies(scored, scored.val, column)
    chosen = {iou: choose_threshold(accuracies) for iou, accuracies in of_val.items()}
    return max_box_acc_v2(_v2_accuracies(scored, scored.test, column), chosen)


def _peak_width(scored: Scored, column: str) -> float | None:
    """Share of the thresholds at which BoxAcc is at least 95 % of its peak, percent; None if it is always 0."""
    accuracies = scored.on_grid(scored.accuracy(scored.test, column, 50))
    if not scored.swept or accuracies.max() == 0:
        return None
    return float((accuracies >= _NEAR_PEAK * accuracies.max()).mean() * 100)


def _normalisation(scored: Scored, name: str) -> dict[str, Any]:
    places = scored.places(name)
    hits = scored.accuracy(scored.test, name, 50) if places else np.zeros(0)
    gt_known = _at(places, lambda place: float(hits[place]))
    return {
        "gt_known": gt_known,
        "max_box_acc": gt_known["oracle"],
        "max_box_acc_v2": _v2(scored, name)["mean"] if places else None,
        "px_ap": px_ap(scored.test.histogram(name)),
    }


def _px_ap_per_class(scored: Scored) -> float | None:
    """Return the mean of PxAP over the classes that have a foreground pixel, percent; None without masks."""
    of_images, labels = scored.test.of_images, scored.labels
    if not of_images.size:
        return None
    by_class = (of_images[labels == label].sum(0, np.int64) for label in dict.fromkeys(labels.tolist()))
    return float(np.mean([curve(counts).px_ap for counts in by_class if counts[0].any()]))


def _masks(scored: Scored) -> dict[str, Any]:
    places, test = scored.mask_places, scored.test
    pooled = test.pixels.sum(0, np.int64)
    ious = mask_ious(test) if places else np.zeros(0)
    return {
        "p_iou": _at(places, lambda place: float(ious[place] * 100 / test.images)),
        "p_iou_pooled": _at(places, lambda place: float(pooled[place, 0] / max(pooled[place].sum(), 1) * 100)),
        "p_iou_threshold": _values(scored, places, AT),
    }


def _pixel_errors(shares: Floats) -> dict[str, float]:
    """Return what overlaps with masks lack, percent of the union, mean over images; with pIoU they add up to 100."""
    return dict(zip(PIXEL_KINDS[1:], (shares.mean(0) * 100)[1:].tolist(), strict=True))


def _by_size(scored: Scored) -> dict[str, Any]:
    sizes, found = sizes_of(scored.test.areas), {}
    for size in SIZES:
        chosen = sizes == size
        boxes, masks = (scored.places(), scored.mask_places) if chosen.any() else ({}, {})

        def gt_known(place: int, chosen: Flags = chosen) -> float:
            return float((scored.ious(CHOE2020, place)[chosen] >= 0.5).mean() * 100)

        def p_iou(place: int, chosen: Flags = chosen) -> float:
            return float(scored.test.shares(place)[chosen, 0].mean() * 100)

        found[size] = {"images": int(chosen.sum()), "gt_known": _at(boxes, gt_known), "p_iou": _at(masks, p_iou)}
    return found


def _shares_of_kinds(kinds: NDArray[np.str_]) -> dict[str, float]:
    return {kind: 100 * int((kinds == kind).sum()) / len(kinds) for kind in MISSES}
