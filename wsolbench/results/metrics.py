"""Every number of a run, declared once: its name, what it means, its unit, and the protocol that it belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from wsolbench.results.schema import RunResult

__all__ = ["METRICS", "RULES", "Metric", "metrics_named"]

RULES = {
    "fixed": "the fixed threshold, the same for all methods",
    "val": "the threshold chosen on `val`",
    "oracle": "the threshold that is best on the test split itself: an upper bound",
    "published": "the threshold that the method's source states",
}
"""How a threshold is chosen, by the last part of a metric's name."""

_DECIMALS = {"%": 1, "points": 1, "threshold": 3, "images": 0}


@dataclass(frozen=True)
class Metric:
    """One number of a run.

    Attributes:
        name: place in the metrics file, a dot per level: ``gt_known.val``.
        heading: of a table's column or a plot's axis; names the protocol.
        meaning: one sentence for people.
        unit: ``%`` of the test images (PxAP: of the largest area under the curve; pIoU: of the union), ``points`` of
            percent, ``threshold`` in [0, 1], or ``images``.
        protocol: ``choe2020`` and ``pixel`` of boxes; ``masks``; ``classification``.
        oracle: whether its threshold was chosen on the test split, so that it is an upper bound.
    """

    name: str
    heading: str
    meaning: str
    unit: Literal["%", "points", "threshold", "images"] = "%"
    protocol: Literal["choe2020", "pixel", "masks", "classification"] = "choe2020"
    oracle: bool = False

    @property
    def stem(self) -> str:
        """Start of its columns in CSV files: ``gt_known_val``."""
        return self.name.replace(".", "_")

    @property
    def decimals(self) -> int:
        """Digits after the point that people are shown."""
        return _DECIMALS[self.unit]

    @property
    def higher_is_better(self) -> bool | None:
        """Whether larger numbers are better; None where neither is."""
        if self.unit in {"threshold", "images"}:
            return None
        return self.unit == "%" and not self.name.startswith(("misses.", "pixel_errors."))

    def value(self, run: RunResult) -> float | None:
        """Return the number of a run, or None where it is not defined."""
        found: Any = run
        for part in self.name.split("."):
            found = None if found is None else getattr(found, part)
        return None if found is None else float(found)


_BOX = "the box around the largest contour of the true class's map has IoU >= 0.5 with a true box"
_SHARE = "share of the map's maximum"
_KINDS_OF_MISS = {
    "part": "a part of the object",
    "more": "more than the object",
    "multi_instance": "several objects",
    "background": "background",
    "other": "none of the others",
}
_KINDS_OF_PIXEL = {
    "missed": "pixels of the object that are below the threshold",
    "context": "pixels around the object that are above it",
    "background": "pixels far from the object that are above it",
}
_NORMALISATIONS = {
    "max": "maps divided by their maximum and clipped at 0",
    "percentile": "maps divided by the 99.5th percentile of their positive scores (PaS)",
    "ivr": "maps from their own percentile to their maximum (IVR)",
}
_SPLITS = ("fixed", "val", "oracle")


def _at(name: str, heading: str, meaning: str, keys: tuple[str, ...] = tuple(RULES), **kind: Any) -> Iterator[Metric]:
    for key in keys:
        where = f"{meaning}, at {RULES[key]}"
        yield Metric(f"{name}.{key}", f"{heading}, {key}", where, oracle=key == "oracle", **kind)


def _per_iou(name: str, heading: str, meaning: str, **kind: Any) -> Iterator[Metric]:
    yield Metric(f"{name}.mean", f"{heading} mean", f"{meaning}, mean over IoU 0.3, 0.5 and 0.7", **kind)
    for iou in (30, 50, 70):
        yield Metric(f"{name}.iou{iou}", f"{heading} IoU {iou}", f"{meaning}, at IoU 0.{iou // 10}", **kind)


def _v2(prefix: str, mark: str, contour: str, start: str, **kind: Any) -> Iterator[Metric]:
    """Declare MaxBoxAccV2 of a protocol at both kinds of threshold."""
    meaning = f"{start}any {contour}'s box reaches the IoU, at the"
    best, chosen = "best threshold on test for each IoU", "threshold chosen on `val` for each IoU"
    yield from _per_iou(
        f"{prefix}max_box_acc_v2", f"MaxBoxAccV2{mark}, oracle:", f"{meaning} {best}", oracle=True, **kind
    )
    yield from _per_iou(f"{prefix}max_box_acc_v2_val", f"MaxBoxAccV2{mark}, val:", f"{meaning} {chosen}", **kind)


def _normalised(name: str, how: str) -> Iterator[Metric]:
    stem = f"normalisation.{name}"
    yield from _at(f"{stem}.gt_known", f"GT-known ({name})", f"GT-known, {how}", _SPLITS)
    yield Metric(f"{stem}.max_box_acc", f"MaxBoxAcc ({name}), oracle", f"MaxBoxAcc, {how}", oracle=True)
    yield Metric(f"{stem}.max_box_acc_v2", f"MaxBoxAccV2 ({name}), oracle", f"MaxBoxAccV2 mean, {how}", oracle=True)
    yield Metric(f"{stem}.px_ap", f"PxAP ({name})", f"PxAP, {how}", protocol="masks")


def _of_size(size: str) -> Iterator[Metric]:
    yield Metric(f"by_size.{size}.images", f"{size} objects", f"test images whose objects are {size}", "images")
    yield from _at(f"by_size.{size}.gt_known", f"GT-known, {size}", f"GT-known of {size} objects", _SPLITS)
    yield from _at(f"by_size.{size}.p_iou", f"pIoU, {size}", f"pIoU of {size} objects", _SPLITS, protocol="masks")


def _declared() -> Iterator[Metric]:
    classes: Any = {"protocol": "classification"}
    masks: Any = {"protocol": "masks"}
    pixel: Any = {"protocol": "pixel"}
    yield Metric("cls.top1", "Top-1 Cls", "the image's class is the most probable one", **classes)
    yield Metric("cls.top5", "Top-5 Cls", "the image's class is among the five most probable ones", **classes)
    yield from _at("gt_known", "GT-known", _BOX)
    yield from _at("top1_loc", "Top-1 Loc", "GT-known and Top-1 Cls both hold")
    yield from _at("top5_loc", "Top-5 Loc", "GT-known and Top-5 Cls both hold")
    best = "GT-known at the threshold that is best on the test split itself"
    yield Metric("max_box_acc", "MaxBoxAcc, oracle", best, oracle=True)
    adds = "GT-known, oracle minus GT-known, val: what the oracle adds"
    yield Metric("regret", "regret", adds, "points", oracle=True)
    yield from _v2("", "", "contour", "")
    yield Metric("px_ap", "PxAP, all thresholds", "area under the precision-recall curve of all test pixels", **masks)
    yield Metric("px_ap_per_class", "PxAP, mean over classes", "PxAP of each class, averaged over classes", **masks)
    yield from _at("mean_iou", "mean IoU", "overlap of the box with the best true box, mean over images")
    width = "share of the thresholds at which BoxAcc is 95 % of its peak or more"
    yield Metric("peak_width", "width of the peak", width, oracle=True)
    overlap = "overlap of the pixels above the threshold with the mask"
    yield from _at("p_iou", "pIoU", f"{overlap}, mean over images", _SPLITS, **masks)
    yield from _at("p_iou_pooled", "pIoU, pooled", f"{overlap}, pixels of all images together", _SPLITS, **masks)
    yield from _at("pixel.gt_known", "GT-known (pixel)", f"protocol `pixel`: {_BOX}", **pixel)
    yield from _at("pixel.top1_loc", "Top-1 Loc (pixel)", "protocol `pixel`: GT-known and Top-1 Cls both hold", **pixel)
    yield from _at("pixel.top5_loc", "Top-5 Loc (pixel)", "protocol `pixel`: GT-known and Top-5 Cls both hold", **pixel)
    yield from _at(
        "pixel.mean_iou", "mean IoU (pixel)", "protocol `pixel`: overlap of the box, mean over images", **pixel
    )
    best = "protocol `pixel`: GT-known at the best threshold on test"
    yield Metric("pixel.max_box_acc", "MaxBoxAcc (pixel), oracle", best, oracle=True, **pixel)
    adds = "protocol `pixel`: what the oracle adds to GT-known, val"
    yield Metric("pixel.regret", "regret (pixel)", adds, "points", oracle=True, **pixel)
    yield Metric("pixel.peak_width", "width of the peak (pixel)", f"protocol `pixel`: {width}", oracle=True, **pixel)
    yield from _v2("pixel.", " (pixel)", "component", "protocol `pixel`: ", **pixel)
    for name, how in _NORMALISATIONS.items():
        yield from _normalised(name, how)
    for size in ("small", "medium", "large"):
        yield from _of_size(size)
    for at in _SPLITS:
        for kind, what in _KINDS_OF_MISS.items():
            meaning = f"test images whose box holds {what}, at {RULES[at]}"
            yield Metric(f"misses.{at}.{kind}", f"misses, {kind}, {at}", meaning, oracle=at == "oracle")
        for kind, what in _KINDS_OF_PIXEL.items():
            meaning = f"{what}, percent of the union with the mask, at {RULES[at]}"
            yield Metric(f"pixel_errors.{at}.{kind}", f"pixels, {kind}, {at}", meaning, oracle=at == "oracle", **masks)
    share: Any = {"unit": "threshold"}
    yield from _at("threshold", "threshold", _SHARE, **share)
    yield from _at("pixel.threshold", "threshold (pixel)", f"protocol `pixel`: {_SHARE}", **share, **pixel)
    yield from _at("p_iou_threshold", "threshold of pIoU", _SHARE, _SPLITS, **share, **masks)


METRICS: dict[str, Metric] = {metric.name: metric for metric in _declared()}
"""Every number of a metrics file by its name, in the order of the CSV tables."""


def metrics_named(*names: str) -> tuple[Metric, ...]:
    """Return the metrics with these names, in this order.

    Raises:
        KeyError: there is none of a name.
    """
    return tuple(METRICS[name] for name in names)
