"""Anybody's own images: a folder per class with boxes or masks, or the metadata files of Choe et al."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from wsolbench.acquire.choe_metadata import class_names
from wsolbench.acquire.choe_splits import ChoeSplits
from wsolbench.acquire.dealing import TEST_SHARE, VAL_SHARE, check_shares, deal
from wsolbench.acquire.mask_checks import MaskFiles, with_masks
from wsolbench.acquire.mask_files import Greys
from wsolbench.acquire.official_boxes import OfficialBoxes
from wsolbench.acquire.pictures import Pictures
from wsolbench.data.boxes import check_boxes
from wsolbench.data.dataset import SPLITS, Contents, Item, SplitName, Truth
from wsolbench.data.folders import IMAGE_SUFFIXES, files_below
from wsolbench.data.images import summarised
from wsolbench.data.mask_names import match_masks
from wsolbench.data.roots import RootedDataset
from wsolbench.data.tables import as_number, read_boxes, read_rows
from wsolbench.errors import DataError, counted

__all__ = ["ImageFolder"]


class ImageFolder(RootedDataset):
    """Images of one's own, in one of two arrangements.

    **Folders.** ``<root>/images/<class>/...``, classes by the names of their folders in order; ``<root>/boxes.csv``
    with the header ``id,x0,y0,x1,y1`` (half-open, pixels) and a line per box, ids being paths below ``images``; and/or
    ``<root>/masks`` with the same paths, named as :func:`wsolbench.data.mask_names.match_masks` says. Links are
    followed. ``<root>/splits.csv`` (``id,split``) says which image is for what. Without it, the images with truth are
    dealt to ``test``, ``val`` and ``train``, class by class and by the shares given here, as
    :func:`wsolbench.acquire.dealing.deal` says; all others are ``train``, where truth is left aside.

    **Lists.** ``<root>/metadata/{train,val,test}`` with the files of Choe et al. (CVPR 2020, arXiv 2001.07437), ids
    being paths below ``<root>/images``; without ``train`` the set is for evaluation only, without ``val`` no threshold
    can be chosen. Masks are named in ``localization.txt`` by paths below ``images``. Sizes may be left out where there
    are masks only. Classes are named by the lines of ``<root>/class_names.txt`` or, without it, by their numbers.

    Args:
        root: directory that holds all this; see :class:`wsolbench.data.roots.RootedDataset`.
        test_share: of a class's images with truth, for folders without ``splits.csv``; above 0, at most 1.
        val_share: likewise; 0 for no ``val``.
        mask_above: level that an object's pixels exceed in a mask; :mod:`wsolbench.acquire.mask_files` says what a
            level is.
        ignore_grey: level of pixels in a mask that count for neither side; None for none.
        orientation: ``displayed`` turns pictures by their EXIF orientation, as viewers and annotation tools do;
            ``raster`` takes them as they are stored. Boxes and masks must fit what is chosen.

    Raises:
        SettingsError: the shares are none.
    """

    title = "Own images"
    reference = "the user's own; the terms are those of the images"
    traits: ClassVar[frozenset[str]] = frozenset({"boxes", "masks"})
    is_published = False
    how_to = (
        "Put the images into <root>/images/<class>/, and their truth into <root>/boxes.csv (header id,x0,y0,x1,y1, one "
        "line per box, ids being paths below images) or <root>/masks/<class>/<name>.png; images without truth are "
        "for training. Or describe them with Choe et al.'s files image_ids.txt, class_labels.txt, image_sizes.txt and "
        "localization.txt in <root>/metadata/{train,val,test}."
    )

    def __init__(
        self,
        root: str | None = None,
        test_share: float = TEST_SHARE,
        val_share: float = VAL_SHARE,
        mask_above: Annotated[int, Field(ge=0, lt=255)] = 0,
        ignore_grey: Annotated[int, Field(ge=0, le=255)] | None = None,
        orientation: Literal["displayed", "raster"] = "displayed",
    ) -> None:
        super().__init__(root)
        check_shares(test_share, val_share)
        self._shares = test_share, val_share
        self._greys = Greys(mask_above, ignore_grey)
        self.orientation = orientation

    def watched(self) -> Sequence[Path]:
        """Return the directory of images."""
        return self.below("images")

    def watched_truth(self) -> Sequence[Path]:
        """Return the directories of masks and lists, and the tables."""
        return self.below("masks", "metadata", "boxes.csv", "splits.csv", "class_names.txt")

    def contents(self, directory: Path) -> Contents:
        """Read what describes the images, and decode every image once."""
        base = self.root("images")
        pictures = Pictures(base / "images", self.key, displayed=self.orientation == "displayed")
        lists = (base / "metadata").is_dir()
        found = self._of_lists(base, pictures) if lists else self._of_folders(base, pictures)
        where = base / ("metadata" if lists else "boxes.csv")
        check_boxes(str(where), found.items, found.truth, pictures.turned)
        official, truth = OfficialBoxes(), found.truth
        truth = {item.id: official.truth(truth[item.id].boxes, item, where) for item in found.items if item.id in truth}
        masks = base / ("images" if lists else "masks")
        truth = with_masks(masks, found.items, truth, found.masks, self._greys, pictures.turned, own=True)
        pictures.warn_of_orientation()
        examined = {item.id for item in found.items if item.split != "train"}
        truth = {name: each for name, each in truth.items() if name in examined}
        return Contents(found.class_names, found.items, truth, official.clipped)

    def image_root(self, directory: Path) -> Path:
        """Return ``<root>/images``."""
        return self.root("images") / "images"

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Return whether there are images, and something that tells where their objects are."""
        return (root / "images").is_dir() and any((root / name).exists() for name in ("boxes.csv", "masks", "metadata"))

    @classmethod
    def lacks(cls, root: Path) -> str:
        """Return that there are folders of images, and nothing that tells where their objects are."""
        if cls.recognises(root) or not any(path.is_dir() for path in (root / "images").glob("*")):
            return ""
        return f"{root}: images/ is there, boxes.csv or masks/ is not. {cls.how_to}"

    def _of_folders(self, base: Path, pictures: Pictures) -> _Found:
        paths = _images_below(base / "images")
        names = sorted({path.split("/")[0] for path in paths})
        boxes = _read_boxes(base / "boxes.csv", paths) if (base / "boxes.csv").is_file() else {}
        masks = {path: MaskFiles((mask,)) for path, mask in match_masks(base / "masks", paths).items()}
        truth = {path: Truth(boxes.get(path, np.zeros((0, 4)))) for path in paths if path in boxes or path in masks}
        if not truth:
            raise DataError(
                f"{base} has neither boxes.csv nor masks, so that there is nothing to test on. {self.how_to}"
            )
        labels = {path: names.index(path.split("/")[0]) for path in paths}
        if (base / "splits.csv").is_file():
            splits = _read_splits(base / "splits.csv", paths)
        else:
            trained = {label for path, label in labels.items() if path not in truth}
            dealt = deal({path: labels[path] for path in truth}, *self._shares, trained)
            splits = {path: dealt.get(path, "train") for path in paths}
        return _Found(names, pictures.items(labels, splits), truth, masks)

    def _of_lists(self, base: Path, pictures: Pictures) -> _Found:
        found = ChoeSplits(pictures)
        for split in SPLITS:
            if split == "test" or (base / "metadata" / split).is_dir():
                found.read(base / "metadata" / split, split, tolerated=0)
        names = class_names(base / "class_names.txt", {item.label for item in found.items})
        return _Found(names, found.items, found.truth, found.masks)


@dataclass(frozen=True)
class _Found:
    """What is known of the images before their masks are read; the truth has boxes only."""

    class_names: Sequence[str]
    items: Sequence[Item]
    truth: Mapping[str, Truth]
    masks: Mapping[str, MaskFiles]


def _images_below(images: Path) -> list[str]:
    """Return the images below a folder, in order, by their paths; hidden files are left out."""
    found = files_below(images)
    for path in map(Path, found):
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            raise DataError(
                f"{images / path} is no image that is read ({', '.join(sorted(IMAGE_SUFFIXES))}); take it out of images"
            )
        if len(path.parts) == 1:
            raise DataError(f"{images / path} lies in no folder of a class; move it to {images}/<class>/{path.name}")
    return found


def _read_boxes(path: Path, paths: list[str]) -> dict[str, NDArray[np.float64]]:
    boxes = read_boxes(path, set(paths), "images")
    lines: dict[tuple[str | float, ...], int] = {}
    for number, (name, *corners) in read_rows(path, ("id", "x0", "y0", "x1", "y1")):
        first = lines.setdefault((name, *map(as_number, corners)), number)
        if first != number:
            raise DataError(f"{path}:{number}: image '{name}' has this box in line {first} already; remove one of them")
    return boxes


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
        verb, what = ("misses" if missing else "names, and there is not,"), counted(len(missing or extra), "image")
        raise DataError(f"{path} {verb} {what}:\n{summarised(missing or extra)}")
    return splits
