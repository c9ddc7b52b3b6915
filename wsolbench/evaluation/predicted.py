"""Numbers of maps that belong to predicted classes: Top-1 Loc, and nothing that is GT-known.

Where the first guess is right, such a map is the label's, and its box counts; where it is wrong, the image is a miss of
Top-1 Loc whatever its map shows, and says nothing about the map of the label.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wsolbench.data.dataset import Split
from wsolbench.evaluation.numbers import Scored, numbers
from wsolbench.evaluation.tables import by_class, curves, per_image

__all__ = ["of_predicted_classes"]


def of_predicted_classes(
    right: Scored, split: Split, top5: NDArray[np.int64]
) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Turn the scores of the images whose first guess is right into those of all images.

    Args:
        right: scores of these images; thresholds from ``val`` are chosen on maps of labels, the oracle's where Top-1
            Loc is highest.
        split: all images.
        top5: ``(N, k)`` guesses at all of them, k at least 1.

    Returns:
        Numbers, and a table of images, of classes, and of thresholds.
    """
    share, some = right.test.images / len(split), right.test.images > 0
    inside = numbers(right if some else replace(right, top5=np.zeros((0, 0), np.int64)))
    every = replace(right, split=split, top5=top5)
    first, five = every.classes or (np.zeros(0, bool), None)
    found: dict[str, Any] = _blank(inside)
    found["maps_of"] = "predicted"
    found["images"] = {"val": inside["images"]["val"], "test": len(split)}
    found["cls"] = {"top1": float(first.mean() * 100), "top5": None if five is None else float(five.mean() * 100)}
    boxed = any(len(split.truth(item.id).boxes) for item in split.items)
    missed = ("fixed", "oracle", *(("val",) if right.val is not None and right.val.boxed else ()))
    for block, of_right in ((found, inside), (found["pixel"], inside["pixel"])):
        if right.test.boxed:
            block["threshold"] = of_right["threshold"]
        known: Mapping[str, float | None] = of_right["gt_known"]
        block["top1_loc"] = {at: None if value is None else value * share for at, value in known.items()}
        if boxed and not some:
            block["top1_loc"] |= dict.fromkeys(missed, 0.0)
    known_rows = per_image(right).set_index("id")
    corners = dict.fromkeys(["x0", "y0", "x1", "y1"], "Int64")
    rows = known_rows.astype(corners).reindex([item.id for item in split.items]).rename_axis("id").reset_index()
    in_top5 = pd.array([pd.NA] * len(rows), dtype="boolean") if five is None else five
    rows = rows.assign(label=every.labels, predicted=top5[:, 0], in_top5=in_top5)
    return found, rows, _classes(rows, split), _curves(right, share)


def _blank(value: Any) -> Any:
    """Return the same tree with None for every number."""
    return {key: _blank(each) for key, each in value.items()} if isinstance(value, Mapping) else None


def _classes(rows: pd.DataFrame, split: Split) -> pd.DataFrame:
    overlaps = [str(name) for name in rows if str(name).startswith("iou_") and rows[name].notna().any()]
    missed = rows.fillna(dict.fromkeys(overlaps, 0.0))
    table = by_class(missed, split.class_names)
    kept = ["class", "name", "images", "top1", *(name.replace("iou", "gt_known", 1) for name in overlaps)]
    return table[kept].rename(columns=lambda name: name.replace("gt_known", "top1_loc"))


def _curves(right: Scored, share: float) -> pd.DataFrame:
    if not right.test.images:
        return pd.DataFrame(columns=["threshold", "top1_loc", "pixel_top1_loc"])
    drawn = curves(right)
    columns = {"top1_loc": "box_acc_iou50", "pixel_top1_loc": "pixel_box_acc_iou50"}
    return pd.DataFrame({"threshold": drawn["threshold"]} | {name: drawn[of] * share for name, of in columns.items()})
