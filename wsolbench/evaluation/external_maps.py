"""Score anybody's localization maps, one file per image, or boxes, one line per image: any method, any size."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from wsolbench.config.settings import EvaluateSettings
from wsolbench.data.dataset import Split
from wsolbench.data.tables import literal
from wsolbench.errors import DataError
from wsolbench.evaluation.box_files import read_boxes
from wsolbench.evaluation.evaluate import Answers, score_answers
from wsolbench.evaluation.lists import top5_of
from wsolbench.evaluation.map_files import MapFile, check_maps, find_maps
from wsolbench.evaluation.numbers import Scored, numbers
from wsolbench.evaluation.predicted import of_predicted_classes
from wsolbench.evaluation.scoring import Answer, Rules
from wsolbench.evaluation.tables import by_class, curves, per_image, per_image_bytes
from wsolbench.files import write_bytes

__all__ = ["MapsOf", "Scores", "Task", "score", "write_scores"]


@dataclass(frozen=True)
class MapsOf:
    """Maps of a split, or boxes.

    Attributes:
        folder: where the files lie, see :func:`wsolbench.evaluation.map_files.find_maps`; or a file of boxes, see
            :func:`wsolbench.evaluation.box_files.read_boxes`.
        split: with truth.
    """

    folder: Path
    split: Split

    def answers(self, *, as_they_are: bool) -> Sequence[Answer]:
        """Return the maps, not read yet, or the boxes, in the order of the split."""
        if not self.folder.exists():  # a link to itself, too
            raise DataError(f"{self.folder} does not exist; give a directory of maps, or a text file of boxes")
        if not self.folder.is_file():
            return find_maps(self.folder, self.split, as_they_are=as_they_are)
        if as_they_are:
            raise DataError(
                f"{self.folder} is a file of boxes, which are neither resized nor normalised; leave that out"
            )
        return read_boxes(self.folder, self.split)


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
    task = Task(maps, val, predictions, maps_of, Rules.of(settings or EvaluateSettings(), as_they_are=as_they_are))
    check_maps(task.files)
    return task.results(task.score(jobs))


class Task:
    """Maps that are found and not scored yet; see :func:`score` for the arguments and errors.

    Attributes:
        files: all files of maps, those of val last; none of boxes.
        maps_of: see :func:`score`.
        places: positions of the images whose maps are of their label, and are scored.
    """

    def __init__(
        self,
        maps: MapsOf,
        val: MapsOf | None,
        predictions: Mapping[str, Sequence[int]] | None,
        maps_of: Literal["label", "predicted"],
        rules: Rules,
    ) -> None:
        if maps_of == "predicted" and predictions is None:
            raise DataError("maps of predicted classes need the predictions: without them, no map is of a known class")
        self.split, self.maps_of, self._rules = maps.split, maps_of, rules
        top5, labels = top5_of(predictions, maps.split), np.array([item.label for item in maps.split.items], np.int64)
        both = (maps, val)
        found, of_val = ([] if each is None else each.answers(as_they_are=rules.as_they_are) for each in both)
        kinds = {isinstance(each[0], MapFile) for each in (found, of_val) if len(each)}
        if len(kinds) > 1:
            raise DataError("the one split has maps and the other boxes; a threshold of one says nothing of the other")
        self.files: list[MapFile] = [each for each in (*found, *of_val) if isinstance(each, MapFile)]
        self.places = np.arange(len(found)) if maps_of == "label" else np.flatnonzero(top5[:, 0] == labels)
        scored = replace(maps.split, items=[maps.split.items[k] for k in self.places.tolist()])
        self._top5 = top5
        self._test = Answers(scored, [found[k] for k in self.places.tolist()], top5[self.places])
        self._val = None if val is None else Answers(val.split, of_val, np.zeros((len(of_val), 0), np.int64))

    def score(self, jobs: int | None) -> Scored:
        """Score the maps of :attr:`places`, and of val."""
        return score_answers(self._test, self._val, self._rules, jobs)

    def results(self, scored: Scored) -> Scores:
        """Return all numbers and tables of what :meth:`score` has found."""
        if self.maps_of == "predicted":
            return Scores(*of_predicted_classes(scored, self.split, self._top5))
        rows = per_image(scored)
        return Scores(numbers(scored), rows, by_class(rows, self.split.class_names), curves(scored))


def write_scores(scores: Scores, head: Mapping[str, Any], folder: Path) -> None:
    """Write ``metrics.json``, ``per_image.parquet``, ``by_class.csv`` and ``curves.csv``, each atomically."""
    named = scores.by_class.assign(name=scores.by_class["name"].map(literal))
    contents = {
        "metrics.json": (json.dumps({**head, **scores.numbers}, indent=2) + "\n").encode(),
        "per_image.parquet": per_image_bytes(scores.per_image),
        "by_class.csv": named.to_csv(index=False, lineterminator="\n").encode(),
        "curves.csv": scores.curves.to_csv(index=False, lineterminator="\n").encode(),
    }
    for name, content in contents.items():
        write_bytes(folder / name, content)
