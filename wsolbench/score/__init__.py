"""Score anybody's localization maps: :func:`score`, or ``wsolbench score`` on the command line."""

from __future__ import annotations

from wsolbench.score.lists import read_predictions, split_of_metadata
from wsolbench.score.map_files import find_maps
from wsolbench.score.maps import MapsOf, Scores, score, write_scores
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
