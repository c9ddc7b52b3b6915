"""Caltech-UCSD Birds 200-2011, from the official directory as it unpacks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from wsolbench.acquire.choe_metadata import numbered_lines
from wsolbench.acquire.choe_splits import ChoeSplits
from wsolbench.acquire.mask_checks import MaskFiles, with_masks
from wsolbench.acquire.mask_files import Greys
from wsolbench.acquire.official_boxes import OfficialBoxes
from wsolbench.acquire.pictures import Pictures
from wsolbench.acquire.sources import Archive, Sources
from wsolbench.config.ranges import Positive
from wsolbench.data.dataset import Contents, SplitName
from wsolbench.data.roots import RootedDataset
from wsolbench.data.tables import as_number
from wsolbench.errors import DataError, SettingsError
from wsolbench.files import bytes_sha256

__all__ = ["Cub"]

V = TypeVar("V")

_FOLDER = "CUB_200_2011"
_TERMS = "for non-commercial research and education; do not pass the images on"
_IMAGES = Archive(
    "CUB_200_2011.tgz",
    makes=_FOLDER,
    how_to_get="Download CUB_200_2011.tgz (1.1 GB) from https://data.caltech.edu/records/65de6-vp158.",
    inner=_FOLDER,
    size=1_150_585_339,
    sha256="0c685df5597a8b24909f6a7c9db6d11e008733779a671760afef78feb49bf081",
    md5="97eceeb196236b17998738112f37df78",
    urls=("https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",),
    terms=_TERMS,
)
_SEGMENTATIONS = Archive(
    "segmentations.tgz",
    makes="segmentations",
    how_to_get="Download segmentations.tgz (39 MB) from "
    "https://drive.google.com/file/d/1EamOKGLoTuZdtcVYbHMWNpkn3iAVj8TP.",
    size=39_272_883,
    sha256="dc77f6cffea0cbe2e41d4201115c8f29a6320ecb04fffd2444f51b8066e4b84f",
    terms=_TERMS,
)
_CUBV2 = Archive(
    "CUBV2.tar",
    makes="CUBV2",
    how_to_get="Download CUBV2.tar, to which github.com/clovaai/wsolevaluation links.",
    terms="the images keep their Flickr licences, some of them non-commercial",
)
_HALF = 127  # of the annotators' grey levels: the object is what most of them marked


@dataclass(frozen=True)
class _Record:
    path: str
    label: int
    is_train: bool
    box: NDArray[np.float64]
    box_line: str


@dataclass(frozen=True)
class _Line:
    where: str
    fields: list[str]


class Cub(RootedDataset):
    """CUB-200-2011: birds with one box each.

    ``test`` is the official test split. ``train`` is the official training split, less the images of ``val`` that
    ``holdout`` takes from it: per class those whose id has the lowest sha256, a choice that needs no list and no seed.
    The image id is the path in ``images.txt``; boxes ``x y width height`` become ``x, y, x + width, y + height``,
    clipped to the image, beyond which 1 of 200 reaches. ``choe2020`` scores against the boxes that Choe et al. list,
    which end at the image's last pixel at the latest.

    With ``cubv2``, ``val`` are the 1000 images that J. Choe et al. (CVPR 2020, arXiv 2001.07437) collected, under their
    ids (``001.Black_footed_Albatross/30107316117.jpg``), with boxes as they wrote them.

    With ``segmentations``, the images of the official set have masks, too: an image's grey levels say how many of its
    annotators took a pixel for the bird, and the object is what more than half of them did. CUBV2 has none.

    Source: C. Wah et al., The Caltech-UCSD Birds-200-2011 Dataset, CNS-TR-2011-001.

    Args:
        root: directory that holds ``CUB_200_2011``; see :class:`wsolbench.data.roots.RootedDataset`.
        val: ``holdout`` takes ``val`` out of the training images; ``cubv2`` trains on all of them and reads ``val``
            from elsewhere; ``none`` trains on all of them and leaves ``val`` empty: then no threshold can be chosen
            on it.
        holdout_per_class: images of each class that ``holdout`` takes.
        cubv2: directory of CUBV2's class folders, for ``val: cubv2``; None for ``CUBV2`` below the root, where
            ``CUBV2.tar`` is unpacked.
        metadata: directory that holds Choe et al.'s ``val`` metadata of CUB, for ``val: cubv2``; None for
            ``metadata/CUB`` below the root, where it is downloaded.
        segmentations: whether to read the masks in ``segmentations`` below the root, where ``segmentations.tgz`` is
            unpacked; not with ``val: cubv2``.

    Raises:
        SettingsError: ``segmentations`` are asked for with ``cubv2``.
    """

    title = "CUB-200-2011"
    reference = "Wah et al. 2011, CNS-TR-2011-001; non-commercial research and education"
    traits: ClassVar[frozenset[str]] = frozenset({"boxes", "masks", "restricted"})
    how_to = (
        f"It holds {_FOLDER}, or CUB_200_2011.tgz (1.1 GB, https://data.caltech.edu/records/65de6-vp158), or nothing "
        f"yet: the archive is downloaded then. It is {_TERMS}."
    )

    def __init__(
        self,
        root: str | None = None,
        val: Literal["holdout", "cubv2", "none"] = "holdout",
        holdout_per_class: Positive = 5,
        cubv2: str | None = None,
        metadata: str | None = None,
        segmentations: bool = False,
    ) -> None:
        if val == "cubv2" and segmentations:
            raise SettingsError("segmentations: CUBV2 has no masks; set it to false, or val to holdout")
        self._cubv2 = None if cubv2 is None else Path(cubv2).expanduser()
        self._metadata = None if metadata is None else Path(metadata).expanduser()
        self._segmentations = segmentations
        super().__init__(root)
        self._val = val
        self._holdout = holdout_per_class

    def obtain(self, sources: Sources) -> None:
        """Unpack, or download, the images, and what ``val`` and the masks need."""
        root = self.root()
        sources.provide(_IMAGES, root)
        if self._segmentations:
            sources.provide(_SEGMENTATIONS, root)
        if self._val == "cubv2":
            if self._cubv2 is None:
                sources.provide(_CUBV2, root)
            if self._metadata is None:
                sources.lists("CUB", "val", root / "metadata" / "CUB" / "val")

    def watched(self) -> Sequence[Path]:
        """Return the images' directories."""
        cubv2 = [self._cubv2_places(root)[0] for root in self.below(".") if self._val == "cubv2"]
        return [*self.below(f"{_FOLDER}/images"), *cubv2]

    def watched_truth(self) -> Sequence[Path]:
        """Return the official lists, the masks and the lists of CUBV2, as far as they are read."""
        names = ("classes", "images", "image_class_labels", "train_test_split", "bounding_boxes")
        masks = ["segmentations"] if self._segmentations else []
        lists = [self._cubv2_places(root)[1] for root in self.below(".") if self._val == "cubv2"]
        return [*self.below(*(f"{_FOLDER}/{name}.txt" for name in names), *masks), *lists]

    def contents(self, directory: Path) -> Contents:
        """Read the official text files, check them against each other and decode every image once."""
        base = self._base()
        class_names, records = _read_records(base)
        val = self._val_paths(class_names, records)
        splits: dict[str, SplitName] = {
            each.path: "test" if not each.is_train else "val" if each.path in val else "train" for each in records
        }
        items = Pictures(base / "images").items({record.path: record.label for record in records}, splits)
        truth, official = {}, OfficialBoxes()
        for record, item in zip(records, items, strict=True):
            if item.split != "train":
                truth[record.path] = official.truth(record.box, item, record.box_line, "to the last pixel")
        if self._segmentations:
            masks = {name: MaskFiles((Path(name).with_suffix(".png").as_posix(),)) for name in truth}
            truth = with_masks(base.parent / "segmentations", items, truth, masks, Greys(_HALF))
        if self._val == "cubv2":
            found = ChoeSplits(Pictures(base / "images"), official)
            _read_cubv2(*self._cubv2_places(base.parent), class_names, found)
            items, truth = items + found.items, truth | found.truth
        official.check()
        return Contents(class_names, items, truth, official.clipped)

    def image_root(self, directory: Path) -> Path:
        """Return ``<root>/CUB_200_2011/images``."""
        return self._base() / "images"

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Return whether the images are there, unpacked."""
        return (root / _FOLDER / "images.txt").is_file()

    def root(self, *holding: str | Path) -> Path:
        """Return the directory that holds ``CUB_200_2011``; see :meth:`RootedDataset.root`."""
        root = super().root()
        if (root / "images.txt").is_file():
            raise DataError(f"{root} is the directory {_FOLDER} itself, it seems; name its parent. {self.how_to}")
        return super().root(*holding)

    def _base(self) -> Path:
        return self.root(_FOLDER) / _FOLDER

    def _cubv2_places(self, root: Path) -> tuple[Path, Path]:
        return self._cubv2 or root / "CUBV2", (self._metadata or root / "metadata" / "CUB") / "val"

    def _val_paths(self, class_names: list[str], records: list[_Record]) -> set[str]:
        if self._val != "holdout":
            return set()
        by_class: dict[int, list[str]] = {label: [] for label in range(len(class_names))}
        for record in records:
            if record.is_train:
                by_class[record.label].append(record.path)
        chosen: set[str] = set()
        for label, paths in by_class.items():
            if len(paths) <= self._holdout:
                raise DataError(
                    f"class '{class_names[label]}' has {len(paths)} training images, of which "
                    f"datasets.{self.key}.holdout_per_class would take {self._holdout} and leave none; lower it"
                )
            chosen.update(sorted(paths, key=lambda path: bytes_sha256(path.encode()))[: self._holdout])
        return chosen


def _read_cubv2(folder: Path, metadata: Path, class_names: list[str], found: ChoeSplits) -> None:
    if not folder.is_dir():
        raise DataError(
            f"{folder}, the setting cubv2 of this data set, is no directory; unpack CUBV2.tar, to which "
            "github.com/clovaai/wsolevaluation links, or set val to holdout"
        )
    root = found.pictures.root.resolve()
    for item in found.read(metadata, "val", path=lambda name: os.path.relpath(folder.resolve() / name, root)):
        if [item.id.split("/")[0]] != class_names[item.label : item.label + 1]:
            raise DataError(
                f"{metadata / 'class_labels.txt'}: label {item.label} of '{item.id}' is not the class that its "
                f"folder has in classes.txt; take all {len(class_names)} classes, in the official order"
            )


def _read_records(base: Path) -> tuple[list[str], list[_Record]]:
    classes, images = _read_table(base / "classes.txt", 1), _read_table(base / "images.txt", 1)
    labels = {class_id: label for label, class_id in enumerate(classes)}
    label_lines = _read_table(base / "image_class_labels.txt", 1, images)
    split_lines = _read_table(base / "train_test_split.txt", 1, images)
    box_lines = _read_table(base / "bounding_boxes.txt", 4, images)
    records = []
    for image_id, line in images.items():
        label = _choice(label_lines[image_id], labels, "a class id of classes.txt")
        is_train = _choice(split_lines[image_id], {"0": False, "1": True}, "0 or 1")
        box = box_lines[image_id]
        records.append(_Record(line.fields[0], label, is_train, _corners(box), box.where))
    return [line.fields[0] for line in classes.values()], records


def _read_table(path: Path, columns: int, images: Mapping[str, _Line] | None = None) -> dict[str, _Line]:
    """Read ``id value ...`` lines by id; with ``images``, there must be one for each of these and no other."""
    table: dict[str, _Line] = {}
    for number, row in numbered_lines(path):
        where, fields = f"{path}:{number}", row.split()
        if len(fields) != columns + 1:
            raise DataError(f"{where}: expected an id and {columns} value(s), found {row!r}")
        if fields[0] in table:
            raise DataError(f"{where}: id {fields[0]} occurs for the second time; remove one of the lines")
        if images is not None and fields[0] not in images:
            raise DataError(f"{where}: id {fields[0]} is not in images.txt; the files do not belong together")
        table[fields[0]] = _Line(where, fields[1:])
    if not table:
        raise DataError(f"{path} is empty; unpack CUB_200_2011.tgz again")
    for image_id, line in (images or {}).items():
        if image_id not in table:
            raise DataError(
                f"{path} has {len(table)} lines, images.txt has {len(images or {})}: id {image_id} "
                f"({line.where}) is missing; unpack CUB_200_2011.tgz again"
            )
    return table


def _choice(line: _Line, valid: Mapping[str, V], what: str) -> V:
    if line.fields[0] not in valid:
        raise DataError(f"{line.where}: '{line.fields[0]}' is not {what}; correct the line")
    return valid[line.fields[0]]


def _corners(line: _Line) -> NDArray[np.float64]:
    try:
        x, y, width, height = map(as_number, line.fields)
    except ValueError:
        found = " ".join(line.fields)
        raise DataError(f"{line.where}: 'x y width height' must be numbers, found '{found}'") from None
    return np.array([[x, y, x + width, y + height]])
