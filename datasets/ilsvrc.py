"""ILSVRC-2012, from the official directory as it unpacks."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from wsolbench.data.choe_metadata import read_list, read_metadata
from wsolbench.data.images import inspect_images
from wsolbench.dataset import Contents, Item, SplitName, Truth, WsolDataset
from wsolbench.errors import DataError, SettingsError

__all__ = ["ROOT_VARIABLE", "Ilsvrc"]

ROOT_VARIABLE = "WSOLBENCH_ILSVRC_ROOT"

_IMAGES = Path("ILSVRC", "Data", "CLS-LOC")
_SYNSETS = "LOC_synset_mapping.txt"
_SOLUTION = "LOC_val_solution.csv"
_BOX = 4
_HOW_TO = (
    "ILSVRC-2012 may not be passed on: get an account at image-net.org (or join the ImageNet Object Localization "
    f"Challenge on kaggle.com), download and unpack it so that {_IMAGES}/train/<synset>/*.JPEG, {_IMAGES}/val/*.JPEG, "
    f"{_SYNSETS} and {_SOLUTION} lie in one directory, and name that in datasets.ilsvrc.root of params.yaml (or the "
    f"variable {ROOT_VARIABLE})."
)


@dataclass(frozen=True)
class _Picture:
    id: str
    path: Path
    label: int
    split: SplitName
    boxes: NDArray[np.float64]


class Ilsvrc(WsolDataset):
    """ImageNet's 1000 classes with boxes, split as Choe et al. (CVPR 2020, arXiv 2001.07437).

    ``train`` is the official training split (labels only), ``test`` the official validation split with its boxes.
    ``val`` are images of ImageNetV2 with boxes of Choe et al.; both have to be at hand. Ids are paths below
    ``ILSVRC/Data/CLS-LOC`` (``val/ILSVRC2012_val_00000001.JPEG``), those of ImageNetV2 as Choe et al. spell them
    (``val2/0/0.jpeg``). Labels follow the order of ``LOC_synset_mapping.txt``, which is that of all pretrained
    classifiers. Boxes are taken as
    they are written, as Choe et al. take them.

    Source: Russakovsky et al., IJCV 2015, arXiv 1409.0575; Recht et al., ICML 2019, arXiv 1902.10811 (ImageNetV2).

    Args:
        root: directory that holds ``ILSVRC``, relative to the working directory or absolute; the environment variable
            ``WSOLBENCH_ILSVRC_ROOT`` takes precedence.
        train: ``full``; ``proxy``, the tenth that Choe et al. list in ``image_ids_proxy.txt``; or ``none`` to evaluate
            a pretrained classifier only.
        val: ``imagenetv2`` or ``none``.
        imagenetv2: directory of ImageNetV2's folders ``0`` to ``999``; for ``val: imagenetv2``.
        metadata: directory with Choe et al.'s ``train`` and ``val`` metadata; for ``proxy`` and ``imagenetv2``.

    Raises:
        SettingsError: ``val`` or ``train`` needs a directory that is not named.
    """

    title = "ILSVRC-2012"
    reference = "Russakovsky et al., IJCV 2015, arXiv 1409.0575; non-commercial research and education"
    traits: ClassVar[frozenset[str]] = frozenset({"boxes"})

    def __init__(
        self,
        root: str | None = None,
        train: Literal["full", "proxy", "none"] = "full",
        val: Literal["imagenetv2", "none"] = "none",
        imagenetv2: str | None = None,
        metadata: str | None = None,
    ) -> None:
        if val == "imagenetv2" and None in {imagenetv2, metadata}:
            raise SettingsError("datasets.ilsvrc.val: imagenetv2 needs datasets.ilsvrc.imagenetv2 and .metadata")
        if train == "proxy" and metadata is None:
            raise SettingsError("datasets.ilsvrc.train: proxy needs datasets.ilsvrc.metadata")
        self._root, self._train, self._val = root, train, val
        self._v2 = None if imagenetv2 is None else Path(imagenetv2).expanduser()
        self._metadata = None if metadata is None else Path(metadata).expanduser()

    def contents(self, directory: Path) -> Contents:
        """Read lists and boxes, and decode every image once.

        Raises:
            DataError: a directory, a file or an image is missing or damaged, or a list contradicts another; the message
                names it.
        """
        base = self._base()
        synsets = _read_synsets(base / _SYNSETS)
        pictures = [*self._training(base, synsets), *self._validation(), *_test(base, synsets)]
        root = self.image_root(directory)
        paths = [os.path.relpath(picture.path, root) for picture in pictures]
        items, truth = [], {}
        for picture, path, fact in zip(pictures, paths, inspect_images(root, paths), strict=True):
            name, split = Path(path).as_posix(), picture.split
            items.append(Item(picture.id, name, picture.label, fact.width, fact.height, split, sha256=fact.sha256))
            if split != "train":
                truth[picture.id] = Truth(picture.boxes)
        return Contents(list(synsets), items, truth)

    def image_root(self, directory: Path) -> Path:
        """Return ``<root>/ILSVRC/Data/CLS-LOC``.

        Raises:
            DataError: no root is set, or it does not hold the directory.
        """
        return self._base() / _IMAGES

    def _base(self) -> Path:
        root = os.environ.get(ROOT_VARIABLE) or self._root
        if not root:
            raise DataError(f"the images of ILSVRC are not configured. {_HOW_TO}")
        where = Path(root).expanduser().resolve()
        if not (where / _IMAGES / "val").is_dir():
            raise DataError(f"{where} does not hold a directory {_IMAGES / 'val'}. {_HOW_TO}")
        return where

    def _training(self, base: Path, synsets: dict[str, int]) -> Iterator[_Picture]:
        nothing = np.zeros((0, _BOX))
        if self._train == "none":
            return
        folder = base / _IMAGES / "train"
        if not folder.is_dir():
            raise DataError(f"{folder} is missing; set datasets.ilsvrc.train: none to evaluate only. {_HOW_TO}")
        if self._train == "proxy" and self._metadata is not None:
            for name in read_list(self._metadata / "train" / "image_ids_proxy.txt"):
                label = _label(Path(name).parent.name, synsets, name)
                yield _Picture(name, base / _IMAGES / name, label, "train", nothing)
            return
        for synset, label in synsets.items():
            files = sorted((folder / synset).glob("*.JPEG"))
            if not files:
                raise DataError(f"{folder / synset} has no .JPEG files; unpack the archive of that class again")
            for file in files:
                yield _Picture(f"train/{synset}/{file.name}", file, label, "train", nothing)

    def _validation(self) -> Iterator[_Picture]:
        if self._val == "none" or self._metadata is None or self._v2 is None:
            return
        for entry in read_metadata(self._metadata / "val").values():
            path = self._v2.resolve() / Path(entry.id).relative_to("val2")
            yield _Picture(entry.id, path, entry.label, "val", entry.boxes)


def _read_synsets(path: Path) -> dict[str, int]:
    """Return the label of each synset, in the file's order."""
    return {line.split(maxsplit=1)[0]: label for label, line in enumerate(read_list(path))}


def _test(base: Path, synsets: dict[str, int]) -> Iterator[_Picture]:
    path = base / _SOLUTION
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}). {_HOW_TO}") from None
    for number, row in enumerate(rows, start=2):
        name, fields = row.get("ImageId"), (row.get("PredictionString") or "").split()
        if not name or not fields or len(fields) % (_BOX + 1):
            raise DataError(f"{path}:{number}: expected an image id and groups of a synset and four numbers")
        try:
            boxes = np.array([fields[k + 1 : k + 1 + _BOX] for k in range(0, len(fields), _BOX + 1)], np.float64)
        except ValueError:
            raise DataError(f"{path}:{number}: image '{name}' has a box that is not four numbers") from None
        label = _label(fields[0], synsets, name)
        image = f"val/{name}.JPEG"
        yield _Picture(image, base / _IMAGES / image, label, "test", boxes)


def _label(synset: str, synsets: dict[str, int], image: str) -> int:
    if synset not in synsets:
        raise DataError(f"image '{image}': synset '{synset}' is not in {_SYNSETS}")
    return synsets[synset]
