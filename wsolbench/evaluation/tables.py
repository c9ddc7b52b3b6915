"""The tables of a run: a row per image, per class, and per threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from wsolbench.evaluation.accuracy import IOUS
from wsolbench.evaluation.misses import sizes_of
from wsolbench.evaluation.numbers import AT, Scored, mask_ious
from wsolbench.evaluation.protocols import CHOE2020, PIXEL
from wsolbench.evaluation.pxap import PIXEL_KINDS, curve
from wsolbench.files import parquet_bytes

__all__ = ["CURVES", "by_class", "curves", "no_images", "per_image", "per_image_bytes"]

_CURVE_STEP = 0.01  # distance of the thresholds in a stored curve
_CORNERS = ("x0", "y0", "x1", "y1")
_IMAGE = (
    ("id", "str"),
    ("label", "int64"),
    ("predicted", "Int64"),
    ("in_top5", "boolean"),
    *((f"{prefix}_{at}", "float64") for prefix in ("iou", "iou_pixel") for at in AT),
    ("area", "float64"),
    ("size", "str"),
    ("miss", "str"),
    *((corner, "int64") for corner in _CORNERS),
)
CURVES = (
    "localization",  # box_acc_iou50, or p_iou of a split without boxes: what every track has
    *(f"{prefix}box_acc_iou{iou}" for prefix in ("", "multi_") for iou in IOUS),
    "val_box_acc_iou50",
    "pixel_box_acc_iou50",
    "p_iou",
    "px_precision",
    "px_recall",
)
"""Columns of a stored curve after ``threshold``."""


def no_images() -> pd.DataFrame:
    """Return the table of :func:`per_image` for a run that was skipped: its columns without masks, and no row."""
    return pd.DataFrame({name: pd.Series([], dtype=dtype) for name, dtype in _IMAGE})


def per_image(scored: Scored) -> pd.DataFrame:
    """Return one row per test image, in the order of the split.

    Returns:
        ``id``; ``label``, ``predicted`` and ``in_top5``; ``iou_*`` and ``iou_pixel_*``, overlaps in [0, 1] by how the
        threshold was chosen, NaN without; with masks, ``mask_iou_*``, and what the overlap at the ``val`` threshold
        (the fixed one without ``val``) lacks, as shares of the union: ``mask_missed``, ``mask_context`` and
        ``mask_background``; ``area``, ``size`` and ``miss``; and the box at that threshold on the 224x224 grid.
    """
    test, items = scored.test, scored.split.items
    count, nothing = len(items), np.full(len(items), np.nan)
    first, five = scored.classes or (None, None)
    columns: dict[str, Any] = {
        "id": np.array([item.id for item in items], np.str_),
        "label": scored.labels,
        "predicted": pd.array([pd.NA] * count, dtype="Int64") if first is None else scored.top5[:, 0],
        "in_top5": pd.array([pd.NA] * count, dtype="boolean") if five is None else five,
    }
    for protocol, prefix in ((CHOE2020, "iou"), (PIXEL, "iou_pixel")):
        places = scored.places(protocol.name)
        columns |= {f"{prefix}_{at}": scored.ious(protocol, places[at]) if at in places else nothing for at in AT}
    if test.masked:
        places = scored.mask_places
        columns |= {f"mask_iou_{at}": test.shares(places[at])[:, 0] if at in places else nothing for at in AT}
        shares = test.shares(places.get("val", places["fixed"]))
        columns |= {f"mask_{kind}": shares[:, k] for k, kind in enumerate(PIXEL_KINDS) if k}
    columns |= {"area": test.areas, "size": sizes_of(test.areas), "miss": [""] * count}
    boxes = np.zeros((count, 4), np.int64)
    if test.drawn:
        places = scored.places() or scored.mask_places
        chosen = places.get("val", places["fixed"])
        boxes = scored.drawn(chosen)
        if test.boxed:
            columns["miss"] = scored.misses(chosen).tolist()
    return pd.DataFrame(columns | {name: boxes[:, k] for k, name in enumerate(_CORNERS)})


def per_image_bytes(rows: pd.DataFrame) -> bytes:
    """Return a table of :func:`per_image` as a Parquet file, shares of [0, 1] as float32, which halves it.

    They are rounded up, so that what reaches an IoU criterion, 0.7 for instance, which is no float32, still reaches it.
    What does not is below it by more than the rounding: overlaps are ratios of at most some million pixels.
    """
    stored: dict[str, Any] = {}
    for name, shares in rows.select_dtypes("float64").items():
        exact = shares.to_numpy()
        near = exact.astype(np.float32)
        stored[str(name)] = np.where(near < exact, np.nextafter(near, np.float32(np.inf)), near)
    return parquet_bytes(rows.assign(**stored))


def by_class(rows: pd.DataFrame, class_names: Sequence[str]) -> pd.DataFrame:
    """Return images, accuracy and overlap of each class that occurs.

    Returns:
        ``class``, ``name``, ``images``, ``top1``, and per protocol and threshold ``gt_known_*``, ``mean_iou_*`` and,
        with masks, ``mean_mask_iou_*``; percent, NaN where there is nothing to measure.
    """
    right = _share(rows["predicted"] == rows["label"], rows["predicted"])
    shares = pd.DataFrame({"class": rows["label"], "top1": right})
    for name in rows.columns[rows.columns.str.match("iou_|mask_iou_")]:
        if name.startswith("iou_"):
            shares[name.replace("iou", "gt_known", 1)] = _share(rows[name] >= 0.5, rows[name])
        shares[f"mean_{name}"] = rows[name]
    groups = shares.groupby("class", sort=True)
    found = (groups.mean() * 100).reset_index()
    found.insert(1, "name", [class_names[label] for label in found["class"]])
    found.insert(2, "images", groups.size().to_numpy())
    return found


def _share(flags: pd.Series, where: pd.Series) -> pd.Series:
    """Return flags as 0 and 1, NaN where there is nothing to judge."""
    return flags.astype("boolean").fillna(value=False).astype(float).where(where.notna())


def curves(scored: Scored) -> pd.DataFrame:
    """Return accuracies over thresholds, percent to six decimals; a hundred of them at most.

    Precision and recall are those of {score >= threshold} over all pixels; precision is NaN where no pixel reaches it.
    """
    grid, test, val = scored.rules.grid, scored.test, scored.val
    every = max(round(_CURVE_STEP / (grid[1] - grid[0])), 1)
    columns: dict[str, Any] = {"threshold": grid} | {name: np.full(len(grid), np.nan) for name in CURVES}
    if test.boxed:
        for iou in IOUS:
            columns[f"box_acc_iou{iou}"] = scored.accuracy(test, CHOE2020.name, iou)
            columns[f"multi_box_acc_iou{iou}"] = scored.accuracy(test, CHOE2020.name, iou, multi=True)
        columns["pixel_box_acc_iou50"] = scored.accuracy(test, PIXEL.name, 50)
    if val is not None and val.boxed:
        columns["val_box_acc_iou50"] = scored.accuracy(val, CHOE2020.name, 50)
    if test.masked:
        columns["p_iou"] = mask_ious(test) * 100 / test.images
    columns["localization"] = columns["box_acc_iou50" if test.boxed else "p_iou"]
    histogram = test.histogram(CHOE2020.name)
    if histogram.size:
        found = curve(histogram)
        columns |= {"px_precision": found.precision[::-1] * 100, "px_recall": found.recall[::-1] * 100}
    return pd.DataFrame({name: values[: len(grid)] for name, values in columns.items()}).iloc[::every].round(6)
