"""Numbers of maps that belong to predicted classes: Top-1 Loc, and nothing that is GT-known.

Where the first guess is right, such a map is the label's, and its box counts; where it is wrong, the image is a miss of
Top-1 Loc whatever its map shows, and says nothing about the map of the label.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wsolbench.data.dataset import Split
from wsolbench.evaluation.numbers import Scored, by_class, curves, numbers, per_image

__all__ = ["Scores", "of_predicted_classes"]

_CORNERS = ["x0", "y0", "x1", "y1"]


@dataclass(frozen=True)
class Scores:
    """What :func:`score` found.

    Attributes:
        numbers: all numbers of the split, percent or None, named as in ``results/metrics``.
        per_image: one row per image, in the order of the split.
        by_class: one row per class.
        curves: accuracies over thresholds, percent.
    """

    numbers: dict[str, Any]
    per_image: pd.DataFrame
    by_class: pd.DataFrame
    curves: pd.DataFrame


def of_predicted_classes(right: Scored, split: Split, top5: NDArray[np.int64]) -> Scores:
    """Turn the scores of the images whose first guess is right into those of all images.

    Args:
        right: scores of these images; thresholds from ``val`` are chosen on maps of labels, the oracle's where Top-1
            Loc is highest.
        split: all images.
        top5: ``(N, k)`` guesses at all of them, k at least 1.
    """
    share = len(right.labels) / len(split)
    some = len(right.labels) > 0
    inside = numbers(right if some else replace(right, top5=np.zeros((0, 0), np.int64)))
    labels = np.array([item.label for item in split.items], np.int64)
    found: dict[str, Any] = _blank(inside)
    everything = replace(right, split=split, labels=labels, top5=top5)
    first, five = everything.classes or (np.zeros(0, bool), None)
    found["maps_of"] = "predicted"
    found["images"] = {"val": inside["images"]["val"], "test": len(split)}
    found["cls"] = {"top1": float(first.mean() * 100), "top5": None if five is None else float(five.mean() * 100)}
    for block, of_right in ((found, inside), (found["pixel"], inside["pixel"])):
        block["threshold"] = of_right["threshold"] if right.test.boxes else block["threshold"]
        known: Mapping[str, float | None] = of_right["gt_known"]
        block["top1_loc"] = {at: None if value is None else value * share for at, value in known.items()}
    if not some and any(len(split.truth(item.id).boxes) for item in split.items):
        missed = dict.fromkeys(("fixed", "oracle", *(("val",) if right.val and right.val.boxes else ())), 0.0)
        found["top1_loc"] |= missed
        found["pixel"]["top1_loc"] |= missed
    rows = _rows(right, split, labels, top5, five)
    return Scores(found, rows, _classes(rows, split), _curves(right, share))


def _blank(value: Any) -> Any:
    """Return the same tree with None for every number."""
    return {key: _blank(each) for key, each in value.items()} if isinstance(value, Mapping) else None


def _rows(
    right: Scored,
    split: Split,
    labels: NDArray[np.int64],
    top5: NDArray[np.int64],
    five: NDArray[np.bool_] | None,
) -> pd.DataFrame:
    """Return one row per image; what is made of its map is missing where the first guess is wrong."""
    ids = [item.id for item in split.items]
    known = per_image(right, np.array([item.id for item in right.split.items], np.str_)).set_index("id")
    rows = known.astype(dict.fromkeys(_CORNERS, "Int64")).reindex(ids).rename_axis("id").reset_index()
    in_top5 = pd.array([pd.NA] * len(ids), dtype="boolean") if five is None else five
    return rows.assign(label=labels, predicted=top5[:, 0], in_top5=in_top5)


def _classes(rows: pd.DataFrame, split: Split) -> pd.DataFrame:
    overlaps = [str(name) for name in rows if str(name).startswith("iou_") and rows[name].notna().any()]
    missed = rows.fillna(dict.fromkeys(overlaps, 0.0))
    table = by_class(missed, split.class_names)
    kept = ["class", "name", "images", "top1", *(name.replace("iou", "gt_known", 1) for name in overlaps)]
    return table[kept].rename(columns=lambda name: name.replace("gt_known", "top1_loc"))


def _curves(right: Scored, share: float) -> pd.DataFrame:
    if not len(right.labels):
        return pd.DataFrame(columns=["threshold", "top1_loc", "pixel_top1_loc"])
    drawn = curves(right)
    columns = {"top1_loc": "box_acc_iou50", "pixel_top1_loc": "pixel_box_acc_iou50"}
    return pd.DataFrame({"threshold": drawn["threshold"]} | {name: drawn[of] * share for name, of in columns.items()})
