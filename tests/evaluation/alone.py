"""Boxes of one map under one protocol."""

from __future__ import annotations

import numpy as np

from wsolbench.evaluation.boxes import Candidates, candidates


def choe2020(score_map: np.ndarray, thresholds: np.ndarray) -> Candidates:
    return candidates(score_map[None], thresholds)[0]


def pixel(score_map: np.ndarray, thresholds: np.ndarray) -> Candidates:
    return candidates(score_map[None], thresholds)[1]
