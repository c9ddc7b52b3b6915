"""Anybody's own images with annotations in COCO's format: instances in JSON, with boxes, polygons or run lengths."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from wsolbench.acquire.annotated import AnnotatedDataset, AnnotatedImage, Thing, split_in
from wsolbench.acquire.dealing import TEST_SHARE, VAL_SHARE
from wsolbench.acquire.official_boxes import TOLERATED
from wsolbench.data.dataset import Item, SplitName
from wsolbench.data.masks import Mask, polygon_mask, runs_mask, runs_of_text
from wsolbench.errors import DataError
from wsolbench.files import parse_file

__all__ = ["CocoFolder"]

_BOX, _TRIANGLE = 4, 6
_KEYS = (b'"images"', b'"annotations"', b'"categories"')
_PLACES = ("*.json", "*/*.json")

Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e7, le=1e7)]
Side = Annotated[int, Field(ge=0, le=100_000)]


class _Image(BaseModel):
    id: int | str
    file_name: str
    width: Side = 0
    height: Side = 0


class _Runs(BaseModel):
    size: tuple[Side, Side]  # height, width
    counts: str | list[int]


class _Annotation(BaseModel):
    image_id: int | str
    category_id: int | str
    bbox: list[Number] | None = None
    segmentation: _Runs | list[list[Number]] | None = None
    iscrowd: int = 0


class _Category(BaseModel):
    id: int | str
    name: str


class _File(BaseModel):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


class CocoFolder(AnnotatedDataset):
    """Images of one's own with annotations as COCO, and most annotation tools, write them.

    Files of annotations are JSON with ``images``, ``annotations`` and ``categories``. By default they are looked for in
    the root and in the folders below it (``annotations/instances_train2017.json``, ``train/_annotations.coco.json``,
    ``result.json``); where there are ``instances*.json``, only these count. A word in the path says which split a file
    is of: ``train``, ``val`` or ``valid``, ``test``; a single file without one is of all. Images lie beside the
    file, in the root, in ``images``, or in a folder that is called as the file (``train2017``).

    A box ``x, y, width, height`` becomes ``x, y, x + width, y + height``, half-open, 0, 0 being the image's upper left
    corner. An object without one has that around its segmentation. A polygon covers the pixels whose centres lie in it;
    several of one object are united. (COCO's own tools differ by part of a pixel along the outline.) Run lengths
    may be plain or compressed. Pixels are scored where all objects of ``val`` and ``test`` have a segmentation.

    Source: T.-Y. Lin et al., Microsoft COCO, ECCV 2014, arXiv 1405.0312; cocodataset.org/#format-data.

    Args:
        root: directory that holds all this; see :class:`wsolbench.data.roots.RootedDataset`.
        annotations: file of all images, or file by split, relative to the root; None to look for them.
        images: folder that file names are relative to, itself relative to the root; None to look for it.
        label: see :class:`wsolbench.acquire.annotated.AnnotatedDataset`, as of the other arguments.
        test_share: likewise.
        val_share: likewise.
        orientation: likewise.
    """

    title = "Own images (COCO)"
    how_to = (
        "It holds images, and JSON files in COCO's format (images, annotations, categories): annotations/*.json, "
        "<split>/*.json or *.json."
    )

    def __init__(
        self,
        root: str | None = None,
        annotations: str | dict[SplitName, str] | None = None,
        images: str | None = None,
        label: Literal["only", "largest"] = "only",
        test_share: float = TEST_SHARE,
        val_share: float = VAL_SHARE,
        orientation: Literal["displayed", "raster"] = "displayed",
    ) -> None:
        super().__init__(root, label, test_share, val_share, orientation)
        self._files, self._images = annotations, images

    def watched_truth(self) -> Sequence[Path]:
        """Return the files of annotations."""
        if self._files is not None:
            return self.below(*([self._files] if isinstance(self._files, str) else self._files.values()))
        return [path for base in self.below(".") for path in _candidates(base)]

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Return whether there is a JSON file of images and annotations."""
        texts = (path.read_bytes() for path in _candidates(root) if path.is_file())
        return any(b'"annotations"' in text and b'"images"' in text for text in texts)

    @classmethod
    def lacks(cls, root: Path) -> str:
        """Return which JSON file of images or annotations is damaged."""
        for path in filter(Path.is_file, _candidates(root)):
            text = path.read_bytes()
            if path.name.startswith("instances") or any(key in text for key in _KEYS):
                try:
                    parse_file(path, json.loads, "export it again")
                except DataError as error:
                    return str(error)
        return ""

    def annotated(self, base: Path) -> list[AnnotatedImage]:
        """Read the files; see :meth:`AnnotatedDataset.annotated`."""
        found: dict[str, AnnotatedImage] = {}
        for path, split in self._by_split(base).items():
            content = parse_file(
                path, _File.model_validate_json, "write images, annotations and categories as COCO does"
            )
            folder = self._folder(base, path, content.images)
            for image in _images_of(path, content, folder, split):
                if image.path in found:
                    raise DataError(f"{path}: image '{image.path}' is in {found[image.path].source}, too; take one out")
                found[image.path] = image
        return list(found.values())

    def why_beyond(self, boxes: NDArray[np.float64], sizes: NDArray[np.int_]) -> str:
        """Return why many boxes may reach beyond their images; see :meth:`AnnotatedDataset.why_beyond`."""
        written = boxes[:, 2:] - boxes[:, :2]  # the last two numbers of each box
        corners = (written > boxes[:, :2]) & (written <= sizes.reshape(-1, 2))
        if corners.all(1).sum() > (1 - TOLERATED) * len(boxes):
            return "are they x0, y0, x1, y1 instead of x, y, width, height? Write them as COCO does"
        return super().why_beyond(boxes, sizes)

    def _by_split(self, base: Path) -> dict[Path, SplitName | None]:
        if isinstance(self._files, str):
            return {base / self._files: None}
        if self._files is not None:
            return {base / name: split for split, name in self._files.items()}
        files = _candidates(base)
        found = {path: split_in(path.relative_to(base).as_posix()) for path in files}
        if not files:
            raise DataError(f"{base} holds no file of annotations. {self.how_to}")
        splits = list(found.values())
        if len(files) > 1 and (None in splits or len(set(splits)) < len(splits)):
            listed = ", ".join(str(path.relative_to(base)) for path in files)
            raise DataError(
                f"{base}: of which split is which of {listed}? Set datasets.{self.key}.annotations to one of them, or "
                "to {train: ..., val: ..., test: ...}"
            )
        return found

    def _folder(self, base: Path, file: Path, images: Sequence[_Image]) -> str:
        """Return the folder below the root in which a file's images lie."""
        for image in images:
            parts = PurePosixPath(image.file_name).parts
            if not parts or ".." in parts or "/" in parts or "\\" in image.file_name:
                raise DataError(f"{file}: file_name '{image.file_name}' is no plain path below the images; correct it")
        beside, called = file.parent.relative_to(base).as_posix(), file.stem.removeprefix("instances_")
        usual = [beside, ".", "images", f"{beside}/images", called, f"images/{called}"]
        places = list(dict.fromkeys(usual)) if self._images is None else [self._images]
        for place in places:
            if images and (base / place / images[0].file_name).is_file():
                return place
        first = images[0].file_name if images else "none"
        raise DataError(
            f"{file}: its first image, {first}, is in none of the folders {', '.join(places)} of {base}; name the "
            f"right one as datasets.{self.key}.images"
        )


def _candidates(base: Path) -> list[Path]:
    files = sorted(path for place in _PLACES for path in base.glob(place) if not path.name.startswith("."))
    return [path for path in files if path.name.startswith("instances")] or files


def _images_of(path: Path, content: _File, folder: str, split: SplitName | None) -> list[AnnotatedImage]:
    names = {category.id: category.name for category in content.categories}
    annotations: dict[int | str, list[_Annotation]] = {image.id: [] for image in content.images}
    if len(annotations) < len(content.images):
        raise DataError(f"{path}: two images have the same id; number them anew")
    for number, each in enumerate(content.annotations):
        if each.image_id not in annotations or each.category_id not in names:
            raise DataError(
                f"{path}: annotations.{number}: there is no image {each.image_id!r} or no category {each.category_id!r}"
            )
        annotations[each.image_id].append(each)
    found = []
    for image in content.images:
        own = annotations[image.id]
        where = f"{path}: image '{image.file_name}'"
        things = [Thing(names[each.category_id], _box(each, where), bool(each.iscrowd)) for each in own]
        name = (PurePosixPath(folder) / image.file_name).as_posix()
        masks = partial(_masks, own, where)
        found.append(AnnotatedImage(name, path, things, masks, (image.width, image.height), split))
    return found


def _box(annotation: _Annotation, where: str) -> tuple[float, float, float, float]:
    if annotation.bbox and len(annotation.bbox) != _BOX:
        raise DataError(f"{where}: bbox {annotation.bbox} is not x, y, width, height; correct it")
    if annotation.bbox:
        x, y, width, height = annotation.bbox
        return x, y, x + width, y + height
    shape = annotation.segmentation
    if isinstance(shape, list) and any(shape):
        corners = np.array([value for polygon in shape for value in polygon]).reshape(-1, 2)
    elif isinstance(shape, _Runs):
        pixels = np.argwhere(_mask(annotation, *shape.size, where))[:, ::-1]
        corners = np.concatenate([pixels, pixels + 1]).astype(np.float64)
    if not shape or not len(corners):
        raise DataError(f"{where}: an object has neither bbox nor segmentation; draw it, or take it out")
    (x0, y0), (x1, y1) = corners.min(0).tolist(), corners.max(0).tolist()
    return x0, y0, x1, y1


def _masks(
    annotations: Sequence[_Annotation], where: str, places: Sequence[int], item: Item
) -> tuple[Sequence[Mask] | None, Mask | None]:
    own = [annotations[place] for place in places]
    if not all(each.segmentation for each in own):
        return None, None
    group = [each for each in annotations if each.iscrowd and each.category_id == own[0].category_id]
    ignored = [_mask(each, item.height, item.width, where) for each in group if each.segmentation]
    return [_mask(each, item.height, item.width, where) for each in own], np.any(ignored, 0) if ignored else None


def _mask(annotation: _Annotation, height: int, width: int, where: str) -> Mask:
    shape = annotation.segmentation
    if isinstance(shape, _Runs):
        try:
            runs = runs_of_text(shape.counts) if isinstance(shape.counts, str) else shape.counts
            return runs_mask(runs, *shape.size)
        except DataError as error:
            raise DataError(f"{where}: {error}") from None
    mask = np.zeros((height, width), np.bool_)
    for polygon in shape or ():
        if len(polygon) < _TRIANGLE or len(polygon) % 2:
            raise DataError(
                f"{where}: a polygon of {len(polygon)} numbers is not x, y, x, y, ... of three corners or more"
            )
        mask |= polygon_mask(np.array(polygon).reshape(-1, 2), height, width)
    return mask
