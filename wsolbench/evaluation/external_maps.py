"""Score anybody's localization maps: one file per image, any method, any size."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd

from wsolbench.config.settings import EvaluateSettings
from wsolbench.data.dataset import Split
from wsolbench.data.tables import literal
from wsolbench.evaluation.choe2020 import threshold_grid
from wsolbench.evaluation.image_scores import Rules, Thresholds
from wsolbench.evaluation.lists import top5_of
from wsolbench.evaluation.map_files import find_maps
from wsolbench.evaluation.numbers import Scored, by_class, curves, numbers, per_image
from wsolbench.evaluation.scoring import score_maps
from wsolbench.files import write_bytes

__all__ = ["MapsOf", "Scores", "score", "write_scores"]


@dataclass(frozen=True)
class MapsOf:
    """Maps of a split.

    Attributes:
        folder: where the files lie; see :func:`wsolbench.evaluation.map_files.find_maps`.
        split: with truth.
        mask_root: folder that mask paths of the truth are relative to.
    """

    folder: Path
    split: Split
    mask_root: Path = Path()


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


def score(
    maps: MapsOf,
    *,
    val: MapsOf | None = None,
    predictions: Mapping[str, Sequence[int]] | None = None,
    settings: EvaluateSettings | None = None,
    as_they_are: bool = False,
    jobs: int | None = None,
) -> Scores:
    """Score maps of any method against the truth of a split, under every protocol.

    Each map is upsampled to 224x224 (bicubic), normalised and scored like those of the benchmark's own runs, so that
    equal maps have equal numbers.

    Args:
        maps: of the split to report.
        val: of the split on which thresholds are chosen; without it, what is chosen on val is None.
        predictions: classes by image id, best first; without it, whatever needs a classification is None.
        settings: thresholds and normalisations; those of ``params.yaml``'s defaults if None.
        as_they_are: maps are 224x224 and in [0, 1] already, and are neither resized nor normalised (min-max), as in
            the evaluator of Choe et al. (CVPR 2020).
        jobs: parallel processes; None takes one per CPU core.

    Raises:
        DataError: a map is missing, belongs to no image, or is no map; predictions do not fit the split. File and image
            are named, and nothing is scored.
    """
    settings, jobs = settings or EvaluateSettings(), jobs or int(joblib.cpu_count())
    rules = Rules(
        Thresholds(threshold_grid(settings.threshold_step), (settings.fixed_threshold,)),
        tuple(settings.normalisations),
        settings.ivr_percentile,
        as_they_are,
    )
    top5 = top5_of(predictions, maps.split)
    splits = [maps] if val is None else [maps, val]
    found = [find_maps(each.folder, each.split, as_they_are=as_they_are) for each in splits]
    scores = [
        score_maps(files, each.split, each.mask_root, rules, jobs) for each, files in zip(splits, found, strict=True)
    ]
    scored = Scored(
        test=scores[0],
        val=None if val is None else scores[1],
        split=maps.split,
        labels=np.array([item.label for item in maps.split.items], np.int64),
        top5=top5,
        thresholds=rules.thresholds,
        fixed=settings.fixed_threshold,
        published=None,
    )
    rows = per_image(scored, np.array([item.id for item in maps.split.items], np.str_))
    return Scores(numbers(scored), rows, by_class(rows, maps.split.class_names), curves(scored))


def write_scores(scores: Scores, head: Mapping[str, Any], folder: Path) -> None:
    """Write ``metrics.json``, ``per_image.parquet``, ``by_class.csv`` and ``curves.csv``, each atomically."""
    named = scores.by_class.assign(name=scores.by_class["name"].map(literal))
    contents = {
        "metrics.json": (json.dumps({**head, **scores.numbers}, indent=2) + "\n").encode(),
        "per_image.parquet": scores.per_image.to_parquet(index=False),
        "by_class.csv": named.to_csv(index=False, lineterminator="\n").encode(),
        "curves.csv": scores.curves.to_csv(index=False, lineterminator="\n").encode(),
    }
    for name, content in contents.items():
        write_bytes(folder / name, content)
