"""The per-image tables of a track's runs."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pandas as pd

from wsolbench.config.paths import Layout
from wsolbench.errors import DataError
from wsolbench.files import parse_file, read_parquet
from wsolbench.results.load import Row, TrackResults, remedy

__all__ = ["read_per_image"]


def read_per_image(results: TrackResults, row: Row, root: Path, columns: list[str]) -> list[pd.DataFrame]:
    """Return some columns of the per-image table of each of a row's runs.

    Raises:
        DataError: a file is missing or damaged, or of other images than the first; the message names it.
    """
    layout = Layout(root)
    frames: list[pd.DataFrame] = []
    for run in row.runs:
        path, cure = layout.per_image(results.track, run.key), remedy(row.kind, run.key)
        frame = parse_file(path, partial(_parsed, columns=["id", *columns]), cure)
        if frames and frame["id"].tolist() != frames[0]["id"].tolist():
            raise DataError(f"{path} is of other images than {row.runs[0].key}; {cure}")
        frames.append(frame)
    return frames


def _parsed(content: bytes, columns: list[str]) -> pd.DataFrame:
    frame: pd.DataFrame = read_parquet(content, columns).to_pandas(use_threads=False)
    return frame
