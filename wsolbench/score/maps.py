"""Score anybody's localization maps: one file per image, any method, any size."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wsolbench.data.choe_metadata import Entry, read_list, read_metadata
from wsolbench.data.tables import literal
from wsolbench.dataset import Item, Split, SplitName, Truth
from wsolbench.errors import DataError
from wsolbench.metrics.choe2020 import SIDE, threshold_grid
from wsolbench.metrics.image_scores import Rules, Thresholds
from wsolbench.metrics.numbers import Scored, by_class, curves, numbers, per_image
from wsolbench.metrics.scoring import score_maps
from wsolbench.settings import EvaluateSettings

__all__ = ["MapsOf", "Scores", "find_maps", "read_predictions", "score", "split_of_metadata", "write_scores"]

_SUFFIXES = (".npy", ".npz")
_SHOWN = 5  # names in a message


@dataclass(frozen=True)
class MapsOf:
    """Maps of a split.

    Attributes:
        folder: where the files lie; see :func:`find_maps`.
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


@dataclass(frozen=True)
class _File:
    """One map on disk."""

    path: Path
    image: str
    as_they_are: bool

    def read(self) -> NDArray[np.floating[Any]]:
        """Return the map as it is stored.

        Raises:
            DataError: the file is damaged, or not one 2-D array of finite numbers; file and image are named.
        """
        where = f"{self.path} (image '{self.image}')"
        try:
            with self.path.open("rb") as stream:
                loaded = np.load(stream, allow_pickle=False)
                if not isinstance(loaded, np.ndarray):
                    with loaded as archive:
                        if len(archive.files) != 1:
                            raise DataError(f"{where} holds {len(archive.files)} arrays; it must hold one map")
                        loaded = archive[archive.files[0]]
        except (ValueError, OSError, EOFError, BadZipFile) as error:
            raise DataError(
                f"{where} cannot be read ({error}); write it again with numpy.save or numpy.savez"
            ) from None
        return self._checked(loaded, where)

    def _checked(self, found: NDArray[Any], where: str) -> NDArray[np.floating[Any]]:
        if found.ndim != 2 or 0 in found.shape:
            raise DataError(f"{where}: a map must be two-dimensional (rows, columns), not of shape {found.shape}")
        if found.dtype.kind not in "fiub":
            raise DataError(f"{where}: a map must hold real numbers, not {found.dtype}")
        values = found.astype(np.float64)
        if not np.isfinite(values).all():
            raise DataError(f"{where}: the map holds a NaN or an infinite value")
        if self.as_they_are and (values.shape != (SIDE, SIDE) or values.min() < 0 or values.max() > 1):
            raise DataError(
                f"{where}: to be scored as it is, a map must be {SIDE}x{SIDE} and lie in [0, 1]; this one is "
                f"{values.shape[0]}x{values.shape[1]} and spans {values.min()} to {values.max()}"
            )
        return values


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
    top5 = _top5(predictions, maps.split)
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


def find_maps(folder: Path, split: Split, *, as_they_are: bool = False) -> list[_File]:
    """Find the file of every image of a split.

    The map of image ``a/b.jpg`` is ``a/b.jpg.npy``, as the reference harness writes it, or ``a/b.npy``, as its README
    says; ``.npz`` with one array serves as well.

    Raises:
        DataError: an image has no file or two, or a file no image; the first ones are named.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a directory of maps")
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix in _SUFFIXES}
    found, missing, double = [], [], []
    for item in split.items:
        stems = dict.fromkeys((item.id, item.id.removesuffix(Path(item.id).suffix)))
        named = [stem + suffix for stem in stems for suffix in _SUFFIXES if stem + suffix in files]
        if len(named) == 1:
            found.append(_File(folder / named[0], item.id, as_they_are))
        elif named:
            double.append(" and ".join(named))
        else:
            missing.append(item.id)
    if missing:
        raise DataError(
            f"{folder}: {len(missing)} of {len(split)} images of split '{split.name}' have no map. A map of image "
            f"'{missing[0]}' is looked for as '{missing[0]}.npy'. Missing: {_some(missing)}"
        )
    if double:
        raise DataError(f"{folder}: {len(double)} images have more than one map; remove all but one: {_some(double)}")
    extra = sorted(files - {file.path.relative_to(folder).as_posix() for file in found})
    if extra:
        raise DataError(f"{folder}: {len(extra)} files are of no image of split '{split.name}': {_some(extra)}")
    return found


def read_predictions(path: Path) -> dict[str, list[int]]:
    """Read classes by image, one ``id,class[,class ...]`` per line, best first; an id with a comma stands in ``"``.

    Raises:
        DataError: a line is malformed, or an image occurs twice; file and line are named.
    """
    found: dict[str, list[int]] = {}
    for number, line in enumerate(read_list(path), start=1):
        name, *classes = [part.strip() for part in next(csv.reader([line]))]
        if not classes or not all(value.isdecimal() for value in classes):
            raise DataError(f"{path}:{number}: expected an image id and classes from 0, best first, found '{line}'")
        if name in found:
            raise DataError(f"{path}:{number}: image '{name}' has a line already; remove one of them")
        found[name] = [int(value) for value in classes]
    return found


def split_of_metadata(directory: Path, name: SplitName) -> Split:
    """Make a split of metadata files in Choe et al.'s format, without a prepared data set and without images.

    Raises:
        DataError: a file is missing or malformed, an image has neither box nor mask, or a box but no size.
    """
    entries = list(read_metadata(directory).values())
    for entry in entries:
        if not len(entry.boxes) and not entry.masks:
            raise DataError(f"{directory / 'localization.txt'}: image '{entry.id}' has neither box nor mask")
    classes = [str(label) for label in range(max((entry.label for entry in entries), default=-1) + 1)]
    items = [Item(entry.id, entry.id, entry.label, entry.width, entry.height, name) for entry in entries]
    return Split(name, items, classes, "", {entry.id: _truth(entry) for entry in entries})


def write_scores(scores: Scores, head: Mapping[str, Any], folder: Path) -> None:
    """Write ``metrics.json``, ``per_image.parquet``, ``by_class.csv`` and ``curves.csv``, each atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    named = scores.by_class.assign(name=scores.by_class["name"].map(literal))
    contents = {
        "metrics.json": (json.dumps({**head, **scores.numbers}, indent=2) + "\n").encode(),
        "per_image.parquet": scores.per_image.to_parquet(index=False),
        "by_class.csv": named.to_csv(index=False, lineterminator="\n").encode(),
        "curves.csv": scores.curves.to_csv(index=False, lineterminator="\n").encode(),
    }
    for name, content in contents.items():
        temporary = folder / f"{name}.tmp"
        temporary.write_bytes(content)
        temporary.replace(folder / name)


def _truth(entry: Entry) -> Truth:
    return Truth(entry.boxes, entry.masks, entry.ignore)


def _top5(predictions: Mapping[str, Sequence[int]] | None, split: Split) -> NDArray[np.int64]:
    if predictions is None:
        return np.zeros((len(split), 0), np.int64)
    ids = [item.id for item in split.items]
    missing, extra = [name for name in ids if name not in predictions], sorted(set(predictions) - set(ids))
    if missing or extra:
        raise DataError(
            f"predictions do not fit split '{split.name}': {len(missing)} images have none ({_some(missing)}), "
            f"{len(extra)} are of no image ({_some(extra)})"
        )
    counts = {len(predictions[name]) for name in ids}
    if len(counts) > 1:
        raise DataError(f"predictions: all images must have equally many classes, found {sorted(counts)}")
    return np.array([predictions[name][:5] for name in ids], np.int64)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return f"{shown}, ..." if len(names) > _SHOWN else shown or "-"
