"""What a trial is worth: one number of `val`, percent."""

from __future__ import annotations

from pathlib import Path

from wsolbench.data.dataset import Split
from wsolbench.data.scoremaps import StoredMaps
from wsolbench.errors import DataError
from wsolbench.evaluation.accuracy import IOUS, classified, percent, v2
from wsolbench.evaluation.choe2020 import threshold_grid
from wsolbench.evaluation.image_scores import CHOE2020, Rules, Thresholds
from wsolbench.evaluation.pxap import curve
from wsolbench.evaluation.scoring import score_split

__all__ = ["judged"]


def judged(objective: str, stored: StoredMaps, val: Split, mask_root: Path, threshold_step: float, jobs: int) -> float:
    """Return the objective of a trial's maps.

    Args:
        objective: key of :data:`wsolbench.search.record.OBJECTIVES`.
        stored: maps and classes of ``val``, in its order.
        val: with truth, which ``top1_cls`` does not look at.
        mask_root: folder that mask paths are relative to.
        threshold_step: distance of the thresholds of the sweep.
        jobs: parallel processes.

    Returns:
        Percent. ``max_box_acc_v2``: mean over IoU 0.3, 0.5 and 0.7 of the best BoxAcc over thresholds, any component's
        box counts (Choe et al., 2020, V2). ``px_ap``: area under precision and recall of pixels. ``p_iou``: mean
        overlap with the mask at the best threshold. ``top1_cls``: accuracy.

    Raises:
        DataError: the maps are not those of ``val``, or a map or mask cannot be scored; the image is named.
    """
    if stored.ids.tolist() != [item.id for item in val.items]:
        raise DataError("the maps of a trial are not those of val; search again with --restart")
    if objective == "top1_cls":
        classes = classified(stored.top5, stored.labels)
        if classes is None:
            raise DataError("search.objective: top1_cls needs a method that classifies; take another objective")
        return float(classes[0].mean() * 100)
    grid = threshold_grid(threshold_step)
    scores = score_split(stored, val, mask_root, Rules(Thresholds(grid, ())), jobs)
    if objective == "max_box_acc_v2":
        hits = scores.boxes[CHOE2020].multi
        return v2({iou: percent(hits[place], scores.images) for place, iou in enumerate(IOUS)})["mean"]
    if objective == "p_iou" and scores.masks is not None:
        return float(scores.masks.ious.max() * 100 / scores.images)
    return curve(*scores.pixels[CHOE2020].pooled).px_ap
