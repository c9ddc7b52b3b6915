"""Localization class by class."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from wsolbench.results.load import TrackResults
from wsolbench.results.per_image import read_per_image

__all__ = ["classes_csv"]

_HIT = 0.5
_NUMBERS = {"gt_known_fixed": "iou_fixed", "gt_known_val": "iou_val", "gt_known_oracle": "iou_oracle"}


def classes_csv(results: TrackResults, root: Path) -> str:
    """Return GT-known Loc of each method class by class: images, then mean, sd and n over seeds.

    Percent, box protocol ``choe2020``; empty where a threshold or the boxes of the data set do not exist.

    Raises:
        DataError: a per-image file is missing or damaged; the message names it.
    """
    rows = []
    for row in results.measured:
        joined = pd.concat(read_per_image(results, row, root, ["label", *_NUMBERS.values()]), keys=range(len(row.runs)))
        seed = joined.index.get_level_values(0)
        record = pd.DataFrame({"images": joined["label"].value_counts().sort_index() // len(row.runs)})
        for name, column in _NUMBERS.items():
            hits = (joined[column] >= _HIT).where(joined[column].notna()).astype(float) * 100
            accuracies = hits.groupby([joined["label"], seed]).mean().groupby(level=0)
            record[f"{name}_mean"], record[f"{name}_sd"] = accuracies.mean(), accuracies.std()
            record[f"{name}_n"] = accuracies.count()
        record.insert(0, "method", row.method)
        record.insert(1, "recipe", row.recipe)
        rows.append(record.rename_axis("class").reset_index())
    return pd.concat(rows).to_csv(index=False, lineterminator="\n") if rows else ""
