"""Anybody's own images: a folder per class with boxes or masks, or the metadata files of Choe et al."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from wsolbench.acquire.choe_metadata import Entry, class_names, read_labels, read_list, read_metadata
from wsolbench.acquire.inspection import ImageFacts, inspect_images
from wsolbench.acquire.mask_checks import check_masks
from wsolbench.data.boxes import Turned, check_boxes
from wsolbench.data.dataset import SPLITS, Contents, Item, SplitName, Truth, WsolDataset
from wsolbench.data.folders import files_below
from wsolbench.data.images import summarised, turned_size
from wsolbench.data.mask_names import match_masks
from wsolbench.data.roots import configured_root, existing_root
from wsolbench.data.tables import read_boxes, read_rows
from wsolbench.errors import DataError, SettingsError, first_three

__all__ = ["ROOT_VARIABLE", "ImageFolder"]

ROOT_VARIABLE = "WSOLBENCH_IMAGE_FOLDER_ROOT"

_EXAMINED: tuple[SplitName, ...] = ("val", "test")
_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
_BRIGHTEST = 255
_OTHER = {True: "raster", False: "displayed"}
_log = logging.getLogger("wsolbench.prepare")
_HOW_TO = (
    "Put the images into <root>/images/<class>/, and their truth into <root>/boxes.csv (header id,x0,y0,x1,y1, one "
    "line per box, ids being paths below images) or <root>/masks/<class>/<name>.png; images without truth are "
    "for training. Or describe them with Choe et al.'s files image_ids.txt, class_labels.txt, image_sizes.txt and "
    "localization.txt in <root>/metadata/{train,val,test}. Then set datasets.image_folder.root in params.yaml or the "
    f"environment variable {ROOT_VARIABLE}."
)


class ImageFolder(WsolDataset):
    """Images of one's own, in one of two arrangements.

    **Folders.** ``<root>/images/<class>/...``, classes by the names of their folders in order; ``<root>/boxes.csv``
    with the header ``id,x0,y0,x1,y1`` (half-open, pixels) and a line per box, ids being paths below ``images``; and/or
    ``<root>/masks`` with the same paths, named as :func:`wsolbench.data.mask_names.match_masks` says. Links are
    followed. ``<root>/splits.csv`` (``id,split``) says which image is for what. Without it, of each class's images that
    have truth, those with the lowest sha256 of their id are ``test``, the next ``val``, by the shares given here; all
    others are ``train``, where truth is left aside.

    **Lists.** ``<root>/metadata/{train,val,test}`` with the files of Choe et al. (CVPR 2020, arXiv 2001.07437), ids
    being paths below ``<root>/images``; without ``train`` the set is for evaluation only, without ``val`` no threshold
    can be chosen. Masks are named in ``localization.txt`` by paths below ``images``. Sizes may be left out where there
    are masks only. Classes are named by the lines of ``<root>/class_names.txt`` or, without it, by their numbers.

    Args:
        root: directory that holds all this, relative to the working directory or absolute; the environment variable
            ``WSOLBENCH_IMAGE_FOLDER_ROOT`` takes precedence.
        test_share: of a class's images with truth, for folders without ``splits.csv``; above 0, at most 1.
        val_share: likewise; 0 for no ``val``.
        mask_above: level that an object's pixels exceed in a mask, 0-254; :mod:`wsolbench.data.masks` says what a
            level is.
        ignore_grey: level of pixels in a mask that count for neither side, 0-255; None for none.
        orientation: ``displayed`` turns pictures by their EXIF orientation, as viewers and annotation tools do;
            ``raster`` takes them as they are stored. Boxes and masks must fit what is chosen.

    Raises:
        SettingsError: an argument is out of its range.
    """

    title = "Own images"
    reference = "the user's own; the terms are those of the images"
    traits: ClassVar[frozenset[str]] = frozenset({"boxes", "masks"})

    def __init__(
        self,
        root: str | None = None,
        test_share: float = 0.5,
        val_share: float = 0.2,
        mask_above: int = 0,
        ignore_grey: int | None = None,
        orientation: Literal["displayed", "raster"] = "displayed",
    ) -> None:
        if not (0 < test_share <= 1 and 0 <= val_share <= 1 - test_share):
            raise SettingsError(
                f"datasets.image_folder: test_share {test_share} and val_share {val_share} must be shares of 1 "
                "together, test_share above 0"
            )
        if not 0 <= mask_above < _BRIGHTEST or not 0 <= (ignore_grey or 0) <= _BRIGHTEST:
            raise SettingsError("datasets.image_folder: mask_above must be 0-254, ignore_grey 0-255 or null")
        self._root, self._shares = root, (test_share, val_share)
        self._greys = (mask_above, ignore_grey)
        self.orientation = orientation

    def watched(self) -> Sequence[Path]:
        """Return the directory of images."""
        root = configured_root(self._root, ROOT_VARIABLE)
        return () if root is None else [root / "images"]

    def watched_truth(self) -> Sequence[Path]:
        """Return the directories of masks and lists, and the tables."""
        root = configured_root(self._root, ROOT_VARIABLE)
        names = ("masks", "metadata", "boxes.csv", "splits.csv", "class_names.txt")
        return () if root is None else [root / name for name in names]

    def contents(self, directory: Path) -> Contents:
        """Read what describes the images, and decode every image once.

        Raises:
            DataError: a file is missing or malformed, files contradict each other, an image or a mask is missing or
                damaged, or sizes, boxes or masks do not fit the images.
        """
        base = self._base()
        pictures = _Pictures(base / "images", displayed=self.orientation == "displayed")
        lists = (base / "metadata").is_dir()
        contents = self._of_lists(base, pictures) if lists else self._of_folders(base, pictures)
        where = base / ("metadata" if lists else "boxes.csv")
        check_boxes(str(where), contents.items, contents.truth, pictures.turned)
        check_masks(base / "images", contents.items, contents.truth, pictures.turned, own=True)
        pictures.say_orientation()
        return contents

    def image_root(self, directory: Path) -> Path:
        """Return ``<root>/images``.

        Raises:
            DataError: no root is set, or it does not hold the directory.
        """
        return self._base() / "images"

    def _base(self) -> Path:
        base = existing_root(self._root, ROOT_VARIABLE, "the images of one's own", _HOW_TO)
        if not (base / "images").is_dir():
            raise DataError(f"{base} does not hold a directory images. {_HOW_TO}")
        return base

    def _of_folders(self, base: Path, pictures: _Pictures) -> Contents:
        paths = _found(base / "images")
        names = sorted({path.split("/")[0] for path in paths})
        truth = self._truth(base, paths)
        if not truth:
            raise DataError(f"{base} has neither boxes.csv nor masks, so that there is nothing to test on. {_HOW_TO}")
        splits = (
            _read_splits(base / "splits.csv", paths) if (base / "splits.csv").is_file() else self._dealt(paths, truth)
        )
        items = pictures.items({path: names.index(path.split("/")[0]) for path in paths}, splits)
        return Contents(names, items, {name: each for name, each in truth.items() if splits[name] != "train"})

    def _truth(self, base: Path, paths: list[str]) -> dict[str, Truth]:
        boxes = read_boxes(base / "boxes.csv", set(paths), "images") if (base / "boxes.csv").is_file() else {}
        masks = match_masks(base / "masks", paths)
        # Through a link, `images/..` is not the root.
        folder = os.path.relpath((base / "masks").resolve(), (base / "images").resolve())
        truth = {}
        for path in paths:
            if path in masks or path in boxes:
                names = (f"{folder}/{masks[path]}",) if path in masks else ()
                truth[path] = Truth(boxes.get(path, np.zeros((0, 4))), names, None, *self._greys)
        return truth

    def _dealt(self, paths: list[str], truth: dict[str, Truth]) -> dict[str, SplitName]:
        splits: dict[str, SplitName] = dict.fromkeys(paths, "train")
        by_class: dict[str, list[str]] = {}
        for path in truth:
            by_class.setdefault(path.split("/")[0], []).append(path)
        for own in by_class.values():
            order = sorted(own, key=lambda path: hashlib.sha256(path.encode()).digest())
            ends = [round(len(order) * share) for share in (self._shares[0], sum(self._shares))]
            ends[0] = max(ends[0], 1)
            for place, path in enumerate(order[: max(ends)]):
                splits[path] = "test" if place < ends[0] else "val"
        return splits

    def _of_lists(self, base: Path, pictures: _Pictures) -> Contents:
        train = base / "metadata" / "train"
        items: list[Item] = []
        if train.is_dir():
            labels = read_labels(train / "class_labels.txt", read_list(train / "image_ids.txt"))
            items = pictures.items(labels, dict.fromkeys(labels, "train"))
        truth: dict[str, Truth] = {}
        for split in _EXAMINED:
            metadata = base / "metadata" / split
            if split == "val" and not metadata.is_dir():
                continue
            entries = read_metadata(metadata)
            found = pictures.items({name: each.label for name, each in entries.items()}, dict.fromkeys(entries, split))
            _check_sizes(metadata / "image_sizes.txt", found, entries, pictures.turned)
            items += found
            truth |= {
                name: Truth(entry.boxes, entry.masks, entry.ignore, *self._greys) for name, entry in entries.items()
            }
        names = class_names(base / "class_names.txt", {item.label for item in items})
        return Contents(names, items, truth)


@dataclass(frozen=True)
class _Pictures:
    """Makes items of image files, turned as they are displayed or as they are stored."""

    images: Path
    displayed: bool
    oriented: dict[str, ImageFacts] = field(default_factory=dict)

    def items(self, labels: Mapping[str, int], splits: Mapping[str, SplitName]) -> list[Item]:
        found = []
        for (name, label), fact in zip(labels.items(), inspect_images(self.images, list(labels)), strict=True):
            orientation = fact.orientation if self.displayed else 1
            width, height = turned_size(fact.width, fact.height, orientation)
            found.append(Item(name, name, label, width, height, splits[name], fact.sha256, orientation))
            if fact.orientation != 1:
                self.oriented[name] = fact
        return found

    @property
    def turned(self) -> Turned:
        lying = {name for name, fact in self.oriented.items() if turned_size(0, 1, fact.orientation) == (1, 0)}
        return Turned(frozenset(lying), f"datasets.image_folder.orientation: {_OTHER[self.displayed]}")

    def say_orientation(self) -> None:
        if self.oriented:
            _log.warning(
                "%d images have an EXIF orientation (%s) and are %s; boxes and masks must fit that "
                "(datasets.image_folder.orientation: %s would be the other choice)",
                len(self.oriented),
                first_three(list(self.oriented)),
                "turned, as viewers display them" if self.displayed else "not turned",
                _OTHER[self.displayed],
            )


def _found(images: Path) -> list[str]:
    """Return the images below a folder, in order, by their paths; hidden files are left out."""
    found = files_below(images)
    for path in map(Path, found):
        if path.suffix.lower() not in _SUFFIXES:
            raise DataError(
                f"{images / path} is no image that is read ({', '.join(sorted(_SUFFIXES))}); take it out of images"
            )
        if len(path.parts) == 1:
            raise DataError(f"{images / path} lies in no folder of a class; move it to {images}/<class>/{path.name}")
    return found


def _read_splits(path: Path, paths: list[str]) -> dict[str, SplitName]:
    splits: dict[str, SplitName] = {}
    known: dict[str, SplitName] = {split: split for split in SPLITS}
    for number, (name, split) in read_rows(path, ("id", "split")):
        if split not in known:
            raise DataError(f"{path}:{number}: split '{split}' is none of {', '.join(SPLITS)}")
        if name in splits:
            raise DataError(f"{path}:{number}: image '{name}' has a line already; remove one of them")
        splits[name] = known[split]
    missing, extra = [each for each in paths if each not in splits], sorted(set(splits) - set(paths))
    if missing or extra:
        which = f"misses {len(missing)} images" if missing else f"names {len(extra)} images that are not there"
        raise DataError(f"{path} {which}:\n{summarised(missing or extra)}")
    return splits


def _check_sizes(path: Path, items: Sequence[Item], entries: Mapping[str, Entry], turned: Turned) -> None:
    differing = [
        item
        for item in items
        if (entry := entries[item.id]).width and (item.width, item.height) != (entry.width, entry.height)
    ]
    if not differing:
        return
    guess = ""
    if all((item.height, item.width) == (entries[item.id].width, entries[item.id].height) for item in differing):
        lying = all(item.id in turned.ids for item in differing)
        guess = f"; with {turned.other} they would fit" if lying else " (h,w? A line is id,width,height)"
    lines = [
        f"{item.id}: {item.width}x{item.height} pixels, not {entries[item.id].width}x{entries[item.id].height}"
        for item in differing
    ]
    raise DataError(
        f"{path}: {len(differing)} of {len(items)} images have another size, so their boxes may not fit{guess}; "
        f"correct images or metadata:\n{summarised(lines)}"
    )
