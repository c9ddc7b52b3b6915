"""Several folders of maps of the same images: their numbers, and whether they differ by more than chance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wsolbench.data.tables import literal
from wsolbench.evaluation.accuracy import IOUS, choose_threshold
from wsolbench.evaluation.external_maps import Scores, Task
from wsolbench.evaluation.map_files import check_maps
from wsolbench.evaluation.pxap import curve
from wsolbench.evaluation.scoring import SplitScores
from wsolbench.results.stats import holm, interval_and_p, resampled_images

__all__ = ["Comparison", "compare", "merged_per_image"]

Floats = NDArray[np.float64]

_BLOCK = 2048  # images whose hits are unpacked at a time


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare` found.

    Attributes:
        scores: of each folder, by name.
        differences: a row per measure and pair: ``measure``, ``first``, ``second``, ``difference`` (first minus second,
            points), ``low`` and ``high`` (95 % interval), ``p``, and ``p_corrected`` (Holm; all pairs of a measure).
    """

    scores: Mapping[str, Scores]
    differences: pd.DataFrame


class _Hits:
    """What the bootstrap needs of a folder: a bit per image, overlap and threshold, and a histogram per image."""

    def __init__(self, scores: SplitScores, grid: int, places: NDArray[np.int64], *, predicted: bool = False) -> None:
        self.images, self._grid, self._places, self._predicted = scores.images, grid, places, predicted
        self._bits = scores.bits if not scores.boxed else scores.bits[:, :1] if predicted else scores.bits[:, 1:]
        self._pixels = scores.of_images

    def statistics(self, val: _Hits | None) -> dict[str, Callable[[Floats], Floats]]:
        """Return the measures by name; each takes how often each image is drawn, ``(r, N)``, and returns percent."""
        found: dict[str, Callable[[Floats], Floats]] = {}
        if self._bits.size:
            name = "Top-1 Loc, oracle" if self._predicted else "MaxBoxAccV2"
            found[name] = lambda weights: self.accuracy(weights).max(2).mean(1)
        if val is not None and not self._predicted and self._bits.size:
            chosen = [choose_threshold(accuracies) for accuracies in val.accuracy(np.ones((1, val.images)))[0]]
            hits = np.concatenate([block[:, range(len(chosen)), chosen] for block in self._blocks()]).sum(1)
            found["MaxBoxAccV2, val"] = lambda weights: (weights @ hits) * 100 / (weights.sum(1) * len(chosen))
        if self._pixels.size:
            found["PxAP"] = self._px_ap
        return found

    def accuracy(self, weights: Floats) -> Floats:
        """Return BoxAcc at each overlap and threshold, ``(r, overlaps, thresholds)`` percent.

        Hits are whole numbers, which float32 holds exactly up to 16 million images, so that ties stay ties.
        """
        own, done = weights[:, self._places].astype(np.float32), 0
        counts = np.zeros((len(weights), (1 if self._predicted else len(IOUS)) * self._grid), np.float32)
        for hits in self._blocks():
            flat = hits.reshape(len(hits), -1).astype(np.float32)
            counts += own[:, done : done + len(hits)] @ flat
            done += len(hits)
        percent: Floats = counts.astype(np.float64) * 100 / weights.sum(1, keepdims=True)
        return percent.reshape(len(weights), -1, self._grid)

    def _blocks(self) -> Iterator[NDArray[np.uint8]]:
        """Yield ``(n, overlaps, thresholds)`` 0 or 1 of some images, in order."""
        for start in range(0, len(self._bits), _BLOCK):
            yield np.unpackbits(self._bits[start : start + _BLOCK], axis=2, count=self._grid)

    def _px_ap(self, weights: Floats) -> Floats:
        pooled = weights @ self._pixels.reshape(len(self._pixels), -1).astype(np.float64)
        both = pooled.reshape(len(weights), 2, -1).astype(np.int64)
        return np.array([curve(each).px_ap if each[0].any() else 0.0 for each in both])


def compare(tasks: Mapping[str, Task], jobs: int | None) -> Comparison:
    """Score several folders of maps of the same images, at least two, and test each pair of them.

    The test is the report's bootstrap for one run each: images are drawn with replacement, the same for both folders;
    thresholds are chosen anew in each resample for what is an oracle's, and stay where ``val`` has put them. It knows
    nothing of training again. ``choe2020``; Top-1 Loc alone for maps of predicted classes.

    Raises:
        DataError: maps cannot be scored; says how many in all folders, and names the first ten.
    """
    check_maps([file for task in tasks.values() for file in task.files])
    scores, statistics = {}, {}
    for name, task in tasks.items():
        scored = task.score(jobs)
        grid, val = len(scored.rules.grid), scored.val
        of_val = None if val is None else _Hits(val, grid, np.arange(val.images))
        hits = _Hits(scored.test, grid, task.places, predicted=task.maps_of == "predicted")
        scores[name], statistics[name] = task.results(scored), hits.statistics(of_val)
    images = len(next(iter(tasks.values())).split)
    return Comparison(scores, _differences(statistics, images))


def _differences(statistics: Mapping[str, Mapping[str, Callable[[Floats], Floats]]], images: int) -> pd.DataFrame:
    rows = []
    for measure in next(iter(statistics.values())):
        if not all(measure in each for each in statistics.values()):
            continue  # boxes have no PxAP
        of_all = [each[measure] for each in statistics.values()]
        once = np.ones((1, images))
        points = {name: float(each[measure](once)[0]) for name, each in statistics.items()}
        drawn = dict(zip(statistics, resampled_images(images, of_all), strict=True))
        pairs = list(combinations(statistics, 2))
        tested = [interval_and_p(drawn[first] - drawn[second]) for first, second in pairs]
        corrected = holm([p for _, _, p in tested])
        for (first, second), (low, high, p), adjusted in zip(pairs, tested, corrected, strict=True):
            rows.append([measure, first, second, points[first] - points[second], low, high, p, adjusted])
    columns = ["measure", "first", "second", "difference", "low", "high", "p", "p_corrected"]
    return pd.DataFrame(rows, columns=columns)


def merged_per_image(scores: Mapping[str, Scores]) -> pd.DataFrame:
    """Return one row per image: id and label, then what each folder has, ``<name>.<column>``."""
    first = next(iter(scores.values())).per_image
    parts = [
        found.per_image.drop(columns=["id", "label", "area", "size"], errors="ignore").add_prefix(f"{name}.")
        for name, found in scores.items()
    ]
    facts = first[["id", "label", "area"]].assign(id=first["id"].map(literal))
    return pd.concat([facts, *parts], axis=1).dropna(axis=1, how="all")
