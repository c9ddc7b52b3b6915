"""Localization class by class."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from wsolbench.results.load import TrackResults
from wsolbench.results.per_image import read_per_image

__all__ = ["classes_csv"]

_HIT = 0.5
_AT = ("fixed", "val", "oracle")


def classes_csv(results: TrackResults, root: Path) -> str:
    """Return localization of each method class by class: images, then mean, sd and n over seeds, percent.

    GT-known Loc (``gt_known_*``, box protocol ``choe2020``), or pIoU (``p_iou_*``) where a track has no boxes; empty
    where a threshold does not exist.

    Raises:
        DataError: a per-image file is missing or damaged; the message names it.
    """
    masks = results.truth == "masks"
    columns = {at: f"mask_iou_{at}" if masks else f"iou_{at}" for at in _AT}
    rows = []
    for row in results.measured:
        joined = pd.concat(read_per_image(results, row, root, ["label", *columns.values()]), keys=range(len(row.runs)))
        seed = joined.index.get_level_values(0)
        record = pd.DataFrame({"images": joined["label"].value_counts().sort_index() // len(row.runs)})
        for at, column in columns.items():
            overlaps = joined[column]
            shares = overlaps if masks else (overlaps >= _HIT).where(overlaps.notna()).astype(float)
            accuracies = (shares * 100).groupby([joined["label"], seed]).mean().groupby(level=0)
            name = f"{'p_iou' if masks else 'gt_known'}_{at}"
            record[f"{name}_mean"], record[f"{name}_sd"] = accuracies.mean(), accuracies.std()
            record[f"{name}_n"] = accuracies.count()
        record.insert(0, "method", row.method)
        record.insert(1, "recipe", row.recipe)
        rows.append(record.rename_axis("class").reset_index())
    return pd.concat(rows).to_csv(index=False, lineterminator="\n") if rows else ""
