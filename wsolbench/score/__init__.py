"""Score anybody's localization maps: :func:`score`, or ``wsolbench score`` on the command line."""

from __future__ import annotations

from wsolbench.score.maps import (
    MapsOf,
    Scores,
    find_maps,
    read_predictions,
    score,
    split_of_metadata,
    write_scores,
)
from wsolbench.score.table import score_table

__all__ = [
    "MapsOf",
    "Scores",
    "find_maps",
    "read_predictions",
    "score",
    "score_table",
    "split_of_metadata",
    "write_scores",
]
