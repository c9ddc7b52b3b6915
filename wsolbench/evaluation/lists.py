"""Truth and predictions as lists: what maps are scored against where no data set is prepared."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsolbench.acquire.choe_metadata import class_names, numbered_lines, read_metadata
from wsolbench.acquire.mask_checks import MaskFiles, with_masks
from wsolbench.acquire.official_boxes import OfficialBoxes
from wsolbench.data.boxes import check_boxes
from wsolbench.data.dataset import Item, Split, SplitName, Truth
from wsolbench.errors import DataError, counted, first_three, shortened

__all__ = ["read_predictions", "split_of_metadata", "top5_of"]

_CLASS = re.compile("[0-9]{1,9}")
_IDS = "image_ids.txt"


def read_predictions(path: Path) -> dict[str, list[int]]:
    """Read classes by image, one ``id,class[,class ...]`` per line, best first; an id with a comma stands in ``"``.

    Raises:
        DataError: a line is malformed, or an image occurs twice; file and line are named.
    """
    found: dict[str, list[int]] = {}
    for number, line in numbered_lines(path):
        try:
            name, *classes = [part.strip() for part in next(csv.reader([line]))]
        except csv.Error as error:
            raise DataError(f"{path}:{number}: {error}") from None
        if not classes or not all(_CLASS.fullmatch(value) for value in classes):
            raise DataError(f"{path}:{number}: expected an image id and classes from 0, not '{shortened(line)}'")
        if name in found:
            raise DataError(f"{path}:{number}: image '{name}' has a line already; remove one of them")
        found[name] = [int(value) for value in classes]
    return found


def top5_of(predictions: Mapping[str, Sequence[int]] | None, split: Split) -> NDArray[np.int64]:
    """Return up to five predicted classes of each image of a split, ``(N, k)``; ``(N, 0)`` without predictions.

    Raises:
        DataError: images have no prediction, predictions no image or a class that the split does not have, or images
            have not equally many.
    """
    if predictions is None:
        return np.zeros((len(split), 0), np.int64)
    ids = [item.id for item in split.items]
    missing, extra = [name for name in ids if name not in predictions], sorted(set(predictions) - set(ids))
    if missing or extra:
        raise DataError(
            f"predictions do not fit split '{split.name}': {len(missing)} images have none ({first_three(missing)}), "
            f"{counted(len(extra), 'is', 'are')} of no image ({first_three(extra)})"
        )
    counts = {len(predictions[name]) for name in ids}
    if len(counts) > 1:
        raise DataError(f"predictions: all images must have equally many classes, found {sorted(counts)}")
    classes = range(split.num_classes)
    wrong = {name: value for name in ids for value in predictions[name] if value not in classes}
    if wrong:
        from_one = set(wrong.values()) == {split.num_classes} and not any(0 in each for each in predictions.values())
        raise DataError(
            f"predictions: {len(wrong)} images have a class that is none of 0 to {split.num_classes - 1}"
            f"{': counted from 1? Classes count from 0' if from_one else ''}; if the lists name a part of the classes "
            f"only, name all in class_names.txt beside them: "
            f"{first_three([f'{name} {value}' for name, value in wrong.items()])}"
        )
    return np.array([predictions[name][:5] for name in ids], np.int64)


def split_of_metadata(directory: Path, name: SplitName, masks: Path = Path()) -> Split:
    """Make a split of metadata files in Choe et al.'s format, without a prepared data set and without images.

    Masks are read from files below ``masks``.

    Classes are named by the lines of ``class_names.txt`` in the same directory or, without it, by the numbers from 0 to
    the highest label.

    Raises:
        DataError: a file is missing or malformed, an image has neither box nor mask, a box but no size, or a box that
            lies outside of its image.
    """
    if directory.is_dir() and not (directory / _IDS).is_file():
        raise DataError(f"{directory} does not hold {_IDS}{_nearby(directory, name)}")
    entries = list(read_metadata(directory).values())
    for entry in entries:
        if not len(entry.boxes) and not entry.masks:
            raise DataError(f"{directory / 'localization.txt'}: image '{entry.id}' has neither box nor mask")
    items = [Item(entry.id, entry.id, entry.label, entry.width, entry.height, name) for entry in entries]
    truth = {entry.id: Truth(entry.boxes) for entry in entries}
    check_boxes(str(directory / "localization.txt"), items, truth)
    files = {entry.id: MaskFiles(entry.masks, entry.ignore) for entry in entries}
    official, where = OfficialBoxes(), directory / "localization.txt"
    truth = {item.id: official.truth(truth[item.id].boxes, item, where) for item in items}
    truth = with_masks(masks, items, truth, files)
    return Split(name, items, class_names(directory / "class_names.txt", {entry.label for entry in entries}), "", truth)


def _nearby(directory: Path, name: str) -> str:
    found = sorted(path.parent for pattern in (f"*/{_IDS}", f"*/*/{_IDS}") for path in directory.glob(pattern))
    best = next((path for path in found if path.name == name), found[0] if found else None)
    return "; name the directory of a split's lists" if best is None else f"; did you mean {best}?"
