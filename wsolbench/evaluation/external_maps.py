"""Score anybody's localization maps: one file per image, any method, any size."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import joblib
import numpy as np
from numpy.typing import NDArray

from wsolbench.config.settings import EvaluateSettings
from wsolbench.data.dataset import Split
from wsolbench.data.tables import literal
from wsolbench.errors import DataError
from wsolbench.evaluation.choe2020 import threshold_grid
from wsolbench.evaluation.image_scores import ImageScores, Rules, Thresholds
from wsolbench.evaluation.lists import top5_of
from wsolbench.evaluation.map_files import MapFile, check_maps, find_maps
from wsolbench.evaluation.numbers import Scored, by_class, curves, numbers, per_image
from wsolbench.evaluation.predicted import Scores, of_predicted_classes
from wsolbench.evaluation.scoring import score_maps
from wsolbench.files import write_bytes

__all__ = ["MapsOf", "Scores", "Task", "score", "write_scores"]


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


def score(
    maps: MapsOf,
    *,
    val: MapsOf | None = None,
    predictions: Mapping[str, Sequence[int]] | None = None,
    maps_of: Literal["label", "predicted"] = "label",
    settings: EvaluateSettings | None = None,
    as_they_are: bool = False,
    jobs: int | None = None,
) -> Scores:
    """Score maps of any method against the truth of a split, under every protocol.

    Each map is upsampled to 224x224 (bicubic), normalised and scored like those of the benchmark's own runs, so that
    equal maps have equal numbers.

    Args:
        maps: of the split to report.
        val: of the split on which thresholds are chosen, always maps of the labels; without it, what is chosen on val
            is None.
        predictions: classes by image id, best first; without it, whatever needs a classification is None.
        maps_of: the class that a map of ``maps`` belongs to: the image's label, or the first of its predictions. Maps
            of predicted classes have a Top-1 Loc; what is GT-known, and whatever else needs the label's map, is None.
        settings: thresholds and normalisations; those of ``params.yaml``'s defaults if None.
        as_they_are: maps are 224x224 and in [0, 1] already, and are neither resized nor normalised (min-max), as in
            the evaluator of Choe et al. (CVPR 2020).
        jobs: parallel processes; None takes one per CPU core.

    Raises:
        DataError: a map is missing, belongs to no image, or is no map; predictions do not fit the split, or are
            needed and missing. All files at fault are counted, the first ones named, and nothing is scored.
    """
    task = Task(maps, val, predictions, maps_of, settings or EvaluateSettings(), as_they_are)
    check_maps(task.files)
    return task.scores(jobs or int(joblib.cpu_count()))


class Task:
    """Maps that are found and not scored yet; see :func:`score` for the arguments and errors."""

    def __init__(
        self,
        maps: MapsOf,
        val: MapsOf | None,
        predictions: Mapping[str, Sequence[int]] | None,
        maps_of: Literal["label", "predicted"],
        settings: EvaluateSettings,
        as_they_are: bool,
    ) -> None:
        if maps_of == "predicted" and predictions is None:
            raise DataError("maps of predicted classes need the predictions: without them, no map is of a known class")
        self.maps, self.val, self.maps_of = maps, val, maps_of
        self._settings = settings
        self._rules = Rules(
            Thresholds(threshold_grid(settings.threshold_step), (settings.fixed_threshold,)),
            tuple(settings.normalisations),
            settings.ivr_percentile,
            as_they_are,
        )
        self._top5 = top5_of(predictions, maps.split)
        self._labels = np.array([item.label for item in maps.split.items], np.int64)
        self._files = find_maps(maps.folder, maps.split, as_they_are=as_they_are)
        self._val_files = [] if val is None else find_maps(val.folder, val.split, as_they_are=as_they_are)

    @property
    def files(self) -> list[MapFile]:
        """All files, those of val last."""
        return [*self._files, *self._val_files]

    @property
    def thresholds(self) -> Thresholds:
        """At which maps are scored."""
        return self._rules.thresholds

    @property
    def places(self) -> NDArray[np.int64]:
        """Positions of the images whose maps are of their label, and are scored."""
        if self.maps_of == "label":
            return np.arange(len(self._labels))
        return np.flatnonzero(self._top5[:, 0] == self._labels)

    def scores(
        self,
        jobs: int,
        seen: Callable[[ImageScores], object] | None = None,
        seen_val: Callable[[ImageScores], object] | None = None,
    ) -> Scores:
        """Score the maps.

        Args:
            jobs: parallel processes.
            seen: called with the scores of each image of :attr:`places`, in order.
            seen_val: likewise with those of ``val``.
        """
        val, split, of_val = self.val, self.maps.split, None
        if val is not None:
            of_val = score_maps(self._val_files, val.split, val.mask_root, self._rules, jobs, seen_val)
        places = self.places
        own = replace(split, items=[split.items[k] for k in places])
        files = [self._files[k] for k in places]
        scored = Scored(
            test=score_maps(files, own, self.maps.mask_root, self._rules, jobs, seen),
            val=of_val,
            split=own,
            labels=self._labels[places],
            top5=self._top5[places],
            thresholds=self._rules.thresholds,
            fixed=self._settings.fixed_threshold,
            published=None,
        )
        if self.maps_of == "predicted":
            return of_predicted_classes(scored, split, self._top5)
        rows = per_image(scored, np.array([item.id for item in split.items], np.str_))
        return Scores(numbers(scored), rows, by_class(rows, split.class_names), curves(scored))


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
