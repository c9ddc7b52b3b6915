"""The numbers of a run that masks give: of pixels, not of boxes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from wsolbench.evaluation.pxap import PIXEL_KINDS, curve
from wsolbench.evaluation.scoring import MaskScores, PixelScores

__all__ = ["image_columns", "pixel_errors", "precision_and_recall", "px_ap", "px_ap_per_class"]

_AT = ("fixed", "val", "oracle")


def px_ap(pixels: PixelScores | None) -> float | None:
    """Return PxAP of a split in percent; None without masks."""
    return None if pixels is None else curve(*pixels.pooled).px_ap


def px_ap_per_class(pixels: PixelScores | None) -> float | None:
    """Return the mean of PxAP over the classes that have a foreground pixel, percent; None without masks."""
    if pixels is None:
        return None
    return float(np.mean([curve(*counts).px_ap for counts in pixels.by_class.values() if counts[0].any()]))


def precision_and_recall(pixels: PixelScores | None, thresholds: int) -> dict[str, NDArray[np.float64]]:
    """Return precision and recall of {score >= threshold} over all pixels of a split.

    Returns:
        ``px_precision`` and ``px_recall``, ``(thresholds,)`` percent each, at the ascending thresholds of the sweep
        (precision is NaN where no pixel reaches one); empty without masks.
    """
    if pixels is None:
        return {}
    found = curve(*pixels.pooled)
    columns = {"px_precision": found.precision, "px_recall": found.recall}
    return {name: values[::-1][:thresholds] * 100 for name, values in columns.items()}


def image_columns(masks: MaskScores, places: Mapping[str, int]) -> dict[str, NDArray[np.float64]]:
    """Return the columns of the per-image table that masks give.

    Args:
        masks: of the test split.
        places: positions of the thresholds by how they were chosen; ``fixed`` at least.

    Returns:
        ``mask_iou_fixed``, ``_val`` and ``_oracle``, NaN for what is not in ``places``; and what the overlap at the
        ``val`` threshold (the fixed one without ``val``) lacks, as shares of the union: ``mask_missed``,
        ``mask_context`` and ``mask_background``. ``(images,)`` float64 in [0, 1] each.
    """
    columns = {
        f"mask_iou_{name}": masks.shares(places[name])[:, 0] if name in places else np.full(len(masks.rows), np.nan)
        for name in _AT
    }
    shares = masks.shares(places.get("val", places["fixed"]))
    return columns | {f"mask_{kind}": shares[:, k] for k, kind in enumerate(PIXEL_KINDS) if k}


def pixel_errors(masks: MaskScores | None, places: Mapping[str, int]) -> dict[str, dict[str, float] | None]:
    """Return what the overlap of an image with its mask lacks, by how the threshold was chosen.

    Returns:
        Per threshold ``missed``, ``context`` and ``background``, see :data:`~wsolbench.evaluation.pxap.PIXEL_KINDS`,
        percent of the union, mean over images; with pIoU they add up to 100. None where there is no such threshold.
    """
    found: dict[str, dict[str, float] | None] = dict.fromkeys(_AT)
    for name in _AT:
        if masks is not None and name in places:
            shares = masks.shares(places[name]).mean(0) * 100
            found[name] = dict(zip(PIXEL_KINDS[1:], shares[1:].tolist(), strict=True))
    return found
