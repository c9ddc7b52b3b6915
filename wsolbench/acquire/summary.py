"""What a data set has, as ``prepare`` says it: classes and images per split, and what may be none of the intended."""

from __future__ import annotations

import logging
from collections import Counter

from wsolbench.data.dataset import SPLITS, Contents
from wsolbench.errors import DataError, counted, first_three

__all__ = ["check_classes", "split_table"]

_HEADINGS = ("split", "images", "classes", "per class", "boxes", "masks")
_log = logging.getLogger("wsolbench.prepare")


def split_table(contents: Contents) -> str:
    """Return a line for each split: its images and classes, fewest and most images of a class, boxes and masks."""
    rows: list[tuple[str, ...]] = [_HEADINGS]
    for split in SPLITS:
        items = [item for item in contents.items if item.split == split]
        sizes = Counter(item.label for item in items).values()
        spread = f"{min(sizes)}-{max(sizes)}" if sizes else "-"
        truths = [contents.truth[item.id] for item in items if split != "train"]
        located = (sum(len(each.boxes) for each in truths), sum(len(each.masks) for each in truths))
        rows.append((split, str(len(items)), str(len(sizes)), spread, *(str(count or "-") for count in located)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def check_classes(contents: Contents) -> None:
    """Refuse classes that are tested and never trained, and say what may be none of the intended.

    That are copies of test images among those of ``train``, classes without images, and masks that go unused. A data
    set without training images is for evaluation only, and classes without any image are said.

    Raises:
        DataError: classes have images in ``val`` or ``test`` and none in ``train``; they are named.
    """
    splits = {split: [item for item in contents.items if item.split == split] for split in SPLITS}
    used = {split: {item.label for item in items} for split, items in splits.items()}
    untrained = [contents.class_names[label] for label in sorted((used["val"] | used["test"]) - used["train"])]
    if untrained and splits["train"]:
        raise DataError(
            f"{len(untrained)} of {len(contents.class_names)} classes have no training image ({', '.join(untrained)}), "
            "but images in val or test; give them some, or take the class out"
        )
    trained = {item.sha256 for item in splits["train"] if item.sha256}
    copies = [item.id for item in contents.items if item.split != "train" and item.sha256 in trained]
    if copies:
        what = counted(len(copies), "image of val and test is a copy", "images of val and test are copies")
        _log.warning("%s of images of train: %s", what, first_three(copies))
    for split, items in splits.items():
        absent = [name for label, name in enumerate(contents.class_names) if label not in used[split]]
        if items and absent:
            what = counted(len(absent), "class has", "classes have")
            _log.warning("%s: %s no image: %s", split, what, first_three(absent))
        masked = sum(item.id in contents.truth and bool(contents.truth[item.id].masks) for item in items)
        if 0 < masked < len(items):
            _log.warning("%s: %d of %d images have masks, so that pixels are not scored", split, masked, len(items))
