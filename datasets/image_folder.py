"""Anybody's own images, described by the metadata files of Choe et al."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

from wsolbench.data.choe_metadata import Entry, read_list, read_metadata
from wsolbench.data.images import inspect_images, summarised
from wsolbench.dataset import Contents, Item, SplitName, Truth, WsolDataset
from wsolbench.errors import DataError

__all__ = ["ROOT_VARIABLE", "ImageFolder"]

ROOT_VARIABLE = "WSOLBENCH_IMAGE_FOLDER_ROOT"

_EXAMINED: tuple[SplitName, ...] = ("val", "test")
_HOW_TO = (
    "Put the images below <root>/images and, for each of train, val and test, the files image_ids.txt (a path below "
    "images), class_labels.txt (id,label), image_sizes.txt (id,width,height) and localization.txt (id,x0,y0,x1,y1, one "
    "line per box; or id,mask,ignore, one line per object, mask files below images, the ignore file optional) into "
    "<root>/metadata/<split>; train needs the first two only. Then set datasets.image_folder.root "
    f"in params.yaml or the environment variable {ROOT_VARIABLE}."
)


class ImageFolder(WsolDataset):
    """Images of one's own, or any set whose metadata have Choe et al.'s format.

    ``<root>/images`` holds the images and ``<root>/metadata/{train,val,test}`` the lists. Without the directory
    ``train`` the set is for evaluation only; without ``val`` no threshold can be chosen on it. Boxes
    ``x0, y0, x1, y1`` are half-open and taken as written. Masks are PNGs below ``images``, object where the grey value
    is above 0; sizes may be left out where there are masks only. Classes are named by the lines of
    ``<root>/class_names.txt`` or, without it, by their numbers.

    Source of the format: J. Choe et al., CVPR 2020, arXiv 2001.07437, and its public code.

    Args:
        root: directory that holds ``images`` and ``metadata``, relative to the working directory or absolute; the
            environment variable ``WSOLBENCH_IMAGE_FOLDER_ROOT`` takes precedence.
    """

    title = "Own images"
    reference = "the user's own; the terms are those of the images"
    traits: ClassVar[frozenset[str]] = frozenset({"boxes", "masks"})

    def __init__(self, root: str | None = None) -> None:
        self._root = root

    def contents(self, directory: Path) -> Contents:
        """Read the lists and decode every image once.

        Raises:
            DataError: a file is missing or malformed, files contradict each other, an image is missing, damaged or of
                another size than stated, an image of ``val`` or ``test`` has neither box nor mask, or a mask is
                missing.
        """
        base = self._base()
        labels = _train_labels(base / "metadata" / "train")
        items = _items(base, labels, "train")
        truth: dict[str, Truth] = {}
        for split in _EXAMINED:
            metadata = base / "metadata" / split
            if split == "val" and not metadata.is_dir():
                continue
            entries = read_metadata(metadata)
            found = _items(base, {name: entry.label for name, entry in entries.items()}, split)
            differing = [
                f"{item.id}: {item.width}x{item.height} pixels, not {entry.width}x{entry.height}"
                for item, entry in zip(found, entries.values(), strict=True)
                if entry.width and (item.width, item.height) != (entry.width, entry.height)
            ]
            if differing:
                raise DataError(
                    f"{metadata / 'image_sizes.txt'}: {len(differing)} of {len(found)} images have another size, so "
                    f"their boxes may not fit; correct images or metadata:\n{summarised(differing)}"
                )
            items += found
            truth |= {name: Truth(entry.boxes, entry.masks, entry.ignore) for name, entry in entries.items()}
            _check_masks(base / "images", entries)
        return Contents(_class_names(base / "class_names.txt", items), items, truth)

    def image_root(self, directory: Path) -> Path:
        """Return ``<root>/images``.

        Raises:
            DataError: no root is set, or it does not hold the directory.
        """
        return self._base() / "images"

    def _base(self) -> Path:
        root = os.environ.get(ROOT_VARIABLE) or self._root
        if not root:
            raise DataError(f"the folder of images is not configured. {_HOW_TO}")
        base = Path(root).expanduser()
        for name in ("images", "metadata"):
            if not (base / name).is_dir():
                raise DataError(f"{base} does not hold a directory {name}. {_HOW_TO}")
        return base


def _check_masks(images: Path, entries: dict[str, Entry]) -> None:
    wanted = {mask for entry in entries.values() for mask in (*entry.masks, *([entry.ignore] if entry.ignore else ()))}
    missing = sorted(mask for mask in wanted if not (images / mask).is_file())
    if missing:
        raise DataError(f"{images}: {len(missing)} masks of localization.txt are missing:\n{summarised(missing)}")


def _train_labels(directory: Path) -> dict[str, int]:
    if not directory.is_dir():
        return {}
    ids, path = read_list(directory / "image_ids.txt"), directory / "class_labels.txt"
    labels: dict[str, int] = {}
    for number, line in enumerate(read_list(path), 1):
        name, _, label = line.rpartition(",")
        if not name or not label.strip().isdecimal():
            raise DataError(f"{path}:{number}: expected an image id and a class from 0, found '{line}'")
        labels[name] = int(label)
    missing = [name for name in ids if name not in labels]
    if missing:
        raise DataError(f"{path}: {len(missing)} images of image_ids.txt have no label:\n{summarised(missing)}")
    return {name: labels[name] for name in ids}


def _items(base: Path, labels: dict[str, int], split: SplitName) -> list[Item]:
    facts = inspect_images(base / "images", list(labels))
    return [
        Item(name, name, label, fact.width, fact.height, split, sha256=fact.sha256)
        for (name, label), fact in zip(labels.items(), facts, strict=True)
    ]


def _class_names(path: Path, items: list[Item]) -> list[str]:
    count = max((item.label for item in items), default=-1) + 1
    if not path.is_file():
        return [str(label) for label in range(count)]
    names = read_list(path)
    if len(names) < count:
        raise DataError(f"{path} names {len(names)} classes, but label {count - 1} occurs; add a line for each class")
    return names
