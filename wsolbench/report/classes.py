"""Localization class by class."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from wsolbench.report.tables import csv_of
from wsolbench.report.track import TrackResults
from wsolbench.results.load import load_per_image

__all__ = ["classes_csv"]

_HIT = 0.5
_AT = ("fixed", "val", "oracle")
_FEWEST = 2  # images of a class: of one image, the table per image says as much


def classes_csv(track: TrackResults, root: Path) -> str:
    """Return localization of each method class by class: images, then mean, sd and n over seeds, percent, 6 digits.

    GT-known Loc (``gt_known_*``, box protocol ``choe2020``), or pIoU (``p_iou_*``) where a track has no boxes; empty
    where a threshold does not exist. Without rows where classes have fewer than two test images on average.

    Raises:
        DataError: a per-image file is missing or damaged; the message names it.
    """
    masks = track.truth == "masks"
    columns = {at: f"mask_iou_{at}" if masks else f"iou_{at}" for at in _AT}
    parts = []
    groups = track.measured.groupby(["kind", "method", "recipe"], sort=False, observed=True)
    for (kind, method, recipe), runs in groups:
        keys = runs["key"].tolist()
        table = load_per_image(track.name, keys, root, ["label", *columns.values()], str(kind)).reset_index("key")
        classes = pd.DataFrame({"images": table["label"].value_counts().sort_index() // len(runs)})
        for at, column in columns.items():
            overlaps = table[column]
            shares = overlaps if masks else (overlaps >= _HIT).where(overlaps.notna()).astype(float)
            accuracies = (shares * 100).groupby([table["label"], table["key"]]).mean().groupby(level=0)
            name = f"{'p_iou' if masks else 'gt_known'}_{at}"
            classes[f"{name}_mean"], classes[f"{name}_sd"] = accuracies.mean(), accuracies.std()
            classes[f"{name}_n"] = accuracies.count()
        classes.insert(0, "method", str(method))
        classes.insert(1, "recipe", str(recipe))
        parts.append(classes.rename_axis("class").reset_index())
    if not parts:
        return ""
    joined = pd.concat(parts)
    shown = joined if joined["images"].mean() >= _FEWEST else joined.iloc[:0]
    return csv_of(shown)
