"""Which numbers each printed table shows."""

from __future__ import annotations

from wsolbench.results.metrics import Metric, metrics_named

__all__ = ["HEADLINE", "HEADLINE_OF_MASKS", "SCORE_TABLES", "headline", "in_order"]

HEADLINE = metrics_named("cls.top1", "gt_known.val", "top1_loc.val", "max_box_acc", "max_box_acc_v2.mean", "px_ap")
"""What sums up a track with boxes, and differences are made of."""

HEADLINE_OF_MASKS = metrics_named("px_ap", "px_ap_per_class", "p_iou.fixed", "p_iou.val", "p_iou.oracle", "cls.top1")
"""The same of a track that has masks and no boxes."""

SCORE_TABLES: dict[str, tuple[Metric, ...]] = {
    "Threshold fixed in advance or chosen on `val`": metrics_named(
        *("cls.top1", "cls.top5", "gt_known.fixed", "gt_known.val", "gt_known.published", "top1_loc.fixed"),
        *("top1_loc.val", "top1_loc.published", "top5_loc.fixed", "top5_loc.val", "top5_loc.published"),
        *("max_box_acc_v2_val.mean", "mean_iou.val", "p_iou.fixed", "p_iou.val", "px_ap", "px_ap_per_class"),
        "threshold.val",
    ),
    "Threshold chosen on the test split itself (oracle): upper bounds": metrics_named(
        *("max_box_acc", "gt_known.oracle", "top1_loc.oracle", "max_box_acc_v2.mean", "max_box_acc_v2.iou30"),
        *("max_box_acc_v2.iou50", "max_box_acc_v2.iou70", "mean_iou.oracle", "p_iou.oracle", "regret", "peak_width"),
        "threshold.oracle",
    ),
    "The same boxes without the reference evaluator's particularities (protocol `pixel`)": metrics_named(
        *("pixel.gt_known.fixed", "pixel.gt_known.val", "pixel.top1_loc.val", "pixel.mean_iou.val"),
        *("pixel.max_box_acc", "pixel.max_box_acc_v2.mean"),
    ),
    "Other normalisations of the maps (protocol `choe2020`)": metrics_named(
        *(f"normalisation.{how}.{end}" for how in ("max", "percentile", "ivr") for end in ("gt_known.fixed",
          "gt_known.val", "px_ap")),
    ),
}  # fmt: skip
"""Headings and columns of a track's tables, one per protocol; numbers that nothing defines are left out."""


def headline(truth: str | None) -> tuple[Metric, ...]:
    """Return the numbers that sum up a track, by what its localization is measured by."""
    return HEADLINE_OF_MASKS if truth == "masks" else HEADLINE


def in_order(metrics: tuple[Metric, ...], truth: str | None) -> tuple[Metric, ...]:
    """Return the numbers of a table in its order: those of pixels come first where a track has no boxes."""
    pixels = ("px_ap", "p_iou")
    return tuple(sorted(metrics, key=lambda each: truth == "masks" and not each.name.startswith(pixels)))
