"""What the numbers of a run are called in tables and plots, and what they mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from wsolbench.results.load import Row, TrackResults
from wsolbench.results.run_result import RunResult
from wsolbench.results.stats import Spread, spread

__all__ = [
    "COLUMNS",
    "HEADLINE",
    "HEADLINE_OF_MASKS",
    "NORMALISED",
    "ORACLE",
    "PIXEL",
    "RULES",
    "WITHOUT_ORACLE",
    "Column",
    "at_val",
    "by_seed",
    "columns_named",
    "headline",
    "localization",
    "summarised",
]

RULES = {
    "fixed": "the fixed threshold, the same for all methods",
    "val": "the threshold chosen on `val`",
    "oracle": "the threshold that is best on the test split itself: an upper bound",
    "published": "the threshold that the method's source states",
}
"""How a threshold is chosen, by the name that columns bear."""


_SPLITS = ("fixed", "val", "oracle")


@dataclass(frozen=True)
class Column:
    """One number of a run.

    Attributes:
        name: place in the metrics file, a dot per level: ``gt_known.val``.
        heading: of a table's column or a plot's axis; names the protocol.
        meaning: one sentence for people.
        unit: ``%`` of the test images (PxAP: of the largest area under the curve), ``points`` of percent, or
            ``threshold`` in [0, 1].
    """

    name: str
    heading: str
    meaning: str
    unit: Literal["%", "points", "threshold"] = "%"

    @property
    def stem(self) -> str:
        """Start of the column's names in CSV files: ``gt_known_val``."""
        return self.name.replace(".", "_")

    @property
    def decimals(self) -> int:
        """Digits after the point that people are shown."""
        return 3 if self.unit == "threshold" else 1

    @property
    def higher_is_better(self) -> bool | None:
        """Whether larger numbers are better; None for thresholds, which are neither."""
        return None if self.unit == "threshold" else self.unit == "%"

    def value(self, run: RunResult) -> float | None:
        """Return the number of a run, or None where it is not defined."""
        found: Any = run
        for part in self.name.split("."):
            found = None if found is None else getattr(found, part)
        number: float | None = found
        return number


def _at_thresholds(
    name: str, heading: str, meaning: str, keys: tuple[str, ...] = ("fixed", "val", "oracle", "published")
) -> tuple[Column, ...]:
    return tuple(Column(f"{name}.{key}", f"{heading}, {key}", f"{meaning}, at {RULES[key]}") for key in keys)


def _per_iou(name: str, heading: str, meaning: str) -> tuple[Column, ...]:
    single = (
        Column(f"{name}.iou{iou}", f"{heading} IoU {iou}", f"{meaning}, at IoU 0.{iou // 10}") for iou in (30, 50, 70)
    )
    return (Column(f"{name}.mean", f"{heading} mean", f"{meaning}, mean over IoU 0.3, 0.5 and 0.7"), *single)


_BOX = "the box around the largest contour of the true class's map has IoU >= 0.5 with a true box"

_NORMALISATIONS = {
    "max": "maps divided by their maximum and clipped at 0",
    "percentile": "maps divided by the 99.5th percentile of their positive scores (PaS)",
    "ivr": "maps from their own percentile to their maximum (IVR)",
}


def _normalised(name: str, meaning: str) -> tuple[Column, ...]:
    stem, heading = f"normalisation.{name}", f"({name})"
    return (
        *_at_thresholds(f"{stem}.gt_known", f"GT-known {heading}", f"GT-known, {meaning}", ("fixed", "val", "oracle")),
        Column(f"{stem}.max_box_acc_v2", f"MaxBoxAccV2 {heading}, oracle", f"MaxBoxAccV2 mean, {meaning}"),
        Column(f"{stem}.px_ap", f"PxAP {heading}", f"PxAP, {meaning}"),
    )


COLUMNS: tuple[Column, ...] = (
    Column("cls.top1", "Top-1 Cls", "the image's class is the most probable one"),
    Column("cls.top5", "Top-5 Cls", "the image's class is among the five most probable ones"),
    *_at_thresholds("gt_known", "GT-known", _BOX),
    *_at_thresholds("top1_loc", "Top-1 Loc", "GT-known and Top-1 Cls both hold"),
    *_at_thresholds("top5_loc", "Top-5 Loc", "GT-known and Top-5 Cls both hold"),
    Column("max_box_acc", "MaxBoxAcc, oracle", "GT-known at the threshold that is best on the test split itself"),
    Column("regret", "regret", "GT-known, oracle minus GT-known, val: what the oracle adds", "points"),
    *_per_iou(
        "max_box_acc_v2",
        "MaxBoxAccV2, oracle:",
        "any contour's box reaches the IoU, at the threshold that is best on the test split for each IoU",
    ),
    *_per_iou(
        "max_box_acc_v2_val",
        "MaxBoxAccV2, val:",
        "any contour's box reaches the IoU, at the threshold chosen on `val` for each IoU",
    ),
    Column("px_ap", "PxAP, all thresholds", "area under the precision-recall curve of all test pixels"),
    Column("px_ap_per_class", "PxAP, mean over classes", "PxAP of each class, averaged over classes"),
    *_at_thresholds("mean_iou", "mean IoU", "overlap of the box with the best true box, mean over images"),
    Column("peak_width", "width of the peak", "share of the thresholds at which BoxAcc is 95 % of its peak or more"),
    *_at_thresholds(
        "p_iou", "pIoU", "overlap of the pixels above the threshold with the mask, mean over images", _SPLITS
    ),
    *_at_thresholds("pixel.gt_known", "GT-known (pixel)", f"protocol `pixel`: {_BOX}"),
    *_at_thresholds("pixel.top1_loc", "Top-1 Loc (pixel)", "protocol `pixel`: GT-known and Top-1 Cls both hold"),
    *_at_thresholds("pixel.mean_iou", "mean IoU (pixel)", "protocol `pixel`: overlap of the box, mean over images"),
    Column(
        "pixel.max_box_acc", "MaxBoxAcc (pixel), oracle", "protocol `pixel`: GT-known at the best threshold on test"
    ),
    Column("pixel.regret", "regret (pixel)", "protocol `pixel`: what the oracle adds to GT-known, val", "points"),
    *_per_iou(
        "pixel.max_box_acc_v2",
        "MaxBoxAccV2 (pixel), oracle:",
        "protocol `pixel`: any component's box reaches the IoU, at the best threshold on test for each IoU",
    ),
    *_per_iou(
        "pixel.max_box_acc_v2_val",
        "MaxBoxAccV2 (pixel), val:",
        "protocol `pixel`: any component's box reaches the IoU, at the threshold chosen on `val` for each IoU",
    ),
    *(column for name, meaning in _NORMALISATIONS.items() for column in _normalised(name, meaning)),
    *(
        Column(f"threshold.{key}", f"threshold, {key}", f"{rule}; share of the map's maximum", "threshold")
        for key, rule in RULES.items()
    ),
)
"""Every number of a metrics file, in the order of the CSV tables."""

_BY_NAME = {each.name: each for each in COLUMNS}


def columns_named(*names: str) -> tuple[Column, ...]:
    """Return the columns with these names, in this order.

    Raises:
        KeyError: there is no column of a name.
    """
    return tuple(_BY_NAME[name] for name in names)


def by_seed(row: Row, shown: Column) -> dict[int, float]:
    """Return a number of a row's runs by seed, without those that do not define it."""
    return {run.seed: value for run in row.runs if (value := shown.value(run)) is not None}


def summarised(row: Row, shown: Column) -> Spread | None:
    """Return the spread of a number over a row's seeds, or None where no run defines it."""
    values = by_seed(row, shown).values()
    return spread(values) if values else None


WITHOUT_ORACLE = columns_named(
    "cls.top1",
    "cls.top5",
    "gt_known.fixed",
    "gt_known.val",
    "gt_known.published",
    "top1_loc.fixed",
    "top1_loc.val",
    "top1_loc.published",
    "top5_loc.fixed",
    "top5_loc.val",
    "top5_loc.published",
    "max_box_acc_v2_val.mean",
    "mean_iou.val",
    "p_iou.fixed",
    "p_iou.val",
    "px_ap",
    "px_ap_per_class",
    "threshold.val",
)
"""Numbers that looked at no truth of the test split to choose a threshold."""

ORACLE = columns_named(
    "max_box_acc",
    "gt_known.oracle",
    "top1_loc.oracle",
    "max_box_acc_v2.mean",
    "max_box_acc_v2.iou30",
    "max_box_acc_v2.iou50",
    "max_box_acc_v2.iou70",
    "mean_iou.oracle",
    "p_iou.oracle",
    "regret",
    "peak_width",
    "threshold.oracle",
)
"""Numbers whose threshold was chosen on the test split: upper bounds."""

PIXEL = columns_named(
    "pixel.gt_known.fixed",
    "pixel.gt_known.val",
    "pixel.top1_loc.val",
    "pixel.mean_iou.val",
    "pixel.max_box_acc",
    "pixel.max_box_acc_v2.mean",
)
"""Numbers of the box protocol ``pixel``, which has none of the reference evaluator's particularities."""

NORMALISED = columns_named(
    *(f"normalisation.{name}.{end}" for name in _NORMALISATIONS for end in ("gt_known.fixed", "gt_known.val", "px_ap")),
)
"""Numbers under other normalisations than min-max, box protocol ``choe2020``."""

HEADLINE = columns_named("cls.top1", "gt_known.val", "top1_loc.val", "max_box_acc", "max_box_acc_v2.mean", "px_ap")
"""What the summary shows of a track with boxes, and differences are made of; each heading names its protocol."""

HEADLINE_OF_MASKS = columns_named("px_ap", "px_ap_per_class", "p_iou.fixed", "p_iou.val", "p_iou.oracle", "cls.top1")
"""The same of a track that has masks and no boxes."""


def headline(results: TrackResults) -> tuple[Column, ...]:
    """Return the columns that a track's results are summed up by."""
    return HEADLINE_OF_MASKS if results.truth == "masks" else HEADLINE


def localization(results: TrackResults) -> Column:
    """Return the one number that stands for localization on a track: GT-known at ``val``'s threshold, or PxAP."""
    if results.truth == "masks":
        return _BY_NAME["px_ap"]
    return _BY_NAME["gt_known.val" if at_val(results) else "gt_known.fixed"]


def at_val(results: TrackResults) -> bool:
    """Return whether all runs that were measured by a track's boxes, or else masks, have a threshold from ``val``."""
    measured = [run.p_iou if results.truth == "masks" else run.gt_known for run in results.runs]
    return all(each.val is not None for each in measured if each.fixed is not None)
