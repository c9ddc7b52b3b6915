"""The losses of a training in a form small enough for git, so that a clone can draw them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from wsolbench.config.paths import Layout
from wsolbench.files import write_text
from wsolbench.runs.run_folder import HISTORY_FILE, read_part, read_record

__all__ = ["write_history"]

_MOST_ROWS = 100
_FORMAT = "%.5g"
_COLUMNS = ["epoch", "lr"]


def write_history(layout: Layout, track: str, key: str) -> None:
    """Write learning rate, losses and scores of a run's epochs to ``results/history``, atomically.

    Numbers are rounded to five digits. Of more than 100 epochs, 100 are kept at equal distances, the first and the last
    among them. A run that trained nothing, or was skipped, has no row.

    Raises:
        DataError: the run's ``history.csv`` is missing or damaged; the message names it.
    """
    record = read_record(layout, key)
    frame = pd.DataFrame(columns=_COLUMNS) if "reason" in record else _read(layout, record)
    kept = np.unique(np.linspace(0, len(frame) - 1, min(len(frame), _MOST_ROWS)).round().astype(int))
    text = frame.iloc[kept].to_csv(index=False, float_format=_FORMAT, lineterminator="\n")
    write_text(layout.history(track, key), text)


def _read(layout: Layout, record: Mapping[str, Any]) -> pd.DataFrame:
    frame = pd.read_csv(io.BytesIO(read_part(layout, record, HISTORY_FILE)))
    return frame.drop(columns="iteration", errors="ignore")
