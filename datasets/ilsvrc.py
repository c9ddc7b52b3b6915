"""ILSVRC-2012, from the official directory as it unpacks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from wsolbench.acquire.choe_metadata import numbered_lines, read_list
from wsolbench.acquire.choe_splits import ChoeSplits
from wsolbench.acquire.official_boxes import OfficialBoxes
from wsolbench.acquire.pictures import Pictures
from wsolbench.acquire.sources import NAMES_FILE, Archive, Sources
from wsolbench.config.ranges import Positive
from wsolbench.data.dataset import Contents, Item, SplitName
from wsolbench.data.roots import RootedDataset
from wsolbench.data.tables import as_number, read_rows
from wsolbench.errors import DataError, counted
from wsolbench.files import bytes_sha256

__all__ = ["Ilsvrc"]

_IMAGES = Path("ILSVRC", "Data", "CLS-LOC")
_SYNSETS = "LOC_synset_mapping.txt"
_SOLUTION = "LOC_val_solution.csv"
_BOX = 4
_CLASSES = 1000
_GET = (
    "ILSVRC-2012 may not be passed on: get an account at image-net.org (or join the ImageNet Object Localization "
    "Challenge on kaggle.com) and download it yourself."
)
_TEST_IMAGES = Archive(
    "ILSVRC2012_img_val.tar",
    makes=str(_IMAGES / "val"),
    how_to_get=_GET,
    size=6_744_924_160,
    sha256="c7e06a6c0baccf06d8dbeb6577d71efff84673a5dbdd50633ab44f8ea0456ae0",
    md5="29b22e2961454d5413ddabcf34fc5622",
)
_TRAINING_IMAGES = Archive(
    "ILSVRC2012_img_train.tar",
    makes=str(_IMAGES / "train"),
    how_to_get=_GET,
    nested=True,
    size=147_897_477_120,
    sha256="b08200a27a8e34218a0e58fde36b0fe8f73bc377f4acea2d91602057c3ca45bb",
    md5="1d675b47d978889d74fa0da5fadfb00e",
)
_IMAGENETV2 = Archive(
    "imagenetv2-threshold0.7.tar.gz",
    makes="imagenetv2",
    how_to_get="Download imagenetv2-threshold0.7.tar.gz (605 MB), to which imagenetv2.org links.",
    size=605_399_040,
    sha256="bf2e2d9b625ae29c6e44982928f36220af62359b74602a995518a06840d0d76e",
    urls=(
        "https://s3-us-west-2.amazonaws.com/imagenetv2public/imagenetv2-threshold0.7.tar.gz",
        "https://huggingface.co/datasets/vaishaal/ImageNetV2/resolve/main/imagenetv2-threshold0.7.tar.gz",
    ),
)


class Ilsvrc(RootedDataset):
    """ImageNet's 1000 classes with boxes, split as Choe et al. (CVPR 2020, arXiv 2001.07437).

    ``train`` is the official training split (labels only), ``test`` the official validation split with its boxes.
    ``val`` are images of ImageNetV2 with boxes of Choe et al.; both have to be at hand. Its files may have the names
    that they had in 2020, by which Choe et al. list them, or those of today. Where they are not at hand, ``holdout``
    takes ``val`` out of the official validation split: the images whose id has the lowest sha256, a choice that needs
    no list and no seed; ``test`` has the others, and its numbers are not the papers'. Ids are paths below
    ``ILSVRC/Data/CLS-LOC`` (``val/ILSVRC2012_val_00000001.JPEG``), those of ImageNetV2 as Choe et al. spell them
    (``val2/0/0.jpeg``). Labels follow the order of ``LOC_synset_mapping.txt`` or, without it, that of the sorted
    synsets, which is the same and that of all pretrained classifiers. Boxes are those of ``LOC_val_solution.csv`` or,
    without it, of Choe et al.'s lists, as they are written; what reaches beyond its image is clipped to it.

    Source: Russakovsky et al., IJCV 2015, arXiv 1409.0575; Recht et al., ICML 2019, arXiv 1902.10811 (ImageNetV2).

    Args:
        root: directory that holds ``ILSVRC``; see :class:`wsolbench.data.roots.RootedDataset`.
        train: ``full``; ``proxy``, the tenth that Choe et al. list in ``image_ids_proxy.txt``; or ``none`` to evaluate
            a pretrained classifier only.
        val: ``imagenetv2``; ``holdout``, a part of the official validation split, which ``test`` then lacks; or
            ``none``: then no threshold can be chosen on it.
        holdout_images: how many images ``holdout`` takes.
        imagenetv2: directory of ImageNetV2's folders ``0`` to ``999``, for ``val: imagenetv2``; None for ``imagenetv2``
            below the root, where it is downloaded.
        metadata: directory with Choe et al.'s ``train``, ``val`` and ``test`` metadata; None for ``metadata/ILSVRC``
            below the root, where what is needed is downloaded.
    """

    title = "ILSVRC-2012"
    reference = "Russakovsky et al., IJCV 2015, arXiv 1409.0575; non-commercial research and education"
    traits: ClassVar[frozenset[str]] = frozenset({"boxes", "restricted"})
    how_to = (
        f"{_GET} It holds ILSVRC2012_img_val.tar (6.7 GB) and, for training, ILSVRC2012_img_train.tar (148 GB), or "
        f"what they unpack to: {_IMAGES}/val/*.JPEG and {_IMAGES}/train/<synset>/*.JPEG."
    )

    def __init__(
        self,
        root: str | None = None,
        train: Literal["full", "proxy", "none"] = "full",
        val: Literal["imagenetv2", "holdout", "none"] = "none",
        holdout_images: Positive = 5000,
        imagenetv2: str | None = None,
        metadata: str | None = None,
    ) -> None:
        super().__init__(root)
        self._train, self._val, self._holdout = train, val, holdout_images
        self._v2 = None if imagenetv2 is None else Path(imagenetv2).expanduser()
        self._metadata = None if metadata is None else Path(metadata).expanduser()

    def obtain(self, sources: Sources) -> None:
        """Unpack the images; download ImageNetV2 and Choe et al.'s lists, as far as they are needed."""
        root = self.root().resolve()
        sources.provide(_TEST_IMAGES, root)
        if self._train != "none":
            sources.provide(_TRAINING_IMAGES, root)
        if self._val == "imagenetv2" and self._v2 is None:
            sources.provide(_IMAGENETV2, root)
        for split in self._listed(root):
            sources.lists("ILSVRC", split, self._lists(root, split))
        if self._val == "imagenetv2":
            listed = self._lists(root, "val")
            if not (self._imagenetv2(root) / _below_val2(read_list(listed / "image_ids.txt")[0])).is_file():
                sources.imagenetv2_names(listed)

    def watched(self) -> Sequence[Path]:
        """Return the images' directories."""
        images = self.below(_IMAGES / "val", *([_IMAGES / "train"] if self._train != "none" else []))
        return [*images, *(self._imagenetv2(root) for root in self.below(".") if self._val == "imagenetv2")]

    def watched_truth(self) -> Sequence[Path]:
        """Return the lists of classes and boxes."""
        lists = [self._lists(root, split) for root in self.below(".") for split in self._listed(root)]
        return [*self.below(_SYNSETS, _SOLUTION), *lists]

    def contents(self, directory: Path) -> Contents:
        """Read lists and boxes, and decode every image once."""
        base, official = self._base(), OfficialBoxes()
        synsets, found = _read_synsets(base), ChoeSplits(Pictures(self.image_root(directory)), official)
        if self._train != "none":
            found.items.extend(found.pictures.items(self._training(base, synsets), "train"))
        if self._val == "imagenetv2":
            self._read_imagenetv2(base, found)
        if (base / _SOLUTION).is_file():
            _read_solution(base / _SOLUTION, synsets, found, official)
        else:
            found.read(self._lists(base, "test"), "test")
        official.check()
        items = self._with_holdout(found.items) if self._val == "holdout" else found.items
        return Contents(list(synsets), items, found.truth, official.clipped)

    def image_root(self, directory: Path) -> Path:
        """Return ``<root>/ILSVRC/Data/CLS-LOC``."""
        return self._base() / _IMAGES

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Return whether the images are there, unpacked."""
        return (root / _IMAGES / "val").is_dir()

    def _base(self) -> Path:
        return self.root(_IMAGES / "val").resolve()

    def _listed(self, root: Path) -> list[SplitName]:
        """Return the splits whose lists of Choe et al. are read."""
        wanted: dict[SplitName, bool] = {
            "train": self._train == "proxy",
            "val": self._val == "imagenetv2",
            "test": not (root / _SOLUTION).is_file(),
        }
        return [split for split, needed in wanted.items() if needed]

    def _lists(self, root: Path, split: SplitName) -> Path:
        return (self._metadata or root / "metadata" / "ILSVRC") / split

    def _imagenetv2(self, root: Path) -> Path:
        return self._v2 or root / "imagenetv2"

    def _training(self, base: Path, synsets: dict[str, int]) -> dict[str, int]:
        """Return the labels of the training images by their ids, which are their paths."""
        folder = base / _IMAGES / "train"
        if not folder.is_dir():
            raise DataError(f"{folder} is missing; set datasets.{self.key}.train: none to evaluate only. {self.how_to}")
        if self._train == "proxy":
            listed = read_list(self._lists(base, "train") / "image_ids_proxy.txt")
            return {name: _label(Path(name).parent.name, synsets, name) for name in listed}
        labels: dict[str, int] = {}
        for synset, label in synsets.items():
            files = sorted((folder / synset).glob("*.JPEG"))
            if not files:
                raise DataError(f"{folder / synset} has no .JPEG files; unpack the archive of that class again")
            labels |= {f"train/{synset}/{file.name}": label for file in files}
        return labels

    def _with_holdout(self, items: Sequence[Item]) -> list[Item]:
        """Return the same images, some of ``test`` as ``val``."""
        ids = sorted((item.id for item in items if item.split == "test"), key=lambda name: bytes_sha256(name.encode()))
        if len(ids) <= self._holdout:
            raise DataError(
                f"the official validation split has {counted(len(ids), 'image')}, of which "
                f"datasets.{self.key}.holdout_images would take {self._holdout} and leave none to test; lower it"
            )
        chosen = {*ids[: self._holdout]}
        return [replace(item, split="val") if item.id in chosen else item for item in items]

    def _read_imagenetv2(self, base: Path, found: ChoeSplits) -> None:
        folder, listed = self._imagenetv2(base).resolve(), self._lists(base, "val")
        renamed = _read_names(listed / NAMES_FILE)

        def path(image: str) -> str:
            name = _below_val2(image)
            return os.path.relpath(folder / (name if (folder / name).is_file() else renamed.get(name, name)), root)

        root = found.pictures.root
        found.read(listed, "val", path=path)


def _below_val2(image: str) -> str:
    return image.removeprefix("val2/")


def _read_names(path: Path) -> dict[str, str]:
    """Return the file of each image of ImageNetV2 by its former name; nothing where the list is not there."""
    names = {}
    for number, line in numbered_lines(path) if path.is_file() else ():
        former, *present = (name.strip() for name in line.split(","))
        if len(present) != 1:
            raise DataError(f"{path}:{number}: expected the former and the present name of an image, found '{line}'")
        names[former] = present[0]
    return names


def _read_synsets(base: Path) -> dict[str, int]:
    """Return the label of each class, in order: of the synsets, or of numbers where nothing names them."""
    if (base / _SYNSETS).is_file():
        return {line.split(maxsplit=1)[0]: label for label, line in enumerate(read_list(base / _SYNSETS))}
    folder = base / _IMAGES / "train"
    found = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir()) if folder.is_dir() else []
    if found and len(found) != _CLASSES:
        raise DataError(f"{folder} has {len(found)} folders, not {_CLASSES}, and {_SYNSETS} is missing; add it")
    return {name: label for label, name in enumerate(found or map(str, range(_CLASSES)))}


def _read_solution(path: Path, synsets: dict[str, int], found: ChoeSplits, official: OfficialBoxes) -> None:
    """Add the test images of the challenge's file, a line each: id, and synset and box of each object."""
    labels, boxes = dict[str, int](), dict[str, NDArray[np.float64]]()
    for number, (name, prediction) in read_rows(path, ("ImageId", "PredictionString")):
        fields, image = prediction.split(), f"val/{name}.JPEG"
        if not name or not fields or len(fields) % (_BOX + 1) or image in labels:
            raise DataError(f"{path}:{number}: expected an image id of its own and groups of a synset and four numbers")
        try:
            numbers = [as_number(field) for place, field in enumerate(fields) if place % (_BOX + 1)]
        except ValueError as error:
            raise DataError(f"{path}:{number}: a box of image '{name}' is not four numbers ({error})") from None
        labels[image], boxes[image] = _label(fields[0], synsets, name), np.array(numbers).reshape(-1, _BOX)
    items = found.pictures.items(labels, "test")
    found.items.extend(items)
    found.truth.update((item.id, official.truth(boxes[item.id], item, path, "inside")) for item in items)


def _label(synset: str, synsets: dict[str, int], image: str) -> int:
    if synset not in synsets:
        raise DataError(f"image '{image}': synset '{synset}' is not in {_SYNSETS}")
    return synsets[synset]
