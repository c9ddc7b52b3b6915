"""Every number of a run, declared once: its place in the metrics file, what it means, its unit, and its protocol."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal

__all__ = ["METRICS", "PROTOCOL_VERSION", "RULES", "Metric", "metrics_named"]

PROTOCOL_VERSION = "1.0"
"""Rises whenever a number changes that the same maps had before: major for a box protocol, a threshold rule or a
metric's definition, minor for anything smaller; a number that is only added does not change it. Results of different
versions share no table. Files that name none are of 1.0."""

RULES = {
    "fixed": "the fixed threshold, the same for all methods",
    "val": "the threshold chosen on `val`",
    "oracle": "the threshold that is best on the test split itself: an upper bound",
    "published": "the threshold that the method's source states",
}
"""How a threshold is chosen, by the last part of a metric's name."""

_UNITS: dict[str, tuple[int, float]] = {
    "%": (1, 1), "points": (1, 1), "threshold": (3, 1), "images": (0, 1), "millions": (3, 1e-6), "GFLOP": (3, 1e-9),
    "images/s": (0, 1), "s": (1, 1), "ms": (1, 1), "MiB": (0, 1),
}  # fmt: skip
"""Decimals that people are shown, and what a number is multiplied by for them, by unit."""


@dataclass(frozen=True)
class Metric:
    """One number of a run.

    Attributes:
        name: place in the metrics file, a dot per level: ``gt_known.val``.
        heading: of a table's column or a plot's axis; names the protocol.
        meaning: one sentence for people.
        unit: ``%`` of the test images (PxAP: of the largest area under the curve; pIoU: of the union), ``points`` of
            percent, ``threshold`` in [0, 1], ``images``, or that of a cost.
        protocol: ``choe2020`` and ``pixel`` of boxes; ``masks``; ``classification``; ``costs``.
        oracle: whether its threshold was chosen on the test split, so that it is an upper bound.
        may_lack: whether a metrics file may be without its key; a number that is not defined is null.
    """

    name: str
    heading: str
    meaning: str
    unit: Literal["%", "points", "threshold", "images", "millions", "GFLOP", "images/s", "s", "ms", "MiB"] = "%"
    protocol: Literal["choe2020", "pixel", "masks", "classification", "costs"] = "choe2020"
    oracle: bool = False
    may_lack: bool = False

    @property
    def stem(self) -> str:
        """Start of its columns in CSV files: ``gt_known_val``."""
        return self.name.replace(".", "_")

    @property
    def decimals(self) -> int:
        """Digits after the point that people are shown."""
        return _UNITS[self.unit][0]

    @property
    def scale(self) -> float:
        """What a number is multiplied by for people."""
        return _UNITS[self.unit][1]

    @property
    def higher_is_better(self) -> bool | None:
        """Whether larger numbers are better; None where neither is."""
        if self.unit in {"threshold", "images"}:
            return None
        return self.unit in {"%", "images/s"} and not self.name.startswith(("misses.", "pixel_errors."))

    def value(self, run: object) -> float | None:
        """Return the number of a run (as :mod:`wsolbench.results.schema` reads it), or None where it is not defined."""
        try:
            found: float | None = attrgetter(self.name)(run)
        except AttributeError:  # of a block that is null as a whole
            return None
        return None if found is None else float(found)


_SPLITS = ("fixed", "val", "oracle")
_SHARE = "share of the map's maximum"
_BOX = "the box around the largest contour of the true class's map has IoU >= 0.5 with a true box"
_MISSES = {
    "multi_instance": "several objects",
    "part": "a part of the object",
    "more": "more than the object",
    "background": "background",
    "other": "none of the others",
}
_PIXEL_ERRORS = {
    "missed": "pixels of the object that are below the threshold",
    "context": "pixels around the object that are above it",
    "background": "pixels far from the object that are above it",
}
_NORMALISATIONS = {
    "max": "maps divided by their maximum and clipped at 0",
    "percentile": "maps divided by the 99.5th percentile of their positive scores (PaS)",
    "ivr": "maps from their own percentile to their maximum (IVR)",
}


def _at(name: str, heading: str, meaning: str, keys: tuple[str, ...] = tuple(RULES), **kind: Any) -> Iterator[Metric]:
    for key in keys:
        lacks = {"may_lack": kind.get("may_lack", False) or key == "published", "oracle": key == "oracle"}
        yield Metric(f"{name}.{key}", f"{heading}, {key}", f"{meaning}, at {RULES[key]}", **kind | lacks)


def _boxes(prefix: str, protocol: str) -> Iterator[Metric]:
    """Declare the numbers of a box protocol."""
    kind: Any = {"protocol": protocol}
    mark, start = (" (pixel)", "protocol `pixel`: ") if prefix else ("", "")
    yield from _at(f"{prefix}threshold", f"threshold{mark}", f"{start}{_SHARE}", unit="threshold", **kind)
    yield from _at(f"{prefix}gt_known", f"GT-known{mark}", f"{start}{_BOX}", **kind)
    for name in ("Top-1", "Top-5"):
        stem = f"{prefix}{name.lower().replace('-', '')}_loc"
        yield from _at(stem, f"{name} Loc{mark}", f"{start}GT-known and {name} Cls both hold", **kind)
    overlap = f"{start}overlap of the box with the best true box, mean over images"
    yield from _at(f"{prefix}mean_iou", f"mean IoU{mark}", overlap, **kind)
    kind["oracle"] = True
    best = f"{start}GT-known at the threshold that is best on the test split itself"
    yield Metric(f"{prefix}max_box_acc", f"MaxBoxAcc{mark}, oracle", best, **kind)
    adds = f"{start}GT-known, oracle minus GT-known, val: what the oracle adds"
    yield Metric(f"{prefix}regret", f"regret{mark}", adds, "points", **kind)
    width = f"{start}share of the thresholds at which BoxAcc is 95 % of its peak or more"
    yield Metric(f"{prefix}peak_width", f"width of the peak{mark}", width, **kind)
    reaches = f"{start}any contour's box reaches the IoU, at the threshold"
    for stem, rule, where in (("", "oracle", "that is best on the test split"), ("_val", "val", "chosen on `val`")):
        name, heading = f"{prefix}max_box_acc_v2{stem}", f"MaxBoxAccV2{mark}, {rule}:"
        kind["oracle"] = not stem
        for iou in (30, 50, 70):
            meaning = f"{reaches} {where} for each IoU, at IoU 0.{iou // 10}"
            yield Metric(f"{name}.iou{iou}", f"{heading} IoU {iou}", meaning, **kind)
        meaning = f"{reaches} {where} for each IoU, mean over IoU 0.3, 0.5 and 0.7"
        yield Metric(f"{name}.mean", f"{heading} mean", meaning, **kind)


def _declared() -> Iterator[Metric]:
    masks: Any = {"protocol": "masks"}
    for stem, where in (("top1", "the most probable one"), ("top5", "among the five most probable ones")):
        meaning = f"the image's class is {where}"
        yield Metric(f"cls.{stem}", f"Top-{stem[-1]} Cls", meaning, protocol="classification")
    yield from _boxes("", "choe2020")
    yield Metric("px_ap", "PxAP, all thresholds", "area under the precision-recall curve of all test pixels", **masks)
    yield Metric("px_ap_per_class", "PxAP, mean over classes", "PxAP of each class, averaged over classes", **masks)
    overlap = "overlap of the pixels above the threshold with the mask"
    yield from _at("p_iou", "pIoU", f"{overlap}, mean over images", _SPLITS, **masks)
    masks["may_lack"] = True
    yield from _at("p_iou_pooled", "pIoU, pooled", f"{overlap}, pixels of all images together", _SPLITS, **masks)
    yield from _at("p_iou_threshold", "threshold of pIoU", _SHARE, _SPLITS, unit="threshold", **masks)
    for size in ("small", "medium", "large"):
        where, of = f"by_size.{size}", f"of {size} objects"
        yield Metric(f"{where}.images", f"{size} objects", f"test images whose objects are {size}", "images")
        yield from _at(f"{where}.gt_known", f"GT-known, {size}", f"GT-known {of}", _SPLITS)
        yield from _at(f"{where}.p_iou", f"pIoU, {size}", f"pIoU {of}", _SPLITS, **masks)
    for at in _SPLITS:
        for kind, what in _MISSES.items():
            meaning = f"test images whose box holds {what}, at {RULES[at]}"
            yield Metric(f"misses.{at}.{kind}", f"misses, {kind}, {at}", meaning, oracle=at == "oracle")
    for at in _SPLITS:
        for kind, what in _PIXEL_ERRORS.items():
            meaning = f"{what}, percent of the union with the mask, at {RULES[at]}"
            name, heading = f"pixel_errors.{at}.{kind}", f"pixels, {kind}, {at}"
            yield Metric(name, heading, meaning, oracle=at == "oracle", **masks)
    yield from _boxes("pixel.", "pixel")
    for name, how in _NORMALISATIONS.items():
        stem = f"normalisation.{name}"
        best: Any = {"oracle": True, "may_lack": True}
        yield from _at(f"{stem}.gt_known", f"GT-known ({name})", f"GT-known, {how}", _SPLITS, may_lack=True)
        yield Metric(f"{stem}.max_box_acc", f"MaxBoxAcc ({name}), oracle", f"MaxBoxAcc, {how}", **best)
        yield Metric(f"{stem}.max_box_acc_v2", f"MaxBoxAccV2 ({name}), oracle", f"MaxBoxAccV2 mean, {how}", **best)
        yield Metric(f"{stem}.px_ap", f"PxAP ({name})", f"PxAP, {how}", **masks)


METRICS: dict[str, Metric] = {metric.name: metric for metric in _declared()}
"""Every number of a metrics file by its name, in the file's order, which is that of the CSV tables."""


def metrics_named(*names: str) -> tuple[Metric, ...]:
    """Return the metrics with these names, in this order.

    Raises:
        KeyError: there is none of a name.
    """
    return tuple(METRICS[name] for name in names)
