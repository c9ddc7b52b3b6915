"""Anybody's own images with annotations in PASCAL VOC's format: an XML file per image, and masks if there are any."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from wsolbench.acquire.annotated import AnnotatedDataset, AnnotatedImage, Thing, split_in
from wsolbench.acquire.choe_metadata import read_list
from wsolbench.acquire.dealing import TEST_SHARE, VAL_SHARE
from wsolbench.acquire.mask_files import mask_levels
from wsolbench.data.dataset import Item, SplitName
from wsolbench.data.folders import IMAGE_SUFFIXES, files_below
from wsolbench.data.masks import Mask, tight_box
from wsolbench.data.tables import as_number
from wsolbench.errors import DataError, counted, first_three
from wsolbench.files import parse_file

__all__ = ["VocFolder"]

_ANNOTATIONS, _LISTS, _OBJECTS, _CLASSES = "Annotations", "ImageSets/Main", "SegmentationObject", "SegmentationClass"
_MASKS = (_OBJECTS, _CLASSES)
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_VOID = 255
_LONGEST = 10_000_000  # bytes of an XML file
_SAME = 0.5  # IoU from which on an instance's pixels are those of a box


class VocFolder(AnnotatedDataset):
    """Images of one's own with annotations as PASCAL VOC, LabelImg and other tools write them.

    An XML file per image in ``Annotations`` (or, without that folder, anywhere, as beside the images) names objects and
    their boxes; its image is found by its stem, in ``JPEGImages`` or anywhere else. ``ImageSets/Main`` says with lists
    of stems (``train.txt``, ``val.txt`` or ``trainval.txt``, ``test.txt``) which is for what, or else folders do that
    are called ``train``, ``valid`` or ``val``, and ``test``.

    Boxes ``xmin, ymin, xmax, ymax`` count pixels from 1 and include the last one; they become ``xmin - 1, ymin - 1,
    xmax, ymax``, half-open. Tools that count from 0 are taken at their word with ``first_pixel: 0``: then they are
    ``xmin, ymin, xmax, ymax``. Objects that are marked as difficult or truncated are objects like others.

    Masks are ``SegmentationObject/<stem>.png``, whose levels (or palette indices) are instances, each of the object
    whose box it fits best; or ``SegmentationClass/<stem>.png`` for images of one class, where all levels are the one
    mask of all objects. Level 255 counts for neither side. Pixels are scored where all images of ``val`` and ``test``
    have masks.

    Source: M. Everingham et al., The PASCAL Visual Object Classes Challenge, IJCV 2010, and its development kit.

    Args:
        root: directory that holds all this (``VOC2012``, say); see :class:`wsolbench.data.roots.RootedDataset`.
        first_pixel: what coordinates count from.
        label: see :class:`wsolbench.acquire.annotated.AnnotatedDataset`, as of the other arguments.
        test_share: likewise.
        val_share: likewise.
        orientation: likewise.
    """

    title = "Own images (PASCAL VOC)"
    how_to = (
        "It holds Annotations/*.xml, JPEGImages/* and, if there are, ImageSets/Main/{train,val,test}.txt and "
        "SegmentationObject/*.png; or XML files beside their images."
    )

    def __init__(
        self,
        root: str | None = None,
        first_pixel: Literal[0, 1] = 1,
        label: Literal["only", "largest"] = "only",
        test_share: float = TEST_SHARE,
        val_share: float = VAL_SHARE,
        orientation: Literal["displayed", "raster"] = "displayed",
    ) -> None:
        super().__init__(root, label, test_share, val_share, orientation)
        self._first = first_pixel

    def watched_truth(self) -> Sequence[Path]:
        """Return the folders of annotations, lists and masks; all of the root where annotations lie elsewhere."""
        whole = any(not (base / _ANNOTATIONS).is_dir() for base in self.below("."))
        return self.below(".") if whole else self.below(_ANNOTATIONS, _LISTS, *_MASKS)

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Return whether an XML file is an annotation."""
        first = next(iter(_annotations(root, files_below(root))), None)
        return first is not None and b"<annotation" in (root / first).read_bytes()[:4096]

    def annotated(self, base: Path) -> list[AnnotatedImage]:
        """Read the files; see :meth:`AnnotatedDataset.annotated`."""
        files = files_below(base)
        annotations = _annotations(base, files)
        if not annotations:
            raise DataError(f"{base} holds no annotations. {self.how_to}")
        pictures = _by_stem(path for path in files if _is_image(path))
        masks = {path for path in files if PurePosixPath(path).parent.name in _MASKS}
        lists = _lists(base / _LISTS, {PurePosixPath(path).stem for path in annotations})
        found: dict[str, AnnotatedImage] = {}
        for path in annotations:
            stem = PurePosixPath(path).stem
            image = _image_of(base / path, path, pictures.get(stem, []))
            split = lists.get(stem) if lists else split_in(str(PurePosixPath(path).parent))
            if image in found:
                raise DataError(f"{base / path}: image '{image}' belongs to {found[image].source}, too; take one away")
            found[image] = self._read(base / path, image, split, _mask_files(base, path, masks))
        return list(found.values())

    def _read(self, path: Path, image: str, split: SplitName | None, masks: Mapping[str, Path]) -> AnnotatedImage:
        tree = parse_file(path, _tree, "write it as other annotations are, or take it away")
        things = [self._thing(path, each) for each in tree.iterfind("object")]
        size = (_side(path, tree.findtext("size/width")), _side(path, tree.findtext("size/height")))
        return AnnotatedImage(image, path, things, partial(_masks, masks, things), size, split)

    def _thing(self, path: Path, found: ET.Element) -> Thing:
        name = (found.findtext("name") or "").strip()
        try:
            x0, y0, x1, y1 = (as_number(found.findtext(f"bndbox/{corner}") or "") for corner in _CORNERS)
        except ValueError as error:
            raise DataError(f"{path}: object '{name}': {', '.join(_CORNERS)} must be numbers ({error})") from None
        if not name:
            raise DataError(f"{path}: an object has no name; give it one")
        if min(x0, y0) < self._first:
            raise DataError(
                f"{path}: object '{name}' begins at {min(x0, y0):g}, before pixel {self._first}"
                f"{'' if min(x0, y0) < 0 else f'; from 0? Set datasets.{self.key}.first_pixel to 0'}"
            )
        return Thing(name, (x0 - self._first, y0 - self._first, x1, y1))


def _annotations(base: Path, files: Sequence[str]) -> list[str]:
    """Return the XML files, below ``Annotations`` where there is that folder."""
    found = [path for path in files if path.lower().endswith(".xml")]
    return [path for path in found if path.startswith(f"{_ANNOTATIONS}/")] if (base / _ANNOTATIONS).is_dir() else found


def _is_image(path: str) -> bool:
    found = PurePosixPath(path)
    return found.suffix.lower() in IMAGE_SUFFIXES and found.parent.name not in _MASKS


def _by_stem(paths: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in paths:
        found.setdefault(PurePosixPath(path).stem, []).append(path)
    return found


def _image_of(source: Path, path: str, images: Sequence[str]) -> str:
    """Return the image of an XML file: the one beside it, or else the only one of its stem."""
    beside = [image for image in images if PurePosixPath(image).parent == PurePosixPath(path).parent]
    chosen = beside or images
    if len(chosen) != 1:
        which = f"two or more have its name ({first_three(chosen)})" if chosen else "no image has its name"
        raise DataError(f"{source}: {which}; put the image beside it or into JPEGImages")
    return chosen[0]


def _lists(folder: Path, stems: set[str]) -> dict[str, SplitName]:
    """Return the split of each stem that a list names; nothing where there are no lists."""
    named = {name: _stems(folder / f"{name}.txt") for name in ("test", "val", "train", "trainval")}
    trained = named["train"] or [stem for stem in named["trainval"] if stem not in set(named["val"])]
    found: dict[str, SplitName] = {}
    by_split: dict[SplitName, list[str]] = {"test": named["test"], "val": named["val"], "train": trained}
    for split, listed in by_split.items():
        for stem in listed:
            if found.setdefault(stem, split) != split:
                raise DataError(f"{folder}: '{stem}' is in {found[stem]}.txt and in {split}.txt; take it out of one")
    missing = [stem for stem in found if stem not in stems]
    if missing:
        what = counted(len(missing), "image")
        raise DataError(f"{folder} names {what} without annotations: {first_three(missing)}")
    return found


def _stems(path: Path) -> list[str]:
    return [line.split()[0] for line in read_list(path)] if path.is_file() else []


def _mask_files(base: Path, path: str, masks: set[str]) -> dict[str, Path]:
    found = PurePosixPath(path)
    names = {kind: f"{(found.parent.parent / kind / found.stem).as_posix()}.png" for kind in _MASKS}
    return {kind: base / name for kind, name in names.items() if name in masks}


def _tree(data: bytes) -> ET.Element:
    """Return the root of an annotation; entities, which could grow without limit, are not even read."""
    if len(data) > _LONGEST or any(sign in data for sign in (b"<!DOCTYPE", b"<!ENTITY", b"\0")):
        raise ValueError("it is larger than 10 MB, has a DOCTYPE, or is not UTF-8")
    tree = ET.fromstring(data)  # noqa: S314 - no DOCTYPE, so that there are no entities
    if tree.tag != "annotation":
        raise ValueError(f"it begins with <{tree.tag}>, not with <annotation>")
    return tree


def _side(path: Path, text: str | None) -> int:
    try:
        return int(as_number(text or "0"))
    except ValueError as error:
        raise DataError(f"{path}: width and height must be numbers ({error})") from None


def _masks(
    files: Mapping[str, Path], things: Sequence[Thing], places: Sequence[int], item: Item
) -> tuple[Sequence[Mask] | None, Mask | None]:
    del item  # whose size is compared with the masks' by the caller
    if _OBJECTS in files:
        levels = _levels(files[_OBJECTS])
        masks = _instances(levels, things, places)
    elif _CLASSES in files and len({thing.name for thing in things}) == 1:
        levels = _levels(files[_CLASSES])
        masks = [(levels != 0) & (levels != _VOID)]
    else:
        return None, None
    return masks, levels == _VOID


def _levels(path: Path) -> NDArray[np.integer[Any]]:
    levels = mask_levels(path)
    if levels.shape[2] != 1:
        raise DataError(f"{path} has colours, and not a palette or greys, so that its instances have no numbers")
    return levels[..., 0]


def _instances(
    levels: NDArray[np.integer[Any]], things: Sequence[Thing], places: Sequence[int]
) -> Sequence[Mask] | None:
    """Return the pixels of each chosen object: those of the instances that fit its box best; None if one has none."""
    masks: dict[int, Mask] = {}
    for level in set(np.unique(levels).tolist()) - {0, _VOID}:
        mask = levels == level
        overlaps = [_iou(tight_box(mask), thing.box) for thing in things]
        best = int(np.argmax(overlaps)) if overlaps else -1
        if best >= 0 and overlaps[best] >= _SAME:
            masks[best] = masks.get(best, mask) | mask
    return [masks[place] for place in places] if all(place in masks for place in places) else None


def _iou(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    across, down = (max(min(one[k + 2], other[k + 2]) - max(one[k], other[k]), 0.0) for k in (0, 1))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return across * down / max(sum(areas) - across * down, 1e-9)
